#!/usr/bin/env bash
# What a newcomer would type, each command echoed: from nothing to an answering function. Cleans up after itself.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=${CARGO_TARGET_DIR:-target}
case $out in /*) ;; *) out=$root/$out ;; esac

echo '$ cargo build --profile quick'
# Only what the demo needs: no container engine, no login.
cargo build --locked --profile quick --no-default-features --features local --bin faas
export PATH=$out/quick:$PATH

work=$(mktemp -d)
# A home of its own, so that nothing of yours is touched.
export FAAS_HOME=$work/faas
cleanup() {
    trap - EXIT INT TERM
    faas local stop --quiet >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM
cd "$work"

# A free port, since 8080 may be yours.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
show() { printf '\n$ %s\n' "$1"; eval "$1"; }

show "faas new tax --lang python3 --gateway http://127.0.0.1:$port"
show "cat > tax/handler.py <<'PY'
import json
import sys


def handle(req):
    \"\"\"Take {\"subtotal\": INT} as text and print {\"tax\": ...}.\"\"\"
    order = json.loads(req)
    print(\"taxing\", order[\"subtotal\"], file=sys.stderr)
    print(json.dumps({\"tax\": order[\"subtotal\"] * 0.047}))
PY"
show "faas up"
show "echo '{\"subtotal\": 100}' | faas invoke tax | tee answer"
answer=$(cat answer)
[ "$answer" = '{"tax": 4.7}' ] || { echo "demo: expected {\"tax\": 4.7}, got $answer" >&2; exit 1; }
show "faas list"
show "faas logs tax --tail=false"
printf '\nThat was all: the function ran on the embedded platform, and is cleaned up now.\n'
