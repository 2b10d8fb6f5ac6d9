//! Calls through the API server, for functions whose URL leads nowhere from here: a port-forward to Knative's activator,
//! which wakes functions up, or to a pod of the function itself where the activator may not be reached.
//! The activator's headers: knative/serving `pkg/activator/activator.go`.
use std::io;

use futures_util::TryStreamExt;
use http::header;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
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

/// Calls the revision of `service` that gets most of the traffic.
///
/// # Errors
/// When no pod can be reached, or no answer came.
pub async fn call(cluster: &Cluster, service: &Service, host: &str, call: Call) -> Result<Reply> {
    let what = format!("can't call {}", service.name());
    let most = service.status.traffic.iter().max_by_key(|share| share.percent);
    let revision = most.map(|share| share.revision_name.clone()).filter(|name| !name.is_empty());
    let revision = revision.ok_or_else(|| Fault::failed(&what).cause("no revision of it gets traffic"))?;
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let (pods, pod) = way_in(cluster, &namespace, &revision, &what).await?;
    let mut tunnel = pods.portforward(&pod, &[PORT]).await.map_err(|e| trouble::fault(&what, e))?;
    let stream = tunnel.take_stream(PORT).ok_or_else(|| Fault::failed(&what).cause("the tunnel has no stream"))?;
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
        let mut set = |name: http::HeaderName, value: &str| -> Result<()> {
            headers.insert(name, value.parse().or_fault(|| format!("`{value}` is no value of a header"))?);
            Ok(())
        };
        set(header::HOST, host)?;
        set("knative-serving-namespace".parse().or_fault(through)?, &namespace)?;
        set("knative-serving-revision".parse().or_fault(through)?, &revision)?;
        if let Some(length) = call.length {
            set(header::CONTENT_LENGTH, &length.to_string())?;
        }
    }
    let body = StreamBody::new(call.body.map_ok(Frame::data));
    let request = request.body(body).or_fault(|| what.clone())?;
    let answer = sender.send_request(request);
    let response = match call.timeout {
        Some(limit) => tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| Fault::timed_out(format!("{what}: no answer in time")).hint("--timeout gives it longer"))?,
        None => answer.await,
    };
    let (parts, body) = response.or_fault(through)?.into_parts();
    Ok(Reply {
        status: parts.status,
        headers: parts.headers,
        body: Box::pin(body.into_data_stream().map_err(io::Error::other)),
    })
}

/// The activator, else a pod of the revision.
async fn way_in(cluster: &Cluster, namespace: &str, revision: &str, what: &str) -> Result<(Api<Pod>, String)> {
    let running = |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
    let activators: Api<Pod> = Api::namespaced(cluster.client().await?, SYSTEM);
    let params = ListParams::default().labels("app=activator");
    let found = activators.list(&params).await.map(|list| list.items).unwrap_or_default();
    if let Some(pod) = found.iter().find(|pod| running(pod)) {
        return Ok((activators, pod.name_any()));
    }
    let own: Api<Pod> = Api::namespaced(cluster.client().await?, namespace);
    let params = ListParams::default().labels(&format!("{REVISION_LABEL}={revision}"));
    let found = own.list(&params).await.map_err(|e| trouble::fault(what, e))?.items;
    match found.iter().find(|pod| running(pod)) {
        Some(pod) => Ok((own, pod.name_any())),
        None => Err(Fault::failed(what)
            .cause("its URL leads nowhere from here, it is scaled to zero, and Knative's activator may not be reached")
            .hint("name the cluster's ingress as host:port in FAAS_KNATIVE_INGRESS or `provider.knative.ingress`")),
    }
}
