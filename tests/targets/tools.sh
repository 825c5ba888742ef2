# What tests/targets/run.sh and examples/edge/run.sh both look for. To be sourced, with `root` set to the project's folder.

# Debian's compiler, new enough and with the library's source; else what is not there.
debian_missing() {
  local msrv minor
  msrv=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' "$root/Cargo.toml")
  minor=$(/usr/bin/rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p' || true)
  if [ "${minor:-0}" -lt "$msrv" ]; then
    echo "Debian's rustc-web, 1.$msrv or later"
  elif [ ! -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    echo "Debian's rust-web-src"
  fi
  [ -x /usr/bin/cargo ] || echo "Debian's cargo-web"
}

# llvm_linker OTHER: LLVM's linker, by the name that rustc knows it by; else OTHER.
llvm_linker() {
  local host
  command -v rust-lld && return
  if command -v rustup >/dev/null && host=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p'); then
    host=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
    [ -x "$host" ] && echo "$host" && return
  fi
  command -v "$1"
}
