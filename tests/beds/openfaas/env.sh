# Settings and small helpers shared by up.sh, down.sh and base-images.sh. Source it; do not run it.
# shellcheck shell=bash disable=SC2034
FAAS_TESTBED_CACHE=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}
bed=$FAAS_TESTBED_CACHE/openfaas
bin=$FAAS_TESTBED_CACHE/bin
run=$bed/run
log=$bed/log
gateway_port=${FAAS_TESTBED_GATEWAY_PORT:-8080}
provider_port=${FAAS_TESTBED_PROVIDER_PORT:-8081}
registry=127.0.0.1:${FAAS_TESTBED_REGISTRY_PORT:-5000}
# Debian's client speaks the engine's own version; a newer one found first in PATH may want plugins.
docker=/usr/bin/docker
[ -x "$docker" ] || docker=docker
mkdir -p "$bin" "$run" "$log"

say() { printf '%s\n' "testbed: $*" >&2; }
die() { say "$*"; exit 1; }

# A process is known by its id and its start time, so that a reused id is never taken for ours.
# A dead one that nobody has reaped yet counts as gone.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" {print $20}'; }

alive() {
    local pid start
    [ -r "$run/$1.pid" ] && read -r pid start <"$run/$1.pid" && [ -n "$start" ] && [ "$(born "$pid")" = "$start" ]
}

# start NAME COMMAND...: detached from the terminal, output to log/NAME.log; nothing if it runs already.
start() {
    local name=$1 pid
    shift
    alive "$name" && return 0
    setsid "$@" >>"$log/$name.log" 2>&1 </dev/null &
    pid=$!
    sleep 0.2
    echo "$pid $(born "$pid")" >"$run/$name.pid"
}

# own NAME PORT...: ends with an error when NAME does not run and something else listens on one of the ports.
own() {
    local name=$1 port
    shift
    alive "$name" && return 0
    for port; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            die "port $port, wanted for $name, is taken by another program; end it or choose another port (head of up.sh)"
        fi
    done
}

# stop NAME: TERM, then KILL after ten seconds.
stop() {
    local pid _ i
    if alive "$1"; then
        read -r pid _ <"$run/$1.pid"
        kill "$pid" 2>/dev/null || true
        for i in $(seq 100); do alive "$1" || break; sleep 0.1; done
        alive "$1" && kill -9 "$pid" 2>/dev/null
        say "$1 stopped"
    fi
    rm -f "$run/$1.pid"
}

# wait_for NAME COMMAND...: until the command succeeds while NAME runs (a stranger on its port is no success).
wait_for() {
    local name=$1 i
    shift
    for i in $(seq 300); do
        alive "$name" || break
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    tail -n 20 "$log/$name.log" >&2
    alive "$name" || die "$name ended at once (is its port taken?); its log: $log/$name.log"
    die "$name did not become healthy within a minute; its log: $log/$name.log"
}

# packages NAME...: installs those Debian packages that are missing.
packages() {
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "${missing[@]}"; } \
        >>"$log/packages.log" 2>&1 || { tail -n 20 "$log/packages.log" >&2; die "apt-get could not install ${missing[*]}"; }
}

# go_install NAME MODULE: the Go program NAME into the cache.
go_install() {
    local go
    go=$(PATH=$PATH:/usr/local/go/bin command -v go) || die "go is needed to install $1"
    CGO_ENABLED=0 GOBIN=$bin "$go" install -trimpath -ldflags '-s -w' "$2" >>"$log/$1-build.log" 2>&1 ||
        { tail -n 20 "$log/$1-build.log" >&2; die "go install $1 failed"; }
}

http_ok() { curl -fs -m 3 -o /dev/null "$@" 2>/dev/null; }
