//! A function and its image as a Knative Service, ready for server-side apply and for GitOps: the same input gives the
//! same bytes. Rules of the fields: knative/serving `pkg/apis/serving/{fieldmask,k8s_validation}.go`.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, HTTPGetAction, LocalObjectReference, PodSpec, Probe,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretProjection, SecurityContext, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;
use serde_json::{Value, json};

use super::objects::API_VERSION;
use super::{merge, scaling, triggers};
use crate::artifact::Artifact;
use crate::backend::{ARTIFACT_KEY, Change, SPEC_KEY, STACK_KEY};
use crate::error::{Fault, OrFault, Result};
use crate::function::{Function, Resources, UrlAccess};
use crate::history::RECORD_KEY;

/// Label of everything that `faas` makes in a cluster.
pub const OWNER_LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "faas");
/// Label: a Service that nobody outside the cluster can call.
pub const VISIBILITY_LABEL: (&str, &str) = ("networking.knative.dev/visibility", "cluster-local");
/// Annotation: the image's name with its tag, since the Service runs it by digest.
pub const IMAGE_KEY: &str = "faas.dev/image";
/// Annotation of faas-netes: the service account of the pods.
const ACCOUNT_KEY: &str = "com.openfaas.serviceaccount";
/// Where functions find their secrets, as on OpenFaaS.
pub const SECRETS_PATH: &str = "/var/openfaas/secrets";
/// The watchdog's variables that are made of `timeout`.
pub const WATCHDOG: [&str; 3] = ["exec_timeout", "read_timeout", "write_timeout"];
/// The volume of the secrets.
pub const SECRETS_VOLUME: &str = "faas-secrets";
/// The longest timeout that a cluster takes unless its administrator says otherwise, in seconds.
pub const LONGEST_TIMEOUT: u64 = 600;
/// The name that Knative gives a container that has none.
const CONTAINER: &str = "user-container";

/// What of a revision is ours to say; the rest is Kubernetes' pod.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevisionSpec {
    #[serde(flatten)]
    pod: PodSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    /// Left to Knative, answers that begin after 300 s would be cut (knative/serving#15352).
    #[serde(skip_serializing_if = "Option::is_none")]
    response_start_timeout_seconds: Option<u64>,
}

/// The Service. `pull_secrets` are those of the function's secrets that hold a registry's login.
///
/// # Errors
/// When the artifact is no image.
pub fn of(change: &Change, pull_secrets: &BTreeSet<String>) -> Result<Value> {
    let function = &change.function;
    let Artifact::Image { reference, digest } = &change.artifact else {
        return Err(Fault::failed(format!("can't deploy {}", function.name))
            .cause("Knative runs container images, and something else was built"));
    };
    let spec = RevisionSpec {
        pod: pod(function, pinned(reference, digest.as_deref()), pull_secrets),
        container_concurrency: function.concurrency,
        timeout_seconds: function.timeout.map(seconds),
        response_start_timeout_seconds: function.timeout.map(seconds),
    };
    let mut annotations = service_annotations(function);
    annotations.insert(SPEC_KEY.into(), change.spec.clone());
    annotations.insert(ARTIFACT_KEY.into(), change.artifact.identity().into());
    annotations.insert(STACK_KEY.into(), change.stack.clone());
    annotations.insert(IMAGE_KEY.into(), reference.clone());
    annotations.extend(triggers::wanted(function).map(|all| (triggers::WANTED_KEY.to_owned(), all)));

    let mut metadata = json!({ "name": function.name });
    if let Some(namespace) = &function.namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata["labels"] = json!(service_labels(function));
    metadata["annotations"] = json!(annotations);
    let mut template = json!({ "metadata": { "labels": template_labels(function) } });
    let mut annotations = template_annotations(function);
    // On the revision, which stays when the next one comes.
    annotations.extend(change.history.first().map(|record| (RECORD_KEY.to_owned(), record.annotation())));
    if !annotations.is_empty() {
        template["metadata"]["annotations"] = json!(annotations);
    }
    template["spec"] =
        serde_json::to_value(spec).or_fault(|| format!("can't write {} as a Knative Service", function.name))?;
    let mut service = json!({
        "apiVersion": API_VERSION,
        "kind": "Service",
        "metadata": metadata,
        "spec": { "template": template },
    });
    if let Some(extra) = function.extra.get("knative") {
        merge::into(&mut service, &triggers::without(extra));
    }
    Ok(service)
}

/// By digest where it is known: Knative looks a tag up once per revision, so a new push under it would go unseen.
fn pinned(reference: &str, digest: Option<&str>) -> String {
    match digest {
        Some(digest) if !reference.contains('@') => format!("{}@{digest}", without_tag(reference)),
        _ => reference.into(),
    }
}

/// Whether nothing but a tag says which image it is.
pub fn is_by_tag(artifact: &Artifact) -> bool {
    matches!(artifact, Artifact::Image { reference, digest: None } if !reference.contains('@'))
}

fn without_tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        // A colon before a slash is a registry's port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => reference,
    }
}

fn pod(function: &Function, image: String, pull_secrets: &BTreeSet<String>) -> PodSpec {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let files: BTreeSet<&String> = function.secrets.iter().filter(|s| !pull_secrets.contains(*s)).collect();
    if !files.is_empty() {
        let secret = |name: &String| VolumeProjection {
            secret: Some(SecretProjection { name: name.clone(), ..SecretProjection::default() }),
            ..VolumeProjection::default()
        };
        volumes.push(Volume {
            name: SECRETS_VOLUME.into(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(files.into_iter().map(secret).collect()),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        });
        mounts.push(VolumeMount {
            name: SECRETS_VOLUME.into(),
            mount_path: SECRETS_PATH.into(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    if function.read_only {
        // As OpenFaaS has it: the root is read-only, /tmp is not.
        volumes.push(Volume {
            name: "tmp".into(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
        mounts.push(VolumeMount { name: "tmp".into(), mount_path: "/tmp".into(), ..VolumeMount::default() });
    }
    let (readiness, liveness) = probes(function);
    let container = Container {
        name: CONTAINER.into(),
        image: Some(image),
        env: some(environment(function)),
        resources: resources(function),
        readiness_probe: readiness,
        liveness_probe: liveness,
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            read_only_root_filesystem: function.read_only.then_some(true),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
            ..SecurityContext::default()
        }),
        // The last lines of the log then stand in the revision's status when the container ends.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: some(mounts),
        ..Container::default()
    };
    PodSpec {
        containers: vec![container],
        // Without it every Service of the namespace adds variables, which makes for slow starts.
        enable_service_links: Some(false),
        image_pull_secrets: some(
            pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect::<Vec<_>>(),
        ),
        service_account_name: function.annotations.get(ACCOUNT_KEY).cloned(),
        volumes: some(volumes),
        ..PodSpec::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The function's own, `fprocess` and the watchdog's timeouts, by name.
fn environment(function: &Function) -> Vec<EnvVar> {
    let mut all = function.environment.clone();
    if let Some(process) = &function.process {
        all.entry("fprocess".into()).or_insert_with(|| process.clone());
    }
    if let Some(timeout) = function.timeout {
        // The watchdog's own limits are shorter, and would cut the call.
        for name in WATCHDOG {
            all.entry(name.into()).or_insert_with(|| format!("{}ms", timeout.as_millis()));
        }
    }
    all.into_iter().map(|(name, value)| EnvVar { name, value: Some(value), ..EnvVar::default() }).collect()
}

/// One second more than the function has, so that the watchdog's answer comes first.
pub fn seconds(timeout: Duration) -> u64 {
    (timeout.as_millis().div_ceil(1000) as u64 + 1).min(LONGEST_TIMEOUT.max(timeout.as_secs()))
}

fn resources(function: &Function) -> Option<ResourceRequirements> {
    let map = |resources: &Resources| {
        let parts = [("cpu", &resources.cpu), ("memory", &resources.memory)];
        let map: BTreeMap<_, _> =
            parts.into_iter().filter_map(|(k, v)| Some((k.to_owned(), Quantity(v.clone()?)))).collect();
        (!map.is_empty()).then_some(map)
    };
    let (limits, requests) = (map(&function.limits), map(&function.requests));
    (limits.is_some() || requests.is_some()).then(|| ResourceRequirements { limits, requests, ..Default::default() })
}

/// Every template of ours and of OpenFaaS answers `/_/health`; of other images only the port is known.
fn probes(function: &Function) -> (Option<Probe>, Option<Probe>) {
    let annotation = |name: &str| function.annotations.get(&format!("com.openfaas.{name}.http.path")).cloned();
    let lang = function.lang.split('@').next().unwrap_or_default();
    let watched = !lang.is_empty() && !lang.eq_ignore_ascii_case("dockerfile") && !function.build.skip;
    let health = annotation("health").or_else(|| watched.then(|| "/_/health".to_owned()));
    let probe = |path: String, period_seconds| Probe {
        http_get: Some(HTTPGetAction { path: Some(path), ..HTTPGetAction::default() }),
        period_seconds,
        ..Probe::default()
    };
    let ready = annotation("ready").or_else(|| health.clone());
    (ready.map(|path| probe(path, None)), health.map(|path| probe(path, Some(10))))
}

/// On the Service: all of the function's, whose it is, and what `func` looks for.
fn service_labels(function: &Function) -> BTreeMap<String, String> {
    let mut labels = function.labels.clone();
    labels.insert(OWNER_LABEL.0.into(), OWNER_LABEL.1.into());
    labels.entry("function.knative.dev/name".into()).or_insert_with(|| function.name.clone());
    let lang = function.lang.split('@').next().unwrap_or_default();
    if !lang.is_empty() {
        labels.entry("function.knative.dev/runtime".into()).or_insert_with(|| lang.into());
    }
    if function.url == Some(UrlAccess::None) {
        labels.insert(VISIBILITY_LABEL.0.into(), VISIBILITY_LABEL.1.into());
    }
    labels
}

/// On pods and revisions: without what steers the Service, or OpenFaaS.
fn template_labels(function: &Function) -> BTreeMap<String, String> {
    let steers = |key: &str| {
        ["networking.knative.dev/", "serving.knative.dev/", "com.openfaas.scale."].iter().any(|p| key.starts_with(p))
    };
    let mut labels: BTreeMap<_, _> =
        function.labels.iter().filter(|(key, _)| !steers(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.insert(OWNER_LABEL.0.into(), OWNER_LABEL.1.into());
    labels
}

/// Whether an annotation belongs to the revision only; on the Service the webhook refuses it, or it does nothing.
fn is_for_template(key: &str) -> bool {
    ["autoscaling.knative.dev/", "queue.sidecar.serving.knative.dev/", "features.knative.dev/"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
        || key == "serving.knative.dev/progress-deadline"
}

/// Whether an annotation belongs to the Service only.
fn is_for_service(key: &str) -> bool {
    key.starts_with("networking.knative.dev/") || key == "serving.knative.dev/rollout-duration"
}

/// Whether the webhook writes it itself.
fn is_knatives_own(key: &str) -> bool {
    matches!(key, "serving.knative.dev/creator" | "serving.knative.dev/lastModifier")
}

fn service_annotations(function: &Function) -> BTreeMap<String, String> {
    let kept = |key: &str| !is_for_template(key) && !is_knatives_own(key);
    function.annotations.iter().filter(|(key, _)| kept(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn template_annotations(function: &Function) -> BTreeMap<String, String> {
    let kept = |key: &str| !is_for_service(key) && !is_knatives_own(key);
    let mut annotations: BTreeMap<_, _> =
        function.annotations.iter().filter(|(key, _)| kept(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    for (key, value) in scaling::annotations(function) {
        annotations.entry(key.into()).or_insert(value);
    }
    annotations
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
