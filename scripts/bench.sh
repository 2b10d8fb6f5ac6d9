#!/usr/bin/env bash
# Figures of release builds, side by side with other programs where they are at hand (FAAS_CLI, OPENFAAS_BIN, or the
# test cache). Quote ratios, not times: they hold when the machine is busy.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}
export FAAS_CLI=${FAAS_CLI:-$cache/bin/faas-cli}
[ -x "$FAAS_CLI" ] || { echo "bench: no real faas-cli at hand, ours alone" >&2; unset FAAS_CLI; }
export OPENFAAS_BIN=${OPENFAAS_BIN:-$cache/bin}
[ ! -x "$OPENFAAS_BIN/of-watchdog" ] || export OF_WATCHDOG=$OPENFAAS_BIN/of-watchdog
[ ! -x "$OPENFAAS_BIN/classic-watchdog" ] || export CLASSIC_WATCHDOG=$OPENFAAS_BIN/classic-watchdog
cargo build --locked --release --bin faas
cargo build --locked --release -p faas-watchdog --example upstream
scripts/watchdog.sh release
out=${CARGO_TARGET_DIR:-$PWD/target}/release
# What is measured is the released program; the benches themselves are built without its minutes of linking.
export FAAS_BIN=$out/faas FAAS=$out/faas UPSTREAM=$out/examples/upstream
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
