//! Knative's objects as they are read: the parts that we look at typed, the rest open.
//! Source of the fields: knative/serving `pkg/apis/serving/v1/{service,revision}_types.go`.
use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::manifest::VISIBILITY_LABEL;

/// The API group.
pub const GROUP: &str = "serving.knative.dev";
/// The API group with its version.
pub const API_VERSION: &str = "serving.knative.dev/v1";
/// Label of pods and revisions: the Service they belong to.
pub const SERVICE_LABEL: &str = "serving.knative.dev/service";
/// Label of pods: the revision they belong to.
pub const REVISION_LABEL: &str = "serving.knative.dev/revision";
/// Annotation of Services: since when the rollout is paused.
pub const PAUSED_KEY: &str = "faas.dev/paused";
/// Annotation of Services: the revisions that had all of the traffic before others got it, newest first.
pub const SERVED_KEY: &str = "faas.dev/served";
/// Label of pods: the uid of the revision they belong to.
pub const REVISION_UID_LABEL: &str = "serving.knative.dev/revisionUID";
/// Label of revisions: the uid of the Service they belong to.
pub const SERVICE_UID_LABEL: &str = "serving.knative.dev/serviceUID";
/// Label of revisions: the generation of the configuration that made them; it counts up.
pub const GENERATION_LABEL: &str = "serving.knative.dev/configurationGeneration";

macro_rules! resource {
    ($type:ty, $kind:literal, $plural:literal) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

/// A Knative Service.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Name, labels, generation.
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: Value,
    /// What is.
    #[serde(default)]
    pub status: ServiceStatus,
}
resource!(Service, "Service", "services");

/// What is, of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// The generation that the rest is about.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// The revision made last.
    pub latest_created_revision_name: String,
    /// The last one that became ready.
    pub latest_ready_revision_name: String,
    /// Where it is called.
    pub url: Option<String>,
    /// Shares of traffic, names resolved.
    pub traffic: Vec<Share>,
}

/// A share of traffic, in `spec` and in `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Share {
    /// The revision; empty in `spec` when it is the latest.
    pub revision_name: String,
    /// Whether it is the latest ready one, whichever that is.
    pub latest_revision: bool,
    /// In percent.
    pub percent: u8,
    /// The name that gives it a URL of its own.
    pub tag: Option<String>,
    /// That URL.
    pub url: Option<String>,
}

/// A condition of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// The whole story.
    pub message: String,
    /// Since when, in RFC 3339.
    #[serde(rename = "lastTransitionTime")]
    pub since: Option<String>,
}

impl Condition {
    /// Its reason and message, for people.
    pub fn words(&self) -> String {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", message) => message.into(),
            (reason, "") => reason.into(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// The condition of a type, when it is there.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.kind == kind)
}

impl Service {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The generation of what was asked for.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Whether the status is about what was asked for last.
    pub fn is_observed(&self) -> bool {
        self.status.observed_generation >= self.generation()
    }

    /// Whether it is ready, and that for what was asked for last.
    pub fn is_ready(&self) -> bool {
        self.is_observed() && condition(&self.status.conditions, "Ready").is_some_and(|c| c.status == "True")
    }

    /// Whether the newest revision, made of what was asked for last, can take traffic.
    pub fn has_newest(&self) -> bool {
        let status = &self.status;
        let ready = condition(&status.conditions, "ConfigurationsReady").is_some_and(|c| c.status == "True");
        self.is_observed() && ready && status.latest_created_revision_name == status.latest_ready_revision_name
    }

    /// Whether the revision of what was asked for last is not even made yet: the names are those of one before.
    pub fn is_making(&self) -> bool {
        condition(&self.status.conditions, "ConfigurationsReady").is_some_and(|c| c.reason == "OutOfDate")
    }

    /// The container that is the function.
    pub fn container(&self) -> &Value {
        let containers = self.spec.pointer("/template/spec/containers").and_then(Value::as_array);
        let found = containers.and_then(|all| all.iter().find(|c| c.get("ports").is_some()).or_else(|| all.first()));
        found.unwrap_or(&Value::Null)
    }

    /// Shares of traffic as asked for.
    pub fn traffic(&self) -> Vec<Share> {
        self.spec.get("traffic").and_then(|t| serde_json::from_value(t.clone()).ok()).unwrap_or_default()
    }

    /// Whether it is for callers inside the cluster only.
    pub fn is_local(&self) -> bool {
        let labels = self.metadata.labels.as_ref();
        labels.and_then(|all| all.get(VISIBILITY_LABEL.0)).is_some_and(|value| value == VISIBILITY_LABEL.1)
    }

    /// Whether its rollout is paused.
    pub fn is_paused(&self) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(PAUSED_KEY))
    }

    /// Whether traffic moves to a new revision by itself.
    pub fn follows_latest(&self) -> bool {
        let traffic = self.traffic();
        traffic.is_empty() || traffic.iter().any(|s| s.latest_revision && s.percent == 100)
    }
}

/// A revision.
#[derive(Debug, Clone, Deserialize)]
pub struct Revision {
    /// Name, labels, when it was made.
    pub metadata: ObjectMeta,
    /// What it runs.
    #[serde(default)]
    pub spec: Value,
    /// What is.
    #[serde(default)]
    pub status: RevisionStatus,
}
resource!(Revision, "Revision", "revisions");

/// A revision without what it runs: for lists of many.
#[derive(Debug, Clone, Deserialize)]
pub struct RevisionBrief {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// What is.
    #[serde(default)]
    pub status: RevisionStatus,
}
resource!(RevisionBrief, "Revision", "revisions");

/// What is, of a revision.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Pods that answer.
    pub actual_replicas: Option<u64>,
    /// Pods wanted.
    pub desired_replicas: Option<u64>,
}

impl Revision {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its number: revisions made later have a higher one.
    pub fn number(&self) -> u64 {
        let labels = self.metadata.labels.as_ref();
        labels.and_then(|l| l.get(GENERATION_LABEL)).and_then(|n| n.parse().ok()).unwrap_or_default()
    }

    /// Whether it can take traffic.
    pub fn is_ready(&self) -> bool {
        condition(&self.status.conditions, "Ready").is_some_and(|c| c.status == "True")
    }

    /// The image it runs.
    pub fn image(&self) -> &str {
        self.spec.pointer("/containers/0/image").and_then(Value::as_str).unwrap_or_default()
    }
}
