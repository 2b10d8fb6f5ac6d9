#!/usr/bin/env bash
# Requests per second of the embedded platform (gateway and invoker in one) against OpenFaaS's watchdogs alone, with no
# gateway before them: side by side in one run, the same upstream for all.
#
#   benches/gateway.sh [SECONDS per measurement, 5] [ROUNDS, 2]
#
# Needs wrk; OPENFAAS_BIN is the folder of of-watchdog and classic-watchdog (left out when not set).
set -euo pipefail
seconds=${1:-5} rounds=${2:-2}
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "needs wrk (Debian package wrk)" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$PWD/target}
[ -n "${FAAS:-}" ] || cargo build --release -q
[ -n "${UPSTREAM:-}" ] || cargo build --release -q -p faas-watchdog --example upstream
export FAAS=${FAAS:-$target/release/faas} UPSTREAM=${UPSTREAM:-$target/release/examples/upstream}

# In a network of its own where that is allowed: OpenFaaS's watchdogs insist on port 8081.
if [ -z "${GATEWAY_BENCH:-}" ] && command -v ip >/dev/null && unshare -rn true 2>/dev/null; then
    GATEWAY_BENCH=1 exec unshare -rn sh -c 'ip link set lo up && exec "$0" "$@"' "$PWD/benches/gateway.sh" "$seconds" "$rounds"
fi

folder=$(mktemp -d)
export HOME=$folder FAAS_HOME=$folder
started=
stop_last() { [ -z "$started" ] || kill -9 -- "-$started" 2>/dev/null || true; started=; }
finish() { stop_last; "$FAAS" local stop --timeout 5s >/dev/null 2>&1 || true; rm -rf "$folder"; }
trap finish EXIT
printf 'wrk.method = "POST"\nwrk.body = string.rep("x", 100)\n' >"$folder/post.lua"

answers() {
    for _ in $(seq 500); do
        curl -sf -o /dev/null -d x "$1" && return
        sleep 0.02
    done
    echo "nothing answers on $1" >&2
    exit 1
}

start() { # PORT NAME=VALUE... -- COMMAND
    local port=$1 variables=(); shift
    while [ "$1" != -- ]; do variables+=("$1"); shift; done; shift
    setsid env -i PATH="$PATH" TMPDIR="$folder" "${variables[@]}" "$@" >"$folder/log.$port" 2>&1 &
    started=$!
    # bash would tell of its end.
    disown "$started"
    answers "http://127.0.0.1:$port/"
}

measure() { # NAME URL CONNECTIONS
    wrk -t1 -c"$3" -d"${seconds}s" --latency -s "$folder/post.lua" "$2" >"$folder/wrk"
    awk -v name="$1" -v c="$3" '
        /Requests\/sec/ { rate = $2 } /99%/ { p99 = $2 } /Non-2xx/ { bad = $NF }
        END { printf "%-34s %3d connections %9.0f req/s  p99 %-9s %s\n", name, c, rate, p99, bad ? bad " not 2xx" : "" }' "$folder/wrk"
}

# Nothing of the caller's environment, as for the others below: functions are given `LANG`, and with one `cat` opens
# thirteen files more.
env -i PATH="$PATH" HOME="$folder" FAAS_HOME="$folder" "$FAAS" local start --port 19000 >/dev/null
gateway=http://127.0.0.1:19000
deploy() { # NAME MODE COMMAND
    curl -sSf -u "admin:$("$FAAS" local token)" -X POST "$gateway/system/functions" -d "{\"service\": \"$1\", \"image\": \"bundle:$1\",
        \"bundle\": {\"dir\": \"$folder\", \"digest\": \"$1\", \"run\": {\"command\": \"$3\", \"mode\": \"$2\"}}}"
    answers "$gateway/function/$1"
}
deploy http http "$UPSTREAM"
deploy classic classic cat

for round in $(seq "$rounds"); do
    echo "round $round"
    start 19001 PORT=19001 -- "$UPSTREAM"
    measure "upstream alone" http://127.0.0.1:19001/ 8
    stop_last
    for c in 1 8 50; do measure "embedded gateway, http" "$gateway/function/http" $c; done
    if [ -x "${OPENFAAS_BIN:-/nowhere}/of-watchdog" ]; then
        start 19020 port=19020 mode=http fprocess="$UPSTREAM" PORT=19021 http_upstream_url=http://127.0.0.1:19021 -- "$OPENFAAS_BIN/of-watchdog"
        for c in 1 8 50; do measure "of-watchdog alone, http" http://127.0.0.1:19020/ $c; done
        stop_last
    fi
    for c in 1 8; do measure "embedded gateway, classic" "$gateway/function/classic" $c; done
    if [ -x "${OPENFAAS_BIN:-/nowhere}/classic-watchdog" ]; then
        start 19050 port=19050 fprocess=cat -- "$OPENFAAS_BIN/classic-watchdog"
        for c in 1 8; do measure "classic-watchdog alone" http://127.0.0.1:19050/ $c; done
        stop_last
    fi
done
