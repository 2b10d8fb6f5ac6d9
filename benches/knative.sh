#!/usr/bin/env bash
# `faas` on Knative against `kn` and `func`, side by side in one run: 20 functions deployed without waiting, one Service
# created and waited for, how long after "Ready" the command ends, the list of many Services, start-up.
#
#   benches/knative.sh [ROUNDS, 3] [SERVICES in the list, 1000]
#
# Needs the bed (tests/beds/knative/up.sh; its variables in the environment), curl, GNU time and jq. KN and FUNC are the
# programs to compare with; what is not set is left out. The list's Services are bare objects: LIST_KUBECONFIG is a bed
# of level api, where nobody acts on them; without it Knative's controller stands still meanwhile, and is started again.
set -euo pipefail
rounds=${1:-3} many=${2:-1000}
cd "$(dirname "$0")/.."
for name in KUBECONFIG KUBECTL KNATIVE_ECHO INGRESS; do
    [ -n "${!name:-}" ] || { echo "skipped: no Knative cluster ($name is not set)" >&2; exit 0; }
done
for program in curl jq /usr/bin/time; do
    command -v "$program" >/dev/null || { echo "needs $program" >&2; exit 1; }
done
target=${CARGO_TARGET_DIR:-$PWD/target}
[ -n "${FAAS:-}" ] || cargo build --release -q
faas=${FAAS:-$target/release/faas}
kubectl() { "$KUBECTL" --kubeconfig "$KUBECONFIG" "$@"; }
folder=$(mktemp -d)
namespace=bench-$$
export HOME=$folder FAAS_HOME=$folder FAAS_KNATIVE_NAMESPACE=$namespace KUBECONFIG
stopped=
bed=$KUBECONFIG
finish() {
    KUBECONFIG=$bed
    kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true
    [ -z "$stopped" ] || kubectl scale deployment controller -n knative-serving --replicas 1 >/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
kubectl create namespace "$namespace" >/dev/null
cd "$folder"

# milliseconds COMMAND... prints how long it took.
milliseconds() {
    local start end
    start=$(date +%s%N)
    "$@" >"$folder/out" 2>&1 || { cat "$folder/out" >&2; exit 1; }
    end=$(date +%s%N)
    echo $(((end - start) / 1000000))
}
# least NAME=FUNCTION... runs them in turns and prints the least of each, the fairest on a machine that others use, too.
least() {
    local each took
    declare -A best=()
    for round in $(seq "$rounds"); do
        export ROUND=$round
        for each; do
            took=$(milliseconds "${each##*=}")
            [ -n "${best[$each]:-}" ] && [ "${best[$each]}" -le "$took" ] || best[$each]=$took
            [ -z "${SETTLE:-}" ] || settled
        done
    done
    for each; do printf '%-34s %6d ms\n' "${each%=*}" "${best[$each]}"; done
}
# settled removes all Services and waits until nothing of them is left to be done by the cluster.
settled() {
    kubectl delete ksvc --all -n "$namespace" --wait=true >/dev/null 2>&1
    while [ -n "$(kubectl get pods,revisions -n "$namespace" -o name)" ]; do sleep 1; done
    sleep 1
}
stack() { # NAMES...
    echo 'provider: {name: knative}'
    echo 'functions:'
    for name in "$@"; do
        printf '  %s: {skip_build: true, image: %s, environment: {ROUND: "%s"}}\n' "$name" "$KNATIVE_ECHO" "${ROUND:-0}"
    done
}
twenty=$(seq -f 'fn-%02g' 20)

echo "deploying 20 functions, no waiting (each round changes a variable)"
ours() {
    # shellcheck disable=SC2086
    stack $twenty >stack.yml
    "$faas" deploy --no-wait
}
both=('faas=ours')
if [ -n "${KN:-}" ]; then
    theirs() {
        local name
        for name in $twenty; do
            "$KN" service apply "kn-$name" --image "$KNATIVE_ECHO" -e "ROUND=$ROUND" --no-wait -n "$namespace"
        done
    }
    both+=('kn service apply, one by one=theirs')
fi
least "${both[@]}"
kubectl wait --for=condition=Ready ksvc --all -n "$namespace" --timeout=5m >/dev/null
unchanged() { "$faas" deploy --no-wait; }
stack $twenty >stack.yml
least 'faas, nothing changed=unchanged'
settled

echo "one Service, created and waited for"
one() { stack "one-$ROUND" >stack.yml; "$faas" deploy --timeout 2m; }
both=('faas=one')
if [ -n "${KN:-}" ]; then
    kn_one() { "$KN" service create "kn-one-$ROUND" --image "$KNATIVE_ECHO" -n "$namespace" --wait-timeout 120; }
    both+=('kn service create=kn_one')
fi
SETTLE=yes least "${both[@]}"

echo "from Ready on the server to the end of the command"
for round in $(seq "$rounds"); do
    stack "last-$round" >stack.yml
    kubectl get ksvc -n "$namespace" -w -o json 2>/dev/null | jq --unbuffered -r "select(.metadata.name == \"last-$round\")
        | select(any(.status.conditions[]?; .type == \"Ready\" and .status == \"True\")) | now" >ready &
    watcher=$!
    "$faas" deploy --timeout 2m >/dev/null 2>&1
    date +%s.%N >ended
    for _ in $(seq 50); do [ -s ready ] && break; sleep 0.1; done
    kill "$watcher" 2>/dev/null || true
    awk 'NR == FNR && FNR == 1 {ready = $1} NR != FNR {printf "%-34s %6d ms\n", "faas", ($1 - ready) * 1000}' ready ended
done
kubectl delete ksvc --all -n "$namespace" --wait=true >/dev/null

echo "the list of $many Services"
if [ -n "${LIST_KUBECONFIG:-}" ]; then
    KUBECONFIG=$LIST_KUBECONFIG
    kubectl create namespace "$namespace" >/dev/null
    kubectl wait --for=jsonpath='{.metadata.name}'=default serviceaccount/default -n "$namespace" --timeout=30s >/dev/null
else
    stopped=yes
    kubectl scale deployment controller -n knative-serving --replicas 0 >/dev/null
fi
stack placeholder >stack.yml
"$faas" generate -n "$namespace" | sed 's/^---$//' >one.yml
for number in $(seq "$many"); do
    printf -- '---\n'
    sed "s/placeholder/list-$number/g" one.yml
done >many.yml
kubectl apply --server-side -f many.yml >/dev/null 2>&1
printf 'provider: {name: knative}\nfunctions: {}\n' >stack.yml
# asked prints how many lists the API server has answered so far.
asked() {
    kubectl get --raw /metrics | awk '/^apiserver_request_total/ && /verb="LIST"/ && /serving.knative.dev/ { n += $NF } END { print n + 0 }'
}
listed() { # NAME COMMAND...
    local name=$1 before after; shift
    before=$(asked)
    /usr/bin/time -f '%e s, %M KiB at most' "$@" 2>list.time >list.out
    after=$(asked)
    printf '%-34s %s, %s lines, %s lists asked for\n' "$name" "$(tail -1 list.time)" "$(wc -l <list.out)" $((after - before))
}
listed faas "$faas" list -q
[ -z "${KN:-}" ] || listed 'kn service list' "$KN" service list -n "$namespace"
kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true

echo "start-up"
started() { # NAME COMMAND...
    local name=$1; shift
    ten() { for _ in $(seq 10); do "$@" >/dev/null 2>&1; done; }
    /usr/bin/time -f '%M KiB at most' "$@" 2>start.time >/dev/null
    printf '%-34s %6d ms for ten, %s\n' "$name" "$(milliseconds ten "$@")" "$(tail -1 start.time)"
}
started 'faas --version' "$faas" --version
[ -z "${KN:-}" ] || started 'kn version' "$KN" version
[ -z "${FUNC:-}" ] || started 'func version' "$FUNC" version
