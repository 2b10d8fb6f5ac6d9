//! What a platform is to change, and how it may get there.
use serde::Serialize;

use crate::artifact::Artifact;
use crate::function::Function;
use crate::history::Record;

/// What `apply` is to do for one function.
#[derive(Debug, Clone)]
pub struct Change {
    /// The function as it should be.
    pub function: Function,
    /// What it runs.
    pub artifact: Artifact,
    /// Hash of the neutral spec, kept on the platform as [`super::SPEC_KEY`].
    pub spec: String,
    /// The owning stack, kept on the platform as [`super::STACK_KEY`].
    pub stack: String,
    /// How to get there.
    pub how: How,
    /// New processes even if nothing changed (`--force`).
    pub force: bool,
    /// This deployment and those before it, newest first, for the platform to keep; empty where nothing is kept.
    pub history: Vec<Record>,
}

/// A field of the platform's object that differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its path in the platform's own words.
    pub path: String,
    /// As it is; `None` when it is not there.
    pub before: Option<serde_json::Value>,
    /// As it should be; `None` when it goes away.
    pub after: Option<serde_json::Value>,
}

/// How to get from what is there to what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// Update, or create what is not there (faas-cli's `--update`).
    #[default]
    Upsert,
    /// Create; an existing function is an error (`--update=false`).
    Create,
    /// Remove first, then create (`--replace`).
    Replace,
    /// Update or create, and take over what something else deployed or changed (`--adopt`).
    Adopt,
}
