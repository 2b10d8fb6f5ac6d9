#!/usr/bin/env bash
# Writes the completion scripts into completions/, or with --check says which are stale.
set -euo pipefail
cd "$(dirname "$0")/.."
faas=${FAAS:-target/debug/faas}
stale=0
for shell in bash zsh fish powershell elvish; do
    file=completions/faas.$shell
    if [ "${1:-}" = --check ]; then
        "$faas" completion $shell | cmp -s - "$file" || { echo "$file is stale: run make completions" >&2; stale=1; }
    else
        "$faas" completion $shell >"$file"
    fi
done
exit $stale
