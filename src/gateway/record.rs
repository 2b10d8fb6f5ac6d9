//! What the platform keeps across restarts, as it stands in the database.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::FunctionDeployment;

/// A function's name in its namespace; ordered by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of a function called `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// From what stands in a path: `NAME` or `NAME.NAMESPACE`.
    pub fn parse(full: &str) -> Self {
        match full.rsplit_once('.') {
            Some((name, namespace)) if !name.is_empty() => Self::new(namespace, name),
            _ => Self::new(super::DEFAULT_NAMESPACE, full),
        }
    }

    /// As it stands in the database; a slash is in no name.
    pub fn row(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// A function as it was deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FunctionRecord {
    /// The deployment as it was sent.
    pub deployment: FunctionDeployment,
    /// When it was created; an update keeps it.
    pub created: jiff::Timestamp,
    /// Replicas wanted now.
    pub replicas: u32,
}

/// A namespace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct NamespaceRecord {
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A call that was accepted and is not done yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct QueuedCall {
    /// `X-Call-Id`.
    pub call_id: String,
    /// The function as it was called, with or without its namespace.
    pub called: String,
    /// Path and query below the function.
    pub path: String,
    /// Headers, values as base64 since they may hold any byte.
    pub headers: Vec<(String, String)>,
    /// Where the answer is posted.
    pub callback: Option<String>,
    /// When it was accepted.
    pub accepted: jiff::Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether the body lies in a file of its own instead of in the database.
    pub body_in_file: bool,
    /// Why it was put aside, for one that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dot_parts_name_and_namespace() {
        assert_eq!(Key::parse("tax"), Key::new("openfaas-fn", "tax"));
        assert_eq!(Key::parse("tax.shop"), Key::new("shop", "tax"));
        assert_eq!(Key::parse("a.b.shop"), Key::new("shop", "a.b"));
        assert_eq!(Key::parse(".shop"), Key::new("openfaas-fn", ".shop"));
    }
}
