#!/usr/bin/env bash
# What the library adds to a linked program, as README.md quotes it.
#
#     capi/size.sh host      with std, and without (which runs tests/test.c, too)
#     capi/size.sh device    thumbv6m-none-eabi: Debian's rustc-web, rust-web-src and cargo-web, and ld.lld
set -euo pipefail
cd "$(dirname "$0")"
target_dir=${CARGO_TARGET_DIR:-../target}
steps=("nothing" "parse" "and verify" "and route" "and the beacon" "and messages")

# The sizes of tests/size.c, linked with the library given.
host() {
  local base=0 sum step
  for step in 0 1 2 3 4 5; do
    ${CC:-cc} -std=c99 -Os -DSTEP=$step -Iinclude -Wl,--gc-sections tests/size.c "$1" -o "$target_dir/capi-size"
    sum=$(size "$target_dir/capi-size" | awk 'NR == 2 { print $1 + $2 }')
    [ $step = 0 ] && base=$sum
    printf '  %-16s %7d\n' "${steps[$step]}" $((sum - base))
  done
}

case ${1:-} in
host)
  cargo build --quiet --release -p bitwire-capi
  echo "text and data in bytes, with std:"
  host "$target_dir/release/libbitwire_capi.a"
  CARGO_PROFILE_RELEASE_PANIC=abort cargo build --quiet --release -p bitwire-capi --no-default-features \
    --target-dir "$target_dir/capi-core"
  echo "without std:"
  host "$target_dir/capi-core/release/libbitwire_capi.a"
  ${CC:-cc} -std=c99 -O2 -Wall -Wextra -Werror -pedantic -Iinclude tests/test.c \
    "$target_dir/capi-core/release/libbitwire_capi.a" -o "$target_dir/capi-test"
  "$target_dir/capi-test" ../tests/data/beacon.bit tests/data/signed.bit
  ;;
device)
  RUSTFLAGS='--cfg sha2_backend_soft="compact"' CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=fat \
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --quiet --release -p bitwire-capi --no-default-features \
    --features size -Zbuild-std=core --target thumbv6m-none-eabi --target-dir "$target_dir/device"
  library=$target_dir/device/thumbv6m-none-eabi/release/libbitwire_capi.a
  functions=()
  step=0
  echo "bytes on thumbv6m, for size:"
  for added in bitwire_frame_parse_exact bitwire_frame_verify "bitwire_frame_routing_key bitwire_routing_key_shard" \
    "bitwire_beacon_open bitwire_beacon_row" "bitwire_error_message bitwire_status_name"; do
    for function in $added; do functions+=(-u "$function"); done
    ld.lld -m armelf --gc-sections -e bitwire_frame_parse_exact "${functions[@]}" "$library" -o "$target_dir/capi-size"
    step=$((step + 1))
    size -A "$target_dir/capi-size" | awk -v step="${steps[$step]}" '
      $1 == ".text" { text = $2 } $1 == ".rodata" { rodata = $2 } $1 == ".data" || $1 == ".bss" { ram += $2 }
      END { printf "  %-16s code %6d, constants %6d, RAM %d\n", step, text, rodata, ram }'
  done
  ;;
*)
  echo "capi/size.sh: host or device?" >&2
  exit 2
  ;;
esac
