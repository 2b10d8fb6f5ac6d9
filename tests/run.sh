#!/usr/bin/env bash
# What `make test` does: installs what is missing, starts the real services, runs every test, stops what it started.
# The last line counts the tests. FAAS_TEST_FULL=1 adds the slow extras.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "test: $*" >&2; }
bed=$(mktemp)
out=$(mktemp)
started=
cluster=
moto=
finish() {
    [ -z "$cluster" ] || tests/beds/knative/down.sh >&2 || true
    [ -z "$moto" ] || tests/beds/lambda/testbed.sh stop >&2 || true
    [ -z "$started" ] || tests/beds/stop.sh >&2 || true
    rm -f "$bed" "$out"
}
trap finish EXIT
trap 'exit 130' INT TERM

need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
missing=()
need python3 python3
need git git
need curl curl
need cc gcc
# The languages of the templates: a missing one is a failure, not a test that is left out.
need node nodejs
need npm npm
need go golang
need cargo cargo
need ruby ruby
need php php-cli
need perl perl
need zsh zsh
need fish fish
need elvish elvish
need javac default-jdk-headless
need lua5.3 lua5.3
lua5.3 -e 'require("posix"); require("cjson")' 2>/dev/null || missing+=(lua-posix lua-cjson)
need mcs mono-mcs
need mono mono-runtime
# Engines are reached by ssh.
need sshd openssh-server
need ssh openssh-client
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { say "install ${missing[*]}, or run as root"; exit 1; }
    say "installing ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

say "building"
cargo build --locked --workspace --bins --tests --examples
scripts/watchdog.sh dev >&2
scripts/completions.sh --check

if [ "$(id -u)" = 0 ]; then
    # Services that run already are left running: somebody else works with them.
    curl -fs -m 2 -o /dev/null http://127.0.0.1:8080/healthz || started=yes
    say "starting the services"
    tests/beds/run.sh "$bed"
    set -a
    # shellcheck disable=SC1090
    . "$bed"
    set +a
    export FAAS_TEST_BEDS=1
    curl -fs -m 2 -o /dev/null http://127.0.0.1:5555/moto-api/ || moto=yes
    tests/beds/lambda/testbed.sh up >&2
    export FAAS_TEST_LAMBDA=1
    if [ -n "${FAAS_TEST_FULL:-}" ]; then
        say "making the base images of all languages"
        tests/beds/openfaas/base-images.sh debian python node ruby php perl java go rust >&2
    fi
else
    say "not root: the container engine can't be started, its tests are skipped"
fi

status=0
run_tests() { cargo test --locked --workspace --no-fail-fast -- "$@" 2>&1 | tee -a "$out" || status=1; }
run_tests --test-threads=4 --skip knative

# Knative's tests by themselves, as a cluster leaves little of a small machine. Its parts take half an hour to build, which
# only the slow extras have; where they were built before it is up within a minute, and FAAS_TEST_CLUSTER=1 asks for it. One
# that can't be had here is told and counted; one that should start and doesn't, or that fails tests, is a failure.
came=3
built() { [ -n "${FAAS_TEST_CLUSTER:-}" ] && tests/beds/knative/up.sh built 2>/dev/null; }
if [ "$(id -u)" = 0 ] && { [ -n "${FAAS_TEST_FULL:-}" ] || built; }; then
    say "starting Knative (the first time it is built, which takes minutes)"
    (. tests/beds/knative/env.sh && running apiserver >/dev/null) || cluster=yes
    came=0
    tests/beds/knative/up.sh >"$bed" || came=$?
fi
left_out=0
case $came in
0)
    set -a
    # shellcheck disable=SC1090
    . "$bed"
    set +a
    export FAAS_TEST_KNATIVE=1
    ;;
3)
    left_out=$(cat tests/knative/*.rs tests/portability.rs | grep -c '= bed() else { return }\|= Knative::up(')
    why="it is part of make test-full; FAAS_TEST_CLUSTER=1 where its parts were built"
    [ -z "${FAAS_TEST_FULL:-}" ] || why="it can't run on this machine, for the reason above"
    say "Knative: $why; $left_out of its tests are skipped"
    ;;
*)
    say "Knative doesn't start, for the reason above: its tests fail"
    export FAAS_TEST_KNATIVE=1
    unset KUBECONFIG
    ;;
esac
# An independent reader, where somebody built it.
kn=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}/bin/kn
[ ! -x "$kn" ] || export KN=$kn
run_tests --test-threads=3 knative
if [ -n "$started" ]; then
    say "stopping the services"
    tests/beds/stop.sh >&2 || true
    started=
fi
say "the gateway was: ${TESTBED_MODE:-none}"
# Last, and on a line of its own: the count.
awk -v left_out="$left_out" '/^test result:/ {for (i = 1; i < NF; i++) {if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i; if ($(i+1) ~ /^ignored/) s += $i}}
     END {p -= left_out; s += left_out; printf "%d passed, %d failed, %d skipped\n", p, f, s; exit (f > 0 || p == 0)}' "$out" || status=1
exit $status
