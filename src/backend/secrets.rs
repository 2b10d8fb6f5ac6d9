//! A platform's secrets. Values go in and never come out.
use async_trait::async_trait;
use serde::Serialize;

use crate::error::Result;

/// The platform's secrets. Values go in and never come out.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Names, in the namespace.
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>>;
    /// Makes one, or does with one that is there as told. Says which it was.
    async fn create(&self, secret: &Secret, existing: Existing) -> Result<Written>;
    /// Gives one that is there a new value.
    async fn update(&self, secret: &Secret) -> Result<()>;
    /// Removes one.
    async fn remove(&self, name: &SecretName) -> Result<()>;
}

/// A secret's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
}

/// A secret on its way to the platform; its value is in no `Debug` and no log.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Its name and namespace.
    pub name: SecretName,
    /// Its bytes.
    pub value: secrecy::SecretSlice<u8>,
}

/// What becomes of a secret of the same name that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is left as it is, which is a failure.
    Refuse,
    /// It gets the new value.
    Replace,
    /// The same, and nobody asks whether it was there where the platform overwrites it by itself.
    Overwrite,
}

/// Whether a write made something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// It was not there before.
    Created,
    /// It was there and has a new value.
    Updated,
}
