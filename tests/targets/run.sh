#!/usr/bin/env bash
# Builds the library for other targets, and holds it to the vectors on those that can be run here.
#
#     tests/targets/run.sh [job...]              all jobs
#     tests/targets/run.sh missing [job...]      names the tools that are not there for them, and does nothing
#     tests/targets/run.sh targets               names the targets, and does nothing
#
#     build     the core, which has no allocator: Cortex-M0 and Cortex-M4F, RV32IMC, wasm32
#     wasm      the vectors on wasm32 under Node, and again with 128-bit SIMD
#     s390x     on a 64-bit big-endian machine, in QEMU's user mode
#     powerpc   on a 32-bit big-endian machine, in QEMU's user mode
#     i686      on a 32-bit little-endian machine
#
# FEATURES chooses others for the last three: std,simd; std; alloc (no ledgers then) or alloc,simd.
#
# Each target's `core` or `std` is the one that rustup has for it (rustup target add TARGET). Where it has none, Debian's
# compiler builds it from source: rustc-web, rust-web-src, cargo-web. That takes a minute or two
# for `std`; TARGETS_COMPILER=debian asks for it.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
. ./tools.sh
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/targets}

core_targets=(thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imc-unknown-none-elf wasm32-unknown-unknown)
jobs=(build wasm s390x powerpc i686)

has_std() {
  local dir
  [ "${TARGETS_COMPILER:-}" != debian ] && dir=$(rustc --print target-libdir --target "$1" 2>/dev/null) && [ -d "$dir" ]
}

# cargo for a target, with as much of the standard library built as there is need for.
cargo_for() {
  local target=$1 crates=$2
  shift 2
  if has_std "$target"; then
    RUSTFLAGS="${RUSTFLAGS:-} -Dwarnings" cargo "$@" --quiet --target "$target"
  else
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$@" --quiet --target "$target" --target-dir "$CARGO_TARGET_DIR/debian" \
      -Zbuild-std="$crates" -Zbuild-std-features=
  fi
}

# Where it puts its programs.
built() {
  if has_std "$1"; then echo "$CARGO_TARGET_DIR/$1/debug"; else echo "$CARGO_TARGET_DIR/debian/$1/debug"; fi
}

build() {
  local target features core=(--lib --manifest-path "$root/Cargo.toml" --no-default-features)
  export CARGO_PROFILE_DEV_DEBUG=0
  for target in "${core_targets[@]}"; do
    for features in "" hmac cobs,embedded-io,embedded-io-async,hmac; do
      cargo_for "$target" core build "${core[@]}" --features "$features"
      echo "$target builds with ${features:-no feature}"
    done
    # As code without optimisation it takes many minutes to compile for a Cortex-M0, which gains nothing by it.
    cargo_for "$target" core check "${core[@]}" --features simd,hmac
    echo "$target checks with simd,hmac"
  done
}

wasm() {
  local target=wasm32-unknown-unknown
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER RUSTFLAGS
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(llvm_linker wasm-ld)
  hold() {
    RUSTFLAGS=$1 cargo_for $target std,panic_abort rustc --lib --crate-type cdylib --features "$2"
    echo "$target $1"
    node wasm.mjs "$(built $target)/bitwire_targets.wasm"
  }
  hold "" std
  hold -Ctarget-feature=+simd128 std,simd
}

# A Linux of another machine: its target, its compiler for C, features, what runs its programs.
linux() {
  local target=$1 gcc=$2 features=$3 name
  shift 3
  name=${target^^} name=${name//-/_}
  # Static, so that the emulator needs no loader and no libraries.
  export "CARGO_TARGET_${name}_LINKER=$gcc" RUSTFLAGS=-Ctarget-feature=+crt-static
  cargo_for "$target" std,panic_abort build --bin bitwire-targets --features "$features"
  echo "$target"
  "$@" "$(built "$target")/bitwire-targets"
}

# With and without `simd`: of each byte order one, and of each width.
s390x() { linux s390x-unknown-linux-gnu s390x-linux-gnu-gcc "${FEATURES:-std}" qemu-s390x; }
powerpc() { linux powerpc-unknown-linux-gnu powerpc-linux-gnu-gcc "${FEATURES:-std,simd}" qemu-ppc; }
i686() { linux i686-unknown-linux-gnu i686-linux-gnu-gcc "${FEATURES:-std,simd}" qemu-i386 -cpu max; }

missing() {
  local job target
  need() { command -v "$1" >/dev/null || echo "$1"; }
  for job in "$@"; do
    case $job in
    build) targets=("${core_targets[@]}") ;;
    wasm)
      targets=(wasm32-unknown-unknown)
      need node
      llvm_linker wasm-ld >/dev/null || echo "rust-lld or wasm-ld"
      ;;
    s390x) targets=(s390x-unknown-linux-gnu) && need s390x-linux-gnu-gcc && need qemu-s390x ;;
    powerpc) targets=(powerpc-unknown-linux-gnu) && need powerpc-linux-gnu-gcc && need qemu-ppc ;;
    i686) targets=(i686-unknown-linux-gnu) && need i686-linux-gnu-gcc && need qemu-i386 ;;
    *)
      echo "tests/targets/run.sh: there is no job $job" >&2
      exit 2
      ;;
    esac
    for target in "${targets[@]}"; do
      has_std "$target" || debian_missing | sed "s/$/, or by rustup the standard library of $target/"
    done
  done | sort -u
}

if [ "${1:-}" = targets ]; then
  printf '%s\n' "${core_targets[@]}" s390x-unknown-linux-gnu powerpc-unknown-linux-gnu i686-unknown-linux-gnu
  exit 0
fi
if [ "${1:-}" = missing ]; then
  shift
  if (($# > 0)); then jobs=("$@"); fi
  missing "${jobs[@]}"
  exit 0
fi
if (($# > 0)); then jobs=("$@"); fi
missing=$(missing "${jobs[@]}")
if [ -n "$missing" ]; then
  printf 'tests/targets/run.sh: not there, and needed:\n%s\n' "$missing" >&2
  exit 2
fi
# Each apart: what one exports is not for the next.
for job in "${jobs[@]}"; do ("$job"); done
