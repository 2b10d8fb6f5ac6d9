//! The OpenFaaS gateway's REST API: JSON types shared by the client (backends) and the server (embedded platform).
//! Source: gateway's api-docs/spec.openapi.yml v0.8.12, and the answers recorded in tests/beds/openfaas.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::RunSpec;

pub mod client;
mod null;
pub mod page;
mod retry_after;

pub use retry_after::retry_after;

/// Names and texts.
pub type Map = BTreeMap<String, String>;

/// Body of `PUT` and `POST /system/functions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionDeployment {
    /// The function's name.
    #[serde(deserialize_with = "null::nothing")]
    pub service: String,
    /// The image; for a bundle, `bundle:` and its digest.
    #[serde(deserialize_with = "null::nothing")]
    pub image: String,
    /// `None` is the gateway's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The process that the invoker starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_process: Option<String>,
    /// Environment variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::texts")]
    pub env_vars: Option<Map>,
    /// Placement constraints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::names")]
    pub constraints: Option<Vec<String>>,
    /// Names of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::names")]
    pub secrets: Option<Vec<String>>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::texts")]
    pub labels: Option<Map>,
    /// Annotations.
    #[serde(deserialize_with = "null::texts")]
    pub annotations: Option<Map>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Quantities>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Quantities>,
    /// Whether the root file system is read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[serde(deserialize_with = "null::nothing")]
    pub read_only_root_filesystem: bool,
    /// Ours: a folder on this machine to run as a process, instead of an image. Other gateways ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
}

/// A folder on this machine to run as a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The folder, absolute.
    pub dir: std::path::PathBuf,
    /// Its fingerprint.
    pub digest: String,
    /// How it is run.
    pub run: RunSpec,
    /// Calls in flight per replica; `None` is the platform's default, 0 is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// What is asked of this one deploy; not kept.
    #[serde(default, skip_serializing_if = "Orders::are_none")]
    pub orders: Orders,
}

/// How one deploy of a bundle is to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// New processes even where the running ones would do.
    #[serde(default)]
    pub restart: bool,
    /// How long the new processes may take to become ready; `None` leaves it to the platform.
    #[serde(default)]
    pub ready_within: Option<std::time::Duration>,
    /// Answer at once; the new processes take over when they are ready.
    #[serde(default)]
    pub unawaited: bool,
}

impl Orders {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Memory and CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantities {
    /// As `128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// As `100m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

/// A row of `GET /system/functions`, and the answer of `GET /system/function/NAME`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionStatus {
    /// The function's name.
    #[serde(deserialize_with = "null::nothing")]
    pub name: String,
    /// The image.
    #[serde(deserialize_with = "null::nothing")]
    pub image: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The process that the invoker starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_process: Option<String>,
    /// Environment variables: faasd answers the image's and the deployment's together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::texts")]
    pub env_vars: Option<Map>,
    /// Placement constraints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::names")]
    pub constraints: Option<Vec<String>>,
    /// Names of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::names")]
    pub secrets: Option<Vec<String>>,
    /// Labels.
    #[serde(deserialize_with = "null::texts")]
    pub labels: Option<Map>,
    /// Annotations.
    #[serde(deserialize_with = "null::texts")]
    pub annotations: Option<Map>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Quantities>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Quantities>,
    /// Whether the root file system is read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[serde(deserialize_with = "null::nothing")]
    pub read_only_root_filesystem: bool,
    /// Calls so far; left out at 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_count: Option<f64>,
    /// Replicas wanted; left out at 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
    /// Replicas that answer; only told for a single function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<u64>,
    /// Replicas that were started and are not ready yet; told by the embedded platform, and left out at 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_replicas: Option<u64>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// Only with `?usage=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<FunctionUsage>,
}

impl FunctionStatus {
    /// A function as it was asked for; how it is doing is not known.
    #[must_use]
    pub fn of(deployment: FunctionDeployment) -> Self {
        Self {
            name: deployment.service,
            image: deployment.image,
            namespace: deployment.namespace,
            env_process: deployment.env_process,
            env_vars: deployment.env_vars,
            constraints: deployment.constraints,
            secrets: deployment.secrets,
            labels: deployment.labels,
            annotations: deployment.annotations,
            limits: deployment.limits,
            requests: deployment.requests,
            read_only_root_filesystem: deployment.read_only_root_filesystem,
            ..Self::default()
        }
    }
}

/// What a function uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionUsage {
    /// Thousandths of a core.
    #[serde(deserialize_with = "null::nothing")]
    pub cpu: f64,
    /// Bytes.
    #[serde(deserialize_with = "null::nothing")]
    pub total_memory_bytes: f64,
}

/// Body of `DELETE /system/functions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteFunction {
    /// The function's name.
    #[serde(deserialize_with = "null::nothing")]
    pub function_name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Body of `POST /system/scale-function/NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleFunction {
    /// The function's name.
    #[serde(deserialize_with = "null::nothing")]
    pub service_name: String,
    /// Replicas wanted.
    #[serde(deserialize_with = "null::nothing")]
    pub replicas: u64,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Body of `/system/secrets` calls, and a row of its list (without values). `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Its name.
    #[serde(deserialize_with = "null::nothing")]
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The value as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value as base64; wins over `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_value: Option<String>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Body of `/system/namespace/` calls and the answer of `GET /system/namespace/NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionNamespace {
    /// Its name.
    #[serde(deserialize_with = "null::nothing")]
    pub name: String,
    /// Labels; the gateway wants `openfaas: "1"` among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::texts")]
    pub labels: Option<Map>,
    /// Annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "null::texts")]
    pub annotations: Option<Map>,
}

/// A line of `GET /system/logs`, which is newline-delimited JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMessage {
    /// The function's name.
    pub name: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// The replica.
    #[serde(default)]
    pub instance: String,
    /// RFC 3339 with nanoseconds.
    pub timestamp: jiff::Timestamp,
    /// The line.
    pub text: String,
}
