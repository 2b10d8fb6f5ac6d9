#!/usr/bin/env bash
# Figures of release builds, side by side with other programs where they are at hand (FAAS_CLI, OPENFAAS_BIN, or the
# test cache). Quote ratios, not times: they hold when the machine is busy.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}
export FAAS_CLI=${FAAS_CLI:-$cache/bin/faas-cli}
[ -x "$FAAS_CLI" ] || { echo "bench: no real faas-cli at hand, ours alone" >&2; unset FAAS_CLI; }
export OPENFAAS_BIN=${OPENFAAS_BIN:-$cache/bin}
cargo build --locked --release
scripts/watchdog.sh release
out=${CARGO_TARGET_DIR:-target}/release
printf '\n%s\n' "sizes"
stat -c '%n %s bytes' "$out/faas" "$out/faas-watchdog"
for bench in benches/*.rs; do
    name=$(basename "$bench" .rs)
    printf '\n%s\n' "$name"
    cargo bench --locked --quiet --bench "$name"
done
for script in benches/*.sh crates/watchdog/benches/*.sh; do
    [ -x "$script" ] || continue
    printf '\n%s\n' "$(basename "$script" .sh)"
    "$script"
done
