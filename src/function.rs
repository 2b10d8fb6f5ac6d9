//! A function as the stack file means it: after substitution, overlay and defaults, neutral of platform.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// A function, neutral of platform. Made by `stack`, read by every room to its right.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Function {
    /// Its key under `functions:`.
    pub name: String,
    /// Where it goes on platforms that have namespaces; `None` is the platform's default.
    pub namespace: Option<String>,
    /// The template's name, perhaps with `@ref`; empty when the function only names an image.
    pub lang: String,
    /// The process that the invoker starts (`fprocess`); `None` leaves it to the template or the image.
    pub process: Option<String>,
    /// Environment variables, `environment_file` merged in.
    pub environment: BTreeMap<String, String>,
    /// Names of secrets, each seen by the function as `/var/openfaas/secrets/NAME`.
    pub secrets: Vec<String>,
    /// Labels; scaling labels (`com.openfaas.scale.*`) stay here too, but `scale` is what counts.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The most it may use.
    pub limits: Resources,
    /// What it is given at least.
    pub requests: Resources,
    /// How many replicas.
    pub scale: Scale,
    /// How long one call may take; `None` is the platform's default.
    pub timeout: Option<Duration>,
    /// Calls in flight per replica; `None` is the platform's default, 0 is unlimited.
    pub concurrency: Option<u32>,
    /// Placement constraints, as the platform words them.
    pub constraints: Vec<String>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// A cron expression, five fields.
    pub schedule: Option<String>,
    /// Topics whose events call it, on platforms with events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Domains that lead to it, on platforms that map them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Who may call its URL, on platforms with function URLs.
    pub url: Option<UrlAccess>,
    /// What to build it from and into what.
    pub build: Build,
    /// Escape hatches (`knative:`, `lambda:`), merged into the platform's object as they are.
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// What to build a function from, and into what.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Build {
    /// The handler's folder, absolute.
    pub handler: PathBuf,
    /// The image's name as written, without any `--tag` applied; `None` when the stack names none.
    pub image: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Names of `build_options` in the template.
    pub options: Vec<String>,
    /// Build secrets: id and absolute path of the file.
    pub secrets: BTreeMap<String, PathBuf>,
    /// Extra paths copied into the handler's folder: absolute, each inside the project (checked when copied).
    pub copy: Vec<PathBuf>,
    /// The image is made elsewhere: don't build or push it.
    pub skip: bool,
    /// Platforms to build for, as `linux/amd64`; empty is the engine's own.
    pub platforms: Vec<String>,
}

/// Memory and CPU, in the field's quantities (`128Mi`, `100m`), passed on as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Memory, as `128Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// CPU, as `100m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

impl Resources {
    /// Whether neither is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_none() && self.cpu.is_none()
    }
}

/// How many replicas a function has, and when that changes. `None` is the platform's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scale {
    /// The fewest; 0 allows scaling to zero.
    pub min: Option<u32>,
    /// The most.
    pub max: Option<u32>,
    /// The load per replica that the platform aims at.
    pub target: Option<u32>,
    /// How long without calls before it goes to zero.
    pub idle: Option<Duration>,
}

/// Who may call a function's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UrlAccess {
    /// Anyone.
    Public,
    /// Signed calls of the platform's own identities.
    Iam,
    /// There is no URL.
    None,
}

/// A function on a platform, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FunctionId {
    /// Its name.
    pub name: String,
    /// Its namespace; `None` is the platform's default.
    pub namespace: Option<String>,
}

impl FunctionId {
    /// The number of one of its revisions or deployments, with which the names end that platforms give: 2 of `tax-00002`.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<u64> {
        name.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok()
    }
}

impl std::fmt::Display for FunctionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match &self.namespace {
            Some(ns) => write!(f, ".{ns}"),
            None => Ok(()),
        }
    }
}

impl Function {
    /// Its name and namespace.
    #[must_use]
    pub fn id(&self) -> FunctionId {
        FunctionId { name: self.name.clone(), namespace: self.namespace.clone() }
    }
}
