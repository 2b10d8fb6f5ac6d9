//! What a platform says of the functions that it has.
use std::collections::BTreeMap;

use serde::Serialize;

use super::Revision;
use crate::function::{FunctionId, Resources};

/// Which functions to look at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// `None` is the platform's default namespace.
    pub namespace: Option<String>,
    /// Only these; empty is all.
    pub names: Vec<String>,
    /// Also ask for current use of memory and CPU, where that costs a call of its own.
    pub usage: bool,
    /// Also what other tools deployed, where the platform tells that apart.
    pub others: bool,
}

/// A function as the platform has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// Its namespace, when the platform told.
    pub namespace: Option<String>,
    /// The image, or what the platform runs in its place.
    pub image: String,
    /// The process the invoker starts, when the platform told.
    pub process: Option<String>,
    /// Environment variables, as the platform reports them (OpenFaaS adds the image's own).
    pub environment: BTreeMap<String, String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Placement constraints.
    pub constraints: Vec<String>,
    /// Limits.
    pub limits: Resources,
    /// Requests.
    pub requests: Resources,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Replicas wanted.
    pub replicas: u64,
    /// Replicas that answer; `None` when the platform did not tell (OpenFaaS's list).
    pub available: Option<u64>,
    /// Calls so far; `None` where the platform doesn't count them.
    pub invocations: Option<f64>,
    /// Whether it takes calls, where a list tells that already.
    #[serde(skip)]
    pub ready: Option<bool>,
    /// RFC 3339.
    pub created: Option<String>,
    /// Where it is called.
    pub url: Option<String>,
    /// Where it is called asynchronously.
    pub async_url: Option<String>,
    /// CPU in thousandths of a core and memory in bytes, when asked for and told.
    pub usage: Option<Usage>,
    /// The HTTP status that the platform took it with, where it has just been applied and the platform speaks HTTP.
    #[serde(skip)]
    pub taken: Option<u16>,
    /// Whether the platform told labels and annotations, be it that there are none.
    #[serde(skip)]
    pub tells: (bool, bool),
    /// Which revisions get calls, in words, when these are others than the newest, as somebody said by hand.
    #[serde(skip)]
    pub pinned: Option<String>,
}

/// What a function uses now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
}

impl Deployed {
    /// Its name and namespace.
    #[must_use]
    pub fn id(&self) -> FunctionId {
        FunctionId { name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// What a platform tells of one function beyond [`Deployed`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Detail {
    /// Whether it takes calls; scaled to zero it does.
    pub ready: bool,
    /// Whether its rollout is paused.
    pub paused: bool,
    /// What the platform says about its state.
    pub conditions: Vec<Condition>,
    /// Its revisions, newest first.
    pub revisions: Vec<Revision>,
    /// What keeps it from running, in the platform's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One thing that a platform says about a function's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
