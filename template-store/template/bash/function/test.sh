#!/usr/bin/env bash
# Run by `faas test`.
cd "$(dirname "$0")/.." || exit
got=$(printf hello | bash index.sh)
[[ $got == hello ]] || { echo "it answers \`$got\`, not what it is sent"; exit 1; }
echo "ok: it answers what it is sent"
