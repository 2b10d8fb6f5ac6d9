//! What `build` made, by content: an image, an archive, or a folder that runs as a process.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The sort of artifact that a backend wants for a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A container image in a registry.
    Image,
    /// A zip archive.
    Archive,
    /// A folder run as a process on this machine.
    Bundle,
}

/// What `build` made, or what the stack names as made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Artifact {
    /// A container image.
    Image {
        /// Its name with tag, as the platform is to pull it.
        reference: String,
        /// `sha256:…`, when the registry or the engine told it.
        digest: Option<String>,
    },
    /// A zip archive.
    Archive {
        /// Where it lies.
        path: PathBuf,
        /// Hex SHA-256 of the file.
        sha256: String,
        /// What the platform starts in it.
        entry: String,
        /// What the platform starts it with: a managed runtime, as `python3.13`.
        runtime: String,
    },
    /// A folder run as a process.
    Bundle {
        /// The folder, absolute; never changed once it is made.
        dir: PathBuf,
        /// The fingerprint of everything that went in.
        digest: String,
        /// How it is run.
        run: RunSpec,
    },
}

impl Artifact {
    /// What tells this artifact from every other: the digest, or the name where there is none.
    #[must_use]
    pub fn identity(&self) -> &str {
        match self {
            Self::Image { reference, digest } => digest.as_deref().unwrap_or(reference),
            Self::Archive { sha256, .. } => sha256,
            Self::Bundle { digest, .. } => digest,
        }
    }
}

/// How the invoker runs a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The command line, split as a shell splits words; run in the bundle's folder.
    pub command: String,
    /// The invoker's mode: `http`, `streaming` or `classic`.
    #[serde(default = "http_mode")]
    pub mode: String,
    /// Environment that the template asks for; the function's own wins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// A path that answers 2xx once the process is ready; without it, listening is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_path: Option<String>,
}

fn http_mode() -> String {
    "http".into()
}
