#!/usr/bin/env bash
# Writes what is made from the code: pages of docs/ and the JSON schema. With --check it says which are stale.
set -euo pipefail
cd "$(dirname "$0")/.."
faas=${FAAS:-target/debug/faas}
stale=0
one() {
    local file=docs/$1
    shift
    if [ "${check:-}" = yes ]; then
        "$faas" "$@" | cmp -s - "$file" || { echo "$file is stale: run make generated" >&2; stale=1; }
    else
        "$faas" "$@" >"$file"
    fi
}
[ "${1:-}" != --check ] || check=yes
one commands.md man --markdown
one stack-keys.md explain --keys
one errors.md explain --errors
one stack.schema.json explain --schema
exit $stale
