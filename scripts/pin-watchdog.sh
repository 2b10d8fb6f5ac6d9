#!/usr/bin/env bash
# Pins the invokers of a release: writes their checksums to where `faas` takes them from, before `faas` is built.
# Arguments: the programs, as faas-watchdog-amd64 and faas-watchdog-arm64.
set -euo pipefail
[ $# -gt 0 ] || { echo "pin-watchdog: name the programs, as dist/faas-watchdog-amd64" >&2; exit 2; }
into=$(cd "$(dirname "$0")/.." && pwd)/src/build/watchdog/released.sha256
{
    grep '^#' "$into"
    for program in "$@"; do
        name=$(basename "$program")
        case $name in
            faas-watchdog-amd64 | faas-watchdog-arm64) ;;
            *) echo "pin-watchdog: $program: the name must end with the architecture, amd64 or arm64" >&2; exit 2 ;;
        esac
        printf '%s  %s\n' "$(sha256sum <"$program" | cut -d' ' -f1)" "$name"
    done
} >"$into.new"
mv "$into.new" "$into"
cat "$into"
