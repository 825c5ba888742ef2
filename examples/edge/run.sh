#!/usr/bin/env bash
# Builds the firmware for a Cortex-M and runs it in QEMU.
#
#     examples/edge/run.sh            tests/data/stream/line.bin goes to the board's UART; what the program says of it goes to stdout
#     examples/edge/run.sh size       the same with the settings that take less flash and more time
#     examples/edge/run.sh budgets    the size and the stack of each job alone, on thumbv6m; fails where one is over its budget
#     examples/edge/run.sh budgets thumbv7m-none-eabi
#     examples/edge/run.sh missing    names the tools that are not there, and does nothing
#
# What the program sends over its UART is in the file that EDGE_UART_OUT names, if it does. It takes Debian's compiler, which has
# the source of `core`: rustc-web, rust-web-src, cargo-web; qemu-system-arm; for the linker either rustup's toolchain or lld;
# and for budgets `size` and `nm` (binutils).
set -euo pipefail
cd "$(dirname "$0")"
mode=${1:-default}
[ "$*" != budgets ] || set -- budgets thumbv6m-none-eabi
root=$(cd ../.. && pwd)
. "$root/tests/targets/tools.sh"
target_dir=${EDGE_TARGET_DIR:-$root/target/device}
small='--cfg sha2_backend_soft="compact"'

missing() {
  debian_missing
  command -v qemu-system-arm >/dev/null || echo "qemu-system-arm"
  llvm_linker ld.lld >/dev/null || echo "rust-lld or ld.lld"
  if ! command -v size >/dev/null || ! command -v nm >/dev/null; then
    echo "binutils"
  fi
}

# build TARGET RUSTFLAGS OPTION...
build() {
  local target=$1 flags=$2 name
  shift 2
  name=${target//-/_}
  env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" "CARGO_TARGET_${name^^}_LINKER=$(llvm_linker ld.lld)" \
    /usr/bin/cargo build --quiet --release -Zbuild-std=core --target "$target" --target-dir "$target_dir" "$@"
}

# run FILE INPUT: INPUT comes over the UART, and what is sent goes to the file $uart.out; stdout has what the program says. A program
# that hangs, as one does whose stack leaves the RAM, fails too.
uart=$(mktemp -d)/uart
trap 'rm -rf "${uart%/*}"' EXIT
run() {
  cp "$2" "$uart.in"
  : >"$uart.out"
  timeout 120 qemu-system-arm -cpu cortex-m3 -machine lm3s6965evb -display none -monitor none -serial "pipe:$uart" \
    -semihosting-config enable=on,target=native -kernel "$1" </dev/null
}

# section FILE NAME: the section's bytes.
section() {
  size -A "$1" | awk -v name="$2" '$1 == name { print $2 }'
}

missing=$(missing)
case $mode in
missing)
  echo "$missing"
  exit 0
  ;;
default) options=() flags="" ;;
size) options=(--features size) flags=$small ;;
budgets) ;;
*)
  echo "examples/edge/run.sh: $mode is none of size, budgets, missing" >&2
  exit 2
  ;;
esac
if [ -n "$missing" ]; then
  printf 'examples/edge/run.sh: not there, and needed:\n%s\n' "$missing" >&2
  exit 2
fi

if [ "$mode" != budgets ]; then
  build thumbv7m-none-eabi "$flags" --features edge --bin edge "${options[@]}"
  run "$target_dir/thumbv7m-none-eabi/release/edge" ../../tests/data/stream/line.bin
  cp "$uart.out" "${EDGE_UART_OUT:-/dev/null}"
  exit
fi

# The budgets: .text of the whole program, start-up included, and stack, in bytes; and no way into core's panics.
declare -A text_budget=([parse]=4096 [hmac]=16384) stack_budget=([parse]=1024 [hmac]=1024)
# What is in the flash as input, and no part of the job.
declare -A input=([nothing]=0 [parse]=2695 [hmac]=2726 [frame]=2726 [chunk]=410 [beacon]=2659)
declare -A features=([nothing]=none [parse]=none [hmac]=hmac [frame]=hmac [chunk]=none [beacon]=none)
broken=0
printf '%-19s %-8s %-8s %-8s %6s %9s %10s %6s %s\n' target settings job features .text -baseline constants stack panics
for target in "${@:2}"; do
  for settings in default small; do
    if [ "$settings" = small ]; then flags=$small extra=size; else flags="" extra=""; fi
    built=$target_dir/$target/release
    # Each job with the features that it needs, and no others.
    build "$target" "$flags" --no-default-features --features "$extra" --bin nothing --bin parse --bin chunk --bin beacon
    for job in nothing parse chunk beacon; do cp "$built/$job" "$built/budget-$job"; done
    build "$target" "$flags" --features "$extra" --bin hmac --bin frame
    for job in hmac frame; do cp "$built/$job" "$built/budget-$job"; done
    baseline=$(section "$built/budget-nothing" .text)
    for job in nothing parse hmac frame chunk beacon; do
      file=$built/budget-$job
      stack=$(run "$file" /dev/null 2>/dev/null) || { echo "$job failed on the device" >&2; exit 1; }
      text=$(section "$file" .text) stack=$((10#$stack))
      panics=$(nm --demangle "$file" | grep -c core::panicking || true)
      printf '%-19s %-8s %-8s %-8s %6d %9d %10d %6d %d\n' "$target" "$settings" "$job" "${features[$job]}" "$text" \
        $((text - baseline)) $(($(section "$file" .rodata) - input[$job])) "$stack" "$panics"
      if [ -n "${text_budget[$job]:-}" ]; then
        if [ "$text" -ge "${text_budget[$job]}" ] || [ "$stack" -ge "${stack_budget[$job]}" ] || [ "$panics" != 0 ]; then
          echo "  over its budget: .text below ${text_budget[$job]}, stack below ${stack_budget[$job]}, no panics" >&2
          broken=1
        fi
      fi
    done
  done
done
exit "$broken"
