#!/usr/bin/env bash
# Builds the firmware for a Cortex-M3 and runs it in QEMU; its exit status is this script's.
#
#     examples/edge/run.sh            as it is by default
#     examples/edge/run.sh size       with the settings that take less flash and more time
#     examples/edge/run.sh missing    names the tools that are not there, and does nothing
#
# It takes Debian's compiler, which has the source of `core`: rustc-web, rust-web-src, cargo-web; qemu-system-arm; and
# for the linker either rustup's toolchain or lld. `size` and `nm` (binutils) are used where they are.
set -euo pipefail
cd "$(dirname "$0")"
target=thumbv7m-none-eabi
# Where .ci/run builds for other devices: proc macros and build scripts are the same.
target_dir=$(cd ../.. && pwd)/target/device
built=$target_dir/$target/release
mode=${1:-default}

# The linker: LLVM's, by the name that rustc knows it by.
linker() {
  local host
  command -v rust-lld && return
  if command -v rustup >/dev/null && host=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p'); then
    host=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
    [ -x "$host" ] && echo "$host" && return
  fi
  command -v ld.lld
}

missing() {
  local msrv minor
  msrv=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' ../../Cargo.toml)
  minor=$(/usr/bin/rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p' || true)
  if [ "${minor:-0}" -lt "$msrv" ]; then
    echo "Debian's rustc-web, 1.$msrv or later"
  elif [ ! -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    echo "Debian's rust-web-src"
  fi
  [ -x /usr/bin/cargo ] || echo "Debian's cargo-web"
  command -v qemu-system-arm >/dev/null || echo "qemu-system-arm"
  linker >/dev/null || echo "rust-lld or ld.lld"
}

missing=$(missing)
case $mode in
missing)
  echo "$missing"
  exit 0
  ;;
default) options=() flags="" ;;
size) options=(--features size) flags='--cfg sha2_backend_soft="compact"' ;;
*)
  echo "examples/edge/run.sh: $mode is neither size nor missing" >&2
  exit 2
  ;;
esac
if [ -n "$missing" ]; then
  printf 'examples/edge/run.sh: not there, and needed:\n%s\n' "$missing" >&2
  exit 2
fi

RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_TARGET_THUMBV7M_NONE_EABI_LINKER=$(linker) \
  /usr/bin/cargo build --quiet --release --bins "${options[@]}" -Zbuild-std=core --target "$target" --target-dir "$target_dir"

# A program that hangs, as one does whose stack leaves the RAM, fails too.
run() {
  timeout 60 qemu-system-arm -cpu cortex-m3 -machine lm3s6965evb -nographic -monitor none \
    -semihosting-config enable=on,target=native -kernel "$built/$1" </dev/null
}

for job in nothing chunk hmac beacon; do
  run "$job" 2>/dev/null || { echo "$job failed on the device" >&2; exit 1; }
done

if command -v size >/dev/null; then
  for job in nothing chunk hmac beacon; do
    size -A "$built/$job" | awk -v job="$job" '
      $1 == ".text" { text = $2 } $1 == ".rodata" { rodata = $2 } $1 == ".data" || $1 == ".bss" { ram += $2 }
      END { printf "%-8s flash: code %d, constants with the input %d; RAM before the stack: %d\n", job, text, rodata, ram }'
  done
fi

# What hostile bytes reach here has no place to panic at: the linker kept none. That is not so of two more, and in both it
# is an index that the compiler cannot see to be in range: the beacon's view reads decimal numbers with core's
# f64::from_str, and BLAKE2b, with `size`, takes its word order from a constant table.
if [ "$mode" = default ] && command -v nm >/dev/null; then
  for job in chunk hmac; do
    symbols=$(nm --demangle "$built/$job")
    if grep "core::panicking" <<<"$symbols"; then
      echo "$job can panic" >&2
      exit 1
    fi
  done
  echo "chunk and hmac have no code for panics"
fi

run firmware
