#!/usr/bin/env bash
# Brings up everything that the tests against real platforms need, and tells a test harness where it is.
#
#   run.sh [FILE]   writes KEY=VALUE lines to FILE (to stdout without one); stderr: what is being done
#
# Run it as often as you like: what is up stays, what is built stays in $FAAS_TESTBED_CACHE (~/.cache/faas-testbed).
# It starts the engine, the registry, a BuildKit of its own (buildkit/README.md) and OpenFaaS or its stand-in
# (openfaas/README.md), and pushes the base images
# debian, python and node, and the function $FAAS_REGISTRY/fn/echo:latest. Debian 12, as root. stop.sh ends it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/openfaas/env.sh"

# One at a time. -o: what is started here must not go on holding the lock.
if [ -z "${FAAS_TESTBED_LOCKED:-}" ]; then
    FAAS_TESTBED_LOCKED=1 exec flock -o "$FAAS_TESTBED_CACHE/lock" "${BASH_SOURCE[0]}" "$@"
fi

lines=$("$here/openfaas/up.sh")
"$here/openfaas/base-images.sh" debian python node >&2

echo_image=$registry/fn/echo:latest
DOCKER_BUILDKIT=0 "$docker" build -q --build-arg REGISTRY="$registry" -t "$echo_image" "$here/openfaas/echo" >"$log/echo.log" 2>&1 ||
    { tail -n 20 "$log/echo.log" >&2; die "building $echo_image failed"; }
"$docker" push -q "$echo_image" >/dev/null
say "$echo_image is there"

lines="$lines
$("$here/buildkit/up.sh")"
# tests/engines.rs starts its service; without it, that test is skipped.
command -v podman >/dev/null ||
    { say "installing podman"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman; } >>"$log/podman.log" 2>&1 ||
    say "podman can't be installed: see $log/podman.log"

lines="$lines
FAAS_ECHO_IMAGE=$echo_image
FAAS_TESTBED_BIN=$bin"
if [ $# -gt 0 ]; then
    # In one step, so that no reader sees half a file.
    printf '%s\n' "$lines" >"$1.new"
    mv "$1.new" "$1"
else
    printf '%s\n' "$lines"
fi
