//! The true cause of a revision that doesn't start: its own conditions, its pods, their events, their last words.
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::objects::{REVISION_LABEL, REVISION_UID_LABEL, Revision, SERVICE_UID_LABEL, Service, condition};
use super::trouble;
use crate::error::Result;

/// How many of a container's last lines are shown.
const LAST_LINES: i64 = 20;
/// The sidecar of every pod.
pub const SIDECAR: &str = "queue-proxy";

/// What keeps a revision from becoming ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What sort of fault: the same one seen again goes on counting.
    pub kind: String,
    /// What is wrong, in the cluster's own words.
    pub cause: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How long it must last before it counts as final; `None` never does, since it may pass.
    pub patience: Option<Duration>,
}

impl Diagnosis {
    /// A fault that is told and waited for.
    pub fn new(cause: impl Into<String>) -> Self {
        let cause = cause.into();
        Self { kind: cause.clone(), cause, hint: None, patience: None }
    }

    fn of(kind: &str, cause: impl Into<String>, patience: Duration) -> Self {
        Self { kind: kind.into(), cause: cause.into(), hint: None, patience: Some(patience) }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What keeps the newest revision of `service` from becoming ready; `None` while nothing looks wrong.
///
/// # Errors
/// When the cluster can't be asked.
pub async fn of(cluster: &Cluster, service: &Service) -> Result<Option<Diagnosis>> {
    let revision = &service.status.latest_created_revision_name;
    let settled = condition(&service.status.conditions, "ConfigurationsReady").is_some_and(|c| c.reason != "OutOfDate");
    if revision.is_empty() || !service.is_observed() || !settled {
        return Ok(None);
    }
    let namespace = service.metadata.namespace.as_deref();
    let what = "can't look at the new revision";
    let found = cluster.revisions(namespace).await?.get_opt(revision).await.map_err(|e| trouble::fault(what, e))?;
    // One of the same name may be left of a function that was removed just now, and so may pods.
    let own = |found: &Revision| {
        let owner = found.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_UID_LABEL));
        owner.is_none_or(|owner| Some(owner) == service.metadata.uid.as_ref())
    };
    let Some(found) = found.filter(own) else { return Ok(None) };
    if found.is_ready() {
        return Ok(None);
    }
    let pods = cluster.pods(namespace).await?;
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let list = ListParams::default().labels(&format!("{REVISION_UID_LABEL}={uid}"));
    let there = pods.list(&list).await.map_err(|e| trouble::fault(what, e))?.items;
    for pod in &there {
        if let Some(diagnosis) = pod_fault(&pods, pod).await {
            return Ok(Some(diagnosis));
        }
    }
    for kind in ["ContainerHealthy", "ResourcesAvailable"] {
        let Some(condition) = condition(&found.status.conditions, kind).filter(|c| c.status == "False") else {
            continue;
        };
        let words = condition.words();
        return Ok(Some(match condition.reason.as_str() {
            "ContainerMissing" => image_fault(&condition.message, Duration::from_secs(2)),
            "Unschedulable" => unschedulable(cluster, &there, words).await,
            "FailedCreate" => {
                let hint = not_let_in(&words);
                Diagnosis::of("FailedCreate", words, Duration::from_secs(2)).hint(hint)
            }
            reason => Diagnosis::of(reason, words, Duration::from_secs(2)),
        }));
    }
    for pod in &there {
        if let Some(diagnosis) = event_fault(cluster, pod).await {
            return Ok(Some(diagnosis));
        }
    }
    Ok(if there.is_empty() { unmade(cluster, &found).await } else { None })
}

/// How long a pod may find no node before that counts: what makes nodes has said so by then.
const NODE_PATIENCE: Duration = Duration::from_secs(30);
/// What the scheduler says of nodes that won't do.
const NEVER_FITS: [&str; 2] = ["Insufficient", "node affinity/selector"];
/// Events of pods by which what makes nodes says that one comes.
const NODE_COMES: [&str; 2] = ["TriggeredScaleUp", "Nominated"];

/// No node takes the pods: final, unless somebody makes another.
async fn unschedulable(cluster: &Cluster, pods: &[Pod], cause: String) -> Diagnosis {
    for pod in pods {
        let events = events(cluster, pod.metadata.namespace.as_deref(), pod.metadata.uid.as_deref()).await;
        if events.iter().any(|event| event.reason.as_deref().is_some_and(|reason| NODE_COMES.contains(&reason))) {
            let cause = format!("{cause}; a node for it is being made");
            return Diagnosis { kind: "Unschedulable".into(), ..Diagnosis::new(cause) };
        }
    }
    let hint = "ask for less under `requests:`, or add a node";
    // A node that is too small stays so; one that has no room on its disk now may have it soon.
    if NEVER_FITS.iter().any(|sign| cause.contains(sign)) {
        return Diagnosis::of("Unschedulable", cause, NODE_PATIENCE).hint(hint);
    }
    Diagnosis { kind: "Unschedulable".into(), ..Diagnosis::new(cause) }.hint(hint)
}

/// What to do where no pod is let in.
fn not_let_in(words: &str) -> &'static str {
    if words.contains("serviceaccount") && words.contains("not found") {
        "make the service account (`kubectl create serviceaccount`), or name another in the annotation com.openfaas.serviceaccount"
    } else if words.contains("exceeded quota") {
        "the namespace's quota is used up: remove something, or ask for smaller limits"
    } else if words.contains("PodSecurity") {
        "the namespace's pod security doesn't let the pod in"
    } else {
        "the namespace's quota or policy doesn't let the pod in"
    }
}

/// A revision whose Deployment the API server refuses tells so by an event, and in no condition.
async fn unmade(cluster: &Cluster, revision: &Revision) -> Option<Diagnosis> {
    let found = events(cluster, revision.metadata.namespace.as_deref(), revision.metadata.uid.as_deref()).await;
    let is_it = |message: &String| message.contains("failed to create ") && !message.contains("failed calling webhook");
    let message = found.into_iter().filter_map(|event| event.message).find(is_it)?;
    let refused = ["is invalid", "is forbidden"].iter().any(|sign| message.contains(sign));
    let patience = Duration::from_secs(if refused { 3 } else { 20 });
    Some(Diagnosis::of("unmade", message, patience).hint("the API server doesn't take what was made of the function"))
}

/// What went wrong with an object, as its events tell.
async fn events(cluster: &Cluster, namespace: Option<&str>, uid: Option<&str>) -> Vec<Event> {
    let (Ok(events), Some(uid)) = (cluster.api::<Event>(namespace).await, uid) else { return Vec::new() };
    let list = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    events.list(&list).await.map(|list| list.items).unwrap_or_default()
}

/// What is wrong with pods of revisions that get traffic, whatever the Service says: once a revision was ready, it
/// stays so in Knative's eyes.
///
/// # Errors
/// When the cluster can't be asked.
pub async fn of_serving(cluster: &Cluster, service: &Service) -> Result<Option<Diagnosis>> {
    let pods = cluster.pods(service.metadata.namespace.as_deref()).await?;
    for share in service.status.traffic.iter().filter(|share| share.percent > 0) {
        let list = ListParams::default().labels(&format!("{REVISION_LABEL}={}", share.revision_name));
        let there = pods.list(&list).await.map_err(|e| trouble::fault("can't look at the pods", e))?.items;
        for pod in there.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            if let Some(found) = pod_fault(&pods, pod).await {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// What can be said when time is up and nothing looked wrong: mostly that nobody listens.
pub async fn at_the_end(cluster: &Cluster, service: &Service) -> Option<Diagnosis> {
    let revision = &service.status.latest_created_revision_name;
    let pods = cluster.pods(service.metadata.namespace.as_deref()).await.ok()?;
    let list = ListParams::default().labels(&format!("{REVISION_LABEL}={revision}"));
    let pod = pods.list(&list).await.ok()?.items.into_iter().next()?;
    let running = containers(&pod).find(|c| c.name != SIDECAR)?;
    if running.state.as_ref()?.running.is_none() || running.ready {
        return None;
    }
    let port =
        service.container().pointer("/ports/0/containerPort").and_then(serde_json::Value::as_u64).unwrap_or(8080);
    let name = pod.name_any();
    let last = last_words(&pods, &name, &running.name, false).await;
    Some(
        Diagnosis::new(format!("pod {name} runs, but nothing answers on its port {port}{last}"))
            .hint("the function has to listen on 0.0.0.0 at the port in $PORT"),
    )
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten())
}

async fn pod_fault(pods: &Api<Pod>, pod: &Pod) -> Option<Diagnosis> {
    let name = pod.name_any();
    for container in containers(pod) {
        let waiting = container.state.as_ref().and_then(|s| s.waiting.as_ref());
        let reason = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
        let message = waiting.and_then(|w| w.message.as_deref()).unwrap_or_default();
        match reason {
            "ErrImagePull" => return Some(image_fault(message, Duration::from_secs(10))),
            // Its own message only says that it waits; the kind is the same, so that the time goes on.
            "ImagePullBackOff" => {
                return Some(image_fault(&format!("{}: {message}", container.image), Duration::from_secs(10)));
            }
            "InvalidImageName" | "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                return Some(
                    Diagnosis::of(reason, format!("{reason}: {message} (pod {name})"), Duration::from_secs(5))
                        .hint("`faas describe` shows what the function asks for"),
                );
            }
            _ => {}
        }
        let ended = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        let ended = ended.or_else(|| container.state.as_ref()?.terminated.as_ref());
        let Some(ended) = ended.filter(|_| container.name != SIDECAR) else { continue };
        let message = ended.message.as_deref().unwrap_or_default().trim();
        // Too little memory to start at all is told by the container's runtime only.
        let starved = ended.reason.as_deref() == Some("OOMKilled")
            || ["OOM-killed", "unable to set memory limit"].iter().any(|sign| message.contains(sign));
        let why = match ended.reason.as_deref() {
            _ if starved && message.is_empty() => "ran out of memory".to_owned(),
            _ if starved => format!("ran out of memory: {message}"),
            Some("StartError" | "ContainerCannotRun") => format!("can't start: {message}"),
            _ => format!("ended with exit code {}", ended.exit_code),
        };
        let last = last_words(pods, &name, &container.name, container.restart_count > 0).await;
        let patience = if container.restart_count > 1 { Duration::ZERO } else { Duration::from_secs(4) };
        let found = Diagnosis::of("ended", format!("the container of pod {name} {why}{last}"), patience);
        return Some(match ended.reason.as_deref() {
            _ if starved => found.hint("give it more under `limits: {memory: …}`"),
            Some("StartError" | "ContainerCannotRun") => {
                found.hint("is the image made for this kind of machine, and does it have the program that it names?")
            }
            _ => found.hint("the log above says why; `faas logs` has all of it"),
        });
    }
    None
}

fn image_fault(message: &str, patience: Duration) -> Diagnosis {
    let found = Diagnosis::of("image", format!("the image can't be pulled: {message}"), patience);
    let lower = message.to_lowercase();
    let login = ["unauthorized", "authentication required", "401", "403", "denied", "no basic auth credentials"];
    if login.iter().any(|sign| lower.contains(sign)) {
        return found.hint(
            "the registry wants a login: name a secret that holds one (`kubectl create secret docker-registry`) under `secrets:`",
        );
    }
    if lower.contains("server gave http response to https client") {
        return found.hint("the registry speaks plain HTTP: the nodes' and Knative's settings have to allow that");
    }
    found.hint("was it pushed (`faas push`), and may the cluster read that registry?")
}

/// The last lines of a container's log, on lines of their own.
async fn last_words(pods: &Api<Pod>, pod: &str, container: &str, previous: bool) -> String {
    let params =
        LogParams { container: Some(container.into()), tail_lines: Some(LAST_LINES), previous, ..LogParams::default() };
    let lines = pods.logs(pod, &params).await.unwrap_or_default();
    lines.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("\n  {line}")).collect()
}

/// A pod that can't even be made ready to start tells so by events.
async fn event_fault(cluster: &Cluster, pod: &Pod) -> Option<Diagnosis> {
    let found = events(cluster, pod.metadata.namespace.as_deref(), pod.metadata.uid.as_deref()).await;
    let unplaced = |event: &&Event| event.reason.as_deref() == Some("FailedScheduling");
    let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    if let Some(event) = found.iter().rev().find(unplaced).filter(|_| !placed) {
        let cause = format!("no node takes it: {}", event.message.as_deref().unwrap_or_default());
        return Some(unschedulable(cluster, std::slice::from_ref(pod), cause).await);
    }
    found.into_iter().filter(|event| event.type_.as_deref() == Some("Warning")).find_map(|event| {
        let message = event.message.unwrap_or_default();
        match event.reason.as_deref()? {
            reason @ ("FailedMount" | "FailedCreatePodSandBox" | "FailedAttachVolume") => {
                let missing = message.contains("not found");
                let patience = Duration::from_secs(if missing { 5 } else { 30 });
                let found = Diagnosis::of(reason, format!("{reason}: {message}"), patience);
                Some(if missing { found.hint("`faas secret create` makes a secret") } else { found })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_wants_a_login_is_told_from_an_image_that_is_not_there() {
        let hint = |message: &str| image_fault(message, Duration::ZERO).hint.unwrap();
        let denied = r#"failed to resolve image to digest: HEAD https://r.example.com/v2/tax/manifests/1: unexpected status code 401 Unauthorized"#;
        assert!(hint(denied).contains("wants a login"));
        assert!(hint("pull access denied, repository does not exist or may require authorization").contains("login"));
        assert!(hint("manifest unknown").contains("faas push"));
    }
}
