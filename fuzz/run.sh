#!/usr/bin/env bash
# Runs every fuzz target for so many seconds, on stable Rust and without cargo-fuzz:
#
#     fuzz/run.sh [--asan | --fast] [seconds] [target...]          (10 seconds, all targets)
#
# Inputs that reach new code are kept in fuzz/corpus/<target>, an input that breaks something in fuzz/artifacts/<target>.
# To see such an input again: fuzz/run.sh 0 <target> runs what is there and in tests/corpus, or
# target/<host>/release/<target> FILE in fuzz/.
#
# As many targets at once as JOBS says: one for each core, if it says nothing.
#
# --asan is AddressSanitizer, as `cargo fuzz run <target>` has it. --fast is for long campaigns: an edge is taken or not,
# but neither how often (-use_counters) nor the operands of comparisons are looked at (half of the time each), the
# standard library does not check what its own unsafe functions are given, and inputs are of up to 600 bytes. All of the
# corpus is mutated, which other runs chose by more than edges (-keep_seed). Both flags are for nightly compilers; a stable
# one takes them as RUSTC_BOOTSTRAP=1.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v "${CXX:-g++}" >/dev/null; then
    echo "fuzz/run.sh: skipped: no C++ compiler to build libFuzzer with (${CXX:-g++})"
    exit 0
fi

flags="-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares"
fast=()
case ${1:-} in
--asan)
    flags+=" -Zsanitizer=address"
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
    shift
    ;;
--fast)
    flags="-Cllvm-args=-sanitizer-coverage-level=3 -Zub-checks=no"
    fast=(-max_len=600 -use_counters=0 -keep_seed=1)
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/fast
    shift
    ;;
esac
seconds=${1:-10}
if (($# > 1)); then targets=("${@:2}"); else targets=($(ls fuzz_targets | sed 's/\.rs$//')); fi
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}

# What cargo-fuzz passes. `--target` keeps it from build scripts, which have no libFuzzer.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="${RUSTFLAGS:-} $flags -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Ccodegen-units=${CODEGEN_UNITS:-1}"
cargo build --release --target "$host" $(printf -- '--bin %s ' "${targets[@]}")
bin=${CARGO_TARGET_DIR:-target}/$host/release

run() {
    local target=$1 seeds=("corpus/$1") corpus more log limit
    mkdir -p "corpus/$target" "artifacts/$target"
    # These take frames as well, and those of ledgers, mirrors, engrams and gists.
    case $target in
    beacon) corpus=(frame) ;;
    inspect) corpus=(frame chunk mirror engram_index whitening gist) ;;
    index) corpus=(chunk index) ;;
    *) corpus=("$target") ;;
    esac
    if [ "$target" = certificate ]; then seeds+=("../tests/data/engram/eigengram"); fi
    for more in "artifacts/$target" "${corpus[@]/#/../tests/corpus/}" "../tests/data/$target"; do
        if [ -d "$more" ]; then seeds+=("$more"); fi
    done
    limit=(-max_total_time="$seconds")
    if ((seconds == 0)); then limit=(-runs=0); fi
    log=$(mktemp)
    if "$bin/$target" "${limit[@]}" ${fast[@]+"${fast[@]}"} -timeout=10 -rss_limit_mb=2048 -artifact_prefix="artifacts/$target/" \
        -dict=frames.dict -print_final_stats=1 "${seeds[@]}" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        coverage=$(grep -ao 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1 || true)
        peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
        echo "$target: $runs runs, $coverage, peak $peak MB"
        rm "$log"
    else
        # Without the lines of progress, and in one piece.
        echo "$target: FAILED"$'\n'"$(grep -av '^#[0-9]' "$log")"
        rm "$log"
        return 1
    fi
}

failed=0
for target in "${targets[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || failed=1; done
    run "$target" &
done
while (($(jobs -p | wc -l) > 0)); do
    wait -n || failed=1
    jobs >/dev/null
done
exit $failed
