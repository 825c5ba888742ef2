#!/usr/bin/env bash
# Compiles spec/bitwire.ksy and holds it to the vectors: every frame that they accept is read and has the fields of `expect`, every one
# that they reject for a reason that Kaitai Struct can see is refused.
#
#     spec/kaitai/run.sh
#
# Needs node and npm, which fetches the compiler, its runtime and a reader of YAML into a temporary folder. Exit status: 0 all held,
# 1 something did not, 3 these cannot be had (no node, no npm, no network).
set -euo pipefail
cd "$(dirname "$0")"

packages=(kaitai-struct-compiler@0.11.0 kaitai-struct@0.11.0 yaml@2.9.1)

for tool in node npm; do
  if ! command -v "$tool" >/dev/null; then
    echo "spec/kaitai/run.sh: there is no $tool" >&2
    exit 3
  fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo '{"name":"bitwire-kaitai","version":"0.0.0","private":true}' >"$work/package.json"
if ! npm install --prefix "$work" --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel error \
  --fetch-retries 1 --fetch-timeout 60000 "${packages[@]}" >"$work/npm.log" 2>&1; then
  tail -n 5 "$work/npm.log" >&2
  echo "spec/kaitai/run.sh: npm cannot install ${packages[*]}" >&2
  exit 3
fi
node check.js "$work"
