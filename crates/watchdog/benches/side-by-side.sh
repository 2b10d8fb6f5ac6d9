#!/usr/bin/env bash
# Requests per second of faas-watchdog and of OpenFaaS' watchdogs, side by side in one run, the same upstream for all.
#
#   benches/side-by-side.sh [SECONDS per measurement, 5] [ROUNDS, 2]
#
# Beside what wrk says: the processor time of a request (user and system, with the processes started for it), which holds on a
# busy machine, where wall time says little; and times at a constant rate, by examples/steady.rs.
#
# Needs wrk; OF_WATCHDOG and CLASSIC_WATCHDOG name the binaries to compare with (left out when not set).
set -euo pipefail
seconds=${1:-5} rounds=${2:-2}
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "needs wrk (Debian package wrk)" >&2; exit 1; }

[ -n "${UPSTREAM:-}" ] || cargo build --release -q --bin faas-watchdog --example upstream --example steady --example starting
target=$(cargo metadata --offline --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
ours=${FAAS_WATCHDOG:-$target/release/faas-watchdog} upstream=${UPSTREAM:-$target/release/examples/upstream}
steady=${STEADY:-$(dirname "$upstream")/steady}

# In a network of its own where that is allowed: OpenFaaS' watchdogs insist on port 8081.
if [ -z "${SIDE_BY_SIDE:-}" ] && command -v ip >/dev/null && unshare -rn true 2>/dev/null; then
    export SIDE_BY_SIDE=1 FAAS_WATCHDOG=$ours UPSTREAM=$upstream STEADY=$steady
    exec unshare -rn sh -c 'ip link set lo up && exec "$0" "$@"' "$PWD/benches/side-by-side.sh" "$seconds" "$rounds"
fi

folder=$(mktemp -d)
started=()
finish() { for pid in "${started[@]}"; do kill -9 -- "-$pid" 2>/dev/null || true; done; rm -rf "$folder"; }
trap finish EXIT
printf 'wrk.method = "POST"\nwrk.body = string.rep("x", 100)\n' >"$folder/post.lua"

# port NAME=VALUE… -- COMMAND: starts it and waits until it answers.
start() {
    local port=$1; shift
    local variables=()
    while [ "$1" != -- ]; do variables+=("$1"); shift; done; shift
    setsid env -i PATH="$PATH" TMPDIR="$folder" "${variables[@]}" "$@" >"$folder/log.$port" 2>&1 &
    started+=($!)
    for _ in $(seq 500); do
        curl -sf -o /dev/null -d x "http://127.0.0.1:$port/" && return
        sleep 0.02
    done
    echo "nothing answers on port $port:" >&2; tail -5 "$folder/log.$port" >&2; exit 1
}

# Clock ticks of the program started last, and of the children that it waited for.
ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/${started[-1]}/stat"; }

measure() { # name port connections
    local before after
    before=$(ticks)
    wrk -t1 -c"$3" -d"${seconds}s" --latency -s "$folder/post.lua" "http://127.0.0.1:$2/" >"$folder/wrk"
    after=$(ticks)
    awk -v name="$1" -v c="$3" -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" '
        /Requests\/sec/ { rate = $2 } /99%/ { p99 = $2 } /Non-2xx/ { bad = $NF } /requests in/ { count = $1 }
        END { printf "%-34s %3d connections %9.0f req/s  p99 %-9s %7.1f us of CPU %s\n",
              name, c, rate, p99, ticks / hertz / count * 1e6, bad ? bad " not 2xx" : "" }' "$folder/wrk"
}

steadily() { # name port rate
    printf '%-34s %5d a second: %s (us)\n' "$1" "$3" "$("$steady" "$2" "$3" "$seconds")"
}

# One of OpenFaaS' watchdogs at a time: they all want port 8081 for metrics.
stop_last() { kill -9 -- "-${started[-1]}" 2>/dev/null || true; wait "${started[-1]}" 2>/dev/null || true; unset 'started[-1]'; }

starting=${STARTING:-$(dirname "$upstream")/starting}
stat -c '%n: %s bytes' "$ours"
printf 'faas-watchdog %s\n' "$(fprocess=cat suppress_lock=true metrics_port=19069 "$starting" "$ours" 19060)"
[ -z "${OF_WATCHDOG:-}" ] || printf 'of-watchdog %s\n' "$(fprocess=cat suppress_lock=true "$starting" "$OF_WATCHDOG" 19061)"

# 200 MB each way, and the most memory that was held.
through() { # name port
    head -c 200000000 /dev/zero | curl -sS -o "$folder/back" -H 'Expect:' -T - "http://127.0.0.1:$2/"
    printf '%-34s %s bytes back, peak %s\n' "$1" "$(stat -c %s "$folder/back")" \
        "$(awk '/VmHWM/ { print $2, $3 }' "/proc/${started[-1]}/status")"
    rm -f "$folder/back"
}

for round in $(seq "$rounds"); do
    echo "round $round"
    start 19001 PORT=19001 -- "$upstream"
    for c in 8 50; do measure "upstream alone" 19001 $c; done
    steadily "upstream alone" 19001 3000
    stop_last
    start 19010 port=19010 metrics_port=19019 mode=http fprocess="$upstream" -- "$ours"
    for c in 1 8 50; do measure "faas-watchdog http" 19010 $c; done
    steadily "faas-watchdog http" 19010 3000
    stop_last
    if [ -n "${OF_WATCHDOG:-}" ]; then
        start 19020 port=19020 mode=http fprocess="$upstream" PORT=19021 http_upstream_url=http://127.0.0.1:19021 -- "$OF_WATCHDOG"
        for c in 1 8 50; do measure "of-watchdog http" 19020 $c; done
        steadily "of-watchdog http" 19020 3000
        stop_last
    fi
    for mode in serializing streaming; do
        start 19030 port=19030 metrics_port=19039 mode=$mode fprocess=cat -- "$ours"
        for c in 1 8; do measure "faas-watchdog $mode" 19030 $c; done
        [ $mode != streaming ] || through "faas-watchdog $mode" 19030
        stop_last
        if [ -n "${OF_WATCHDOG:-}" ]; then
            start 19040 port=19040 mode=$mode fprocess=cat -- "$OF_WATCHDOG"
            for c in 1 8; do measure "of-watchdog $mode" 19040 $c; done
            [ $mode != streaming ] || through "of-watchdog $mode" 19040
            stop_last
        fi
    done
    if [ -n "${CLASSIC_WATCHDOG:-}" ]; then
        start 19050 port=19050 fprocess=cat -- "$CLASSIC_WATCHDOG"
        for c in 1 8; do measure "classic-watchdog" 19050 $c; done
        stop_last
    fi
done
