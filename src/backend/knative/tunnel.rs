//! Calls through the API server, for what has a name in the cluster only: a port-forward to Knative's activator, which
//! wakes functions up, to a pod of the function itself where the activator may not be reached, or to a pod behind a
//! Service of Kubernetes.
//! The activator's headers: knative/serving `pkg/activator/activator.go`.
use std::io;

use futures_util::TryStreamExt;
use http::header;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Service as KubernetesService};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::objects::{REVISION_LABEL, Service};
use super::trouble;
use crate::backend::{Call, Reply};
use crate::error::{Fault, OrFault, Result};

/// Where the activator and the sidecar of every function's pod take HTTP/1.
const PORT: u16 = 8012;
/// Where Knative itself lives.
const SYSTEM: &str = "knative-serving";

/// A port of a pod.
struct Door {
    pods: Api<Pod>,
    pod: String,
    port: u16,
}

/// Calls the revision of `service` that gets most of the traffic.
///
/// # Errors
/// When no pod can be reached, or no answer came.
pub async fn call(cluster: &Cluster, service: &Service, host: &str, mut call: Call) -> Result<Reply> {
    let what = format!("can't call {}", service.name());
    let most = service.status.traffic.iter().max_by_key(|share| share.percent);
    let revision = most.map(|share| share.revision_name.clone()).filter(|name| !name.is_empty());
    let revision = revision.ok_or_else(|| Fault::failed(&what).cause("no revision of it gets traffic"))?;
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let (pods, pod) = way_in(cluster, &namespace, &revision, &what).await?;
    for (name, value) in [("knative-serving-namespace", &namespace), ("knative-serving-revision", &revision)] {
        call.headers.insert(name, value.parse().or_fault(|| format!("`{value}` is no value of a header"))?);
    }
    Door { pods, pod, port: PORT }.call(host, call, &what).await
}

/// Sends `call` to what is known in the cluster as `host`, like `broker-ingress.knative-eventing.svc.cluster.local`,
/// at the port of its Service.
///
/// # Errors
/// When it is no Service of the cluster, no pod is behind it or may be reached, or no answer came.
pub async fn call_host(cluster: &Cluster, host: &str, port: u16, call: Call, what: &str) -> Result<Reply> {
    behind(cluster, host, port, what).await?.call(host, call, what).await
}

/// A pod behind a Service of Kubernetes.
async fn behind(cluster: &Cluster, host: &str, port: u16, what: &str) -> Result<Door> {
    let mut parts = host.split('.');
    let (Some(name), Some(namespace), Some("svc")) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Fault::failed(what).cause(format!("{host} leads nowhere from here")));
    };
    let client = cluster.client().await?;
    let services: Api<KubernetesService> = Api::namespaced(client.clone(), namespace);
    let service = services.get(name).await.map_err(|e| trouble::fault(what, e))?;
    let spec = service.spec.unwrap_or_default();
    let selector: Vec<_> = spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let target = spec.ports.iter().flatten().find(|p| p.port == i32::from(port)).map(|p| p.target_port.clone());
    let (Some(target), false) = (target, selector.is_empty()) else {
        return Err(Fault::failed(what).cause(format!("no pod of the cluster is behind {host}:{port}")));
    };
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let params = ListParams::default().labels(&selector.join(","));
    let found = pods.list(&params).await.map_err(|e| trouble::fault(what, e))?.items;
    let pod = found.into_iter().find(is_running);
    let pod = pod.ok_or_else(|| Fault::failed(what).cause(format!("no pod behind {host} runs")))?;
    let port = match target {
        None => Some(port),
        Some(IntOrString::Int(number)) => u16::try_from(number).ok(),
        Some(IntOrString::String(named)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports.find(|p| p.name.as_ref() == Some(&named)).and_then(|p| u16::try_from(p.container_port).ok())
        }
    };
    let pod_name = pod.name_any();
    let port = port.ok_or_else(|| Fault::failed(what).cause(format!("pod {pod_name} has no such port")))?;
    Ok(Door { pods, pod: pod_name, port })
}

impl Door {
    /// One call through a tunnel of its own.
    async fn call(self, host: &str, call: Call, what: &str) -> Result<Reply> {
        let Self { pods, pod, port } = self;
        let mut tunnel = pods.portforward(&pod, &[port]).await.map_err(|e| trouble::fault(what, e))?;
        let stream = tunnel.take_stream(port).ok_or_else(|| Fault::failed(what).cause("the tunnel has no stream"))?;
        let through = || format!("{what} through pod {pod}");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.or_fault(through)?;
        tokio::spawn(async move {
            // How it ended shows in the answer; the tunnel has to live for as long.
            let _ = connection.await;
            drop(tunnel);
        });

        let mut request = http::Request::builder().method(call.method).uri(&call.path);
        if let Some(headers) = request.headers_mut() {
            *headers = call.headers;
            headers.insert(header::HOST, host.parse().or_fault(|| format!("`{host}` is no name of a host"))?);
            if let Some(length) = call.length {
                headers.insert(header::CONTENT_LENGTH, http::HeaderValue::from(length));
            }
        }
        let body = StreamBody::new(call.body.map_ok(Frame::data));
        let request = request.body(body).or_fault(|| what.to_owned())?;
        let answer = sender.send_request(request);
        let response = match call.timeout {
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| {
                Fault::timed_out(format!("{what}: no answer in time")).hint("--timeout gives it longer")
            })?,
            None => answer.await,
        };
        let (parts, body) = response.or_fault(through)?.into_parts();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body: Box::pin(body.into_data_stream().map_err(io::Error::other)),
        })
    }
}

fn is_running(pod: &Pod) -> bool {
    let gone = pod.metadata.deletion_timestamp.is_some();
    !gone && pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))
}

/// The activator, else a pod of the revision.
async fn way_in(cluster: &Cluster, namespace: &str, revision: &str, what: &str) -> Result<(Api<Pod>, String)> {
    let activators: Api<Pod> = Api::namespaced(cluster.client().await?, SYSTEM);
    let params = ListParams::default().labels("app=activator");
    let found = activators.list(&params).await.map(|list| list.items).unwrap_or_default();
    if let Some(pod) = found.iter().find(|pod| is_running(pod)) {
        return Ok((activators, pod.name_any()));
    }
    let own: Api<Pod> = Api::namespaced(cluster.client().await?, namespace);
    let params = ListParams::default().labels(&format!("{REVISION_LABEL}={revision}"));
    let found = own.list(&params).await.map_err(|e| trouble::fault(what, e))?.items;
    match found.iter().find(|pod| is_running(pod)) {
        Some(pod) => Ok((own, pod.name_any())),
        None => Err(Fault::failed(what)
            .cause("its URL leads nowhere from here, it is scaled to zero, and Knative's activator may not be reached")
            .hint("name the cluster's ingress as host:port in FAAS_KNATIVE_INGRESS or `provider.knative.ingress`")),
    }
}
