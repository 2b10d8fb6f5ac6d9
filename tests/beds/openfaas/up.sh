#!/usr/bin/env bash
# Brings the OpenFaaS test bed up, or leaves it as it is when it is up already.
#
# stdout: KEY=VALUE lines for a test harness; stderr: what is being done.
#   FAAS_TESTBED_MODE=openfaas|stand-in   the OpenFaaS programs, or gateway.py in their place; without it: what is up
#                        already, else openfaas when the programs are there, else stand-in
#   OPENFAAS_BIN=DIR     the folder with the programs gateway, faasd and queue-worker (default: $FAAS_TESTBED_CACHE/bin)
#   FAAS_TESTBED_BUILDX=1  also installs buildx (ten minutes on two busy cores, once)
#   FAAS_TESTBED_CACHE, FAAS_TESTBED_GATEWAY_PORT, FAAS_TESTBED_PROVIDER_PORT, FAAS_TESTBED_REGISTRY_PORT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/env.sh"
[ "$(id -u)" = 0 ] || die "run as root: the container engine needs it"

openfaas_bin=${OPENFAAS_BIN:-$bin}
missing=
for p in gateway faasd queue-worker; do
    [ -x "$openfaas_bin/$p" ] || missing="$missing $p"
done
# A mode left by a bed that is no longer up (after a reboot, say) does not bind anyone.
up=
if [ -r "$bed/mode" ] && { alive gateway || alive provider || alive queue-worker; }; then up=$(cat "$bed/mode"); fi
mode=${FAAS_TESTBED_MODE:-}
if [ -z "$mode" ] && [ -n "${OPENFAAS_BIN:-}" ]; then mode=openfaas; fi
if [ -z "$mode" ]; then mode=$up; fi
if [ -z "$mode" ] && [ -z "$missing" ]; then mode=openfaas; fi
if [ -z "$mode" ]; then mode=stand-in; fi
case $mode in
    openfaas) [ -z "$missing" ] || die "mode openfaas: $openfaas_bin has no program$missing" ;;
    stand-in) ;;
    *) die "FAAS_TESTBED_MODE is openfaas or stand-in, not '$mode'" ;;
esac
[ -z "$up" ] || [ "$up" = "$mode" ] || die "the bed is up with mode=$up; run down.sh first to change it to $mode"

packages ca-certificates curl docker.io docker-registry iptables python3

# --- container engine ---------------------------------------------------------------------------------------------
if ! "$docker" info >/dev/null 2>&1; then
    say "starting the container engine"
    start dockerd dockerd
    wait_for dockerd "$docker" info
fi

# --- registry -----------------------------------------------------------------------------------------------------
if ! http_ok "http://$registry/v2/"; then
    say "starting the registry on $registry"
    cat >"$bed/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $bed/registry}
  delete: {enabled: true}
http: {addr: $registry}
YAML
    own registry "${registry#*:}"
    start registry docker-registry serve "$bed/registry.yml"
    wait_for registry http_ok "http://$registry/v2/"
fi

# --- credentials --------------------------------------------------------------------------------------------------
auth=$bed/auth
if [ ! -s "$auth/basic-auth-password" ]; then
    install -d -m 700 "$auth"
    (
        umask 077
        printf admin >"$auth/basic-auth-user"
        head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$auth/basic-auth-password"
    )
fi

# --- OpenFaaS -----------------------------------------------------------------------------------------------------
journal_listens() {
    python3 -c 'import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect("/run/systemd/journal/socket")' 2>/dev/null
}

start_openfaas() {
    packages containerd containernetworking-plugins prometheus runc systemd
    [ "$gateway_port" = 8080 ] || die "OpenFaaS's gateway always listens on 8080; unset FAAS_TESTBED_GATEWAY_PORT"

    # Gateway and provider listen on every address: close their ports to all but this machine.
    for port in 8080 8082 "$provider_port"; do
        iptables -C INPUT -p tcp --dport "$port" ! -i lo -j REJECT 2>/dev/null ||
            iptables -I INPUT -p tcp --dport "$port" ! -i lo -j REJECT
    done

    # Function logs go to the journal and are read back with journalctl. A socket may be left of a journal that ended.
    if ! journal_listens; then
        mkdir -p /run/systemd/journal /var/log/journal
        start journald /lib/systemd/systemd-journald
        wait_for journald journal_listens
    fi

    # A containerd of its own, apart from the engine's.
    local sock=/run/faas-testbed/containerd/containerd.sock
    cat >"$bed/containerd.toml" <<TOML
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
root = "$bed/containerd"
state = "/run/faas-testbed/containerd"
[grpc]
  address = "$sock"
[debug]
  level = "warn"
TOML
    start containerd containerd -c "$bed/containerd.toml"
    wait_for containerd ctr -a "$sock" version

    # Paths that the provider does not let us choose.
    mkdir -p /opt/cni /var/lib/faasd/secrets
    [ -e /opt/cni/bin ] || ln -s /usr/lib/cni /opt/cni/bin
    if [ -L /usr/local/bin/faasd ] || [ ! -e /usr/local/bin/faasd ]; then
        ln -sfn "$(readlink -f "$openfaas_bin/faasd")" /usr/local/bin/faasd
    fi

    if [ ! -x "$bin/nats-streaming-server" ]; then
        say "installing nats-streaming-server (a few minutes, once)"
        go_install nats-streaming-server github.com/nats-io/nats-streaming-server@v0.25.6
    fi
    mkdir -p "$bed/nats" "$bed/prometheus"
    own nats 4222
    start nats "$bin/nats-streaming-server" -a 127.0.0.1 -p 4222 --store=file --dir="$bed/nats" --cluster_id=faas-cluster
    wait_for nats bash -c '</dev/tcp/127.0.0.1/4222'

    cat >"$bed/prometheus.yml" <<YAML
global: {scrape_interval: 2s}
scrape_configs:
  - job_name: gateway
    static_configs: [{targets: ['127.0.0.1:8082']}]
YAML
    own prometheus 9090
    start prometheus prometheus --config.file="$bed/prometheus.yml" --storage.tsdb.path="$bed/prometheus" --web.listen-address=127.0.0.1:9090
    wait_for prometheus http_ok http://127.0.0.1:9090/-/ready

    own provider "$provider_port"
    start provider env -C /var/lib/faasd sock="$sock" secret_mount_path="$auth" port="$provider_port" service_timeout=10m \
        "$openfaas_bin/faasd" provider
    wait_for provider http_ok "http://127.0.0.1:$provider_port/healthz"
    own gateway 8080 8082
    start gateway env -C "$bed" basic_auth=true secret_mount_path="$auth" direct_functions=false scale_from_zero=true \
        functions_provider_url="http://127.0.0.1:$provider_port/" function_namespace=openfaas-fn \
        read_timeout=10m write_timeout=10m upstream_timeout=590s \
        faas_nats_address=127.0.0.1 faas_nats_port=4222 faas_prometheus_host=127.0.0.1 faas_prometheus_port=9090 \
        "$openfaas_bin/gateway"
    wait_for gateway http_ok "http://127.0.0.1:$gateway_port/healthz"
    start queue-worker env basic_auth=true secret_mount_path="$auth" gateway_invoke=true max_inflight=1 ack_wait=5m5s \
        faas_nats_address=127.0.0.1 faas_nats_port=4222 faas_gateway_address=127.0.0.1 faas_gateway_port="$gateway_port" \
        "$openfaas_bin/queue-worker"
}

start_stand_in() {
    say "starting the stand-in gateway (see README.md)"
    own gateway "$gateway_port" "$provider_port"
    start gateway python3 "$here/gateway.py" --port "$gateway_port" --provider-port "$provider_port" \
        --auth "$auth" --state "$bed/stand-in" --log-level warning
    wait_for gateway http_ok "http://127.0.0.1:$gateway_port/healthz"
}

if [ "$mode" = openfaas ]; then start_openfaas; else start_stand_in; fi
echo "$mode" >"$bed/mode"

# --- buildx, on request -------------------------------------------------------------------------------------------
if [ "${FAAS_TESTBED_BUILDX:-}" = 1 ] && [ ! -x "$bin/buildx" ]; then
    say "installing buildx"
    go_install buildx github.com/docker/buildx/cmd/buildx@v0.38.2
    mkdir -p "$bed/docker-config/cli-plugins"
    ln -sfn "$bin/buildx" "$bed/docker-config/cli-plugins/docker-buildx"
fi

cat <<OUT
TESTBED_MODE=$mode
OPENFAAS_URL=http://127.0.0.1:$gateway_port
OPENFAAS_USER=$(cat "$auth/basic-auth-user")
OPENFAAS_PASSWORD_FILE=$auth/basic-auth-password
OPENFAAS_PROVIDER_URL=http://127.0.0.1:$provider_port
FAAS_REGISTRY=$registry
OUT
[ ! -x "$bin/buildx" ] || echo "DOCKER_CONFIG_WITH_BUILDX=$bed/docker-config"
