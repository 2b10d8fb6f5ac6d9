//! A platform's namespaces.
use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use crate::error::Result;

/// The platform's namespaces.
#[async_trait]
pub trait Namespaces: Send + Sync {
    /// All of them.
    async fn list(&self) -> Result<Vec<String>>;
    /// One, with its labels and annotations.
    async fn get(&self, name: &str) -> Result<Namespace>;
    /// Makes one.
    async fn create(&self, namespace: &Namespace) -> Result<()>;
    /// Changes one's labels and annotations.
    async fn update(&self, namespace: &Namespace) -> Result<()>;
    /// Removes one.
    async fn remove(&self, name: &str) -> Result<()>;
}

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}
