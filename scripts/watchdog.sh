#!/usr/bin/env bash
# Builds the invoker as a static program and puts it beside `faas`. Prints where. Argument: the cargo profile [release].
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-release}
target=x86_64-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-target}
dir=$profile
[ "$profile" != dev ] || dir=debug
# Its own folder: other flags would make cargo build everything else anew.
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR="$out/static" \
    cargo build --quiet --locked --profile "$profile" --target $target -p faas-watchdog --bin faas-watchdog
mkdir -p "$out/$dir"
install -m 755 "$out/static/$target/$dir/faas-watchdog" "$out/$dir/.faas-watchdog.new"
# The symbols of the C library are still in it: 0.8 MB of 5.6.
[ "$profile" = dev ] || ! command -v strip >/dev/null || strip --strip-all "$out/$dir/.faas-watchdog.new"
size=$(stat -c %s "$out/$dir/.faas-watchdog.new")
[ "$profile" != release ] || [ "$size" -le 5000000 ] || { echo "faas-watchdog has $size bytes, more than 5 MB" >&2; exit 1; }
mv -f "$out/$dir/.faas-watchdog.new" "$out/$dir/faas-watchdog"
echo "$out/$dir/faas-watchdog"
