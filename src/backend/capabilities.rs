//! The capability table: what each platform can do, so that "not here" is one typed error with what to do instead.
use serde::Serialize;

use crate::error::Fault;

/// Whether a platform can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Can {
    /// It can.
    Yes,
    /// It can't: why, and what to do instead.
    No {
        /// Why, after "because".
        why: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
}

/// One row a capability; one value of this type a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The provider's name in the stack file.
    pub provider: &'static str,
    /// Calls that are queued.
    pub asynchronous: Can,
    /// Logs that are followed.
    pub logs: Can,
    /// Scaling by command.
    pub scale: Can,
    /// No replicas while nobody calls.
    pub scale_to_zero: Can,
    /// Secrets as files.
    pub secrets: Can,
    /// Namespaces that can be made.
    pub namespaces: Can,
    /// Canary, promote, roll back.
    pub traffic: Can,
    /// Read-only root file system.
    pub read_only: Can,
    /// Placement constraints.
    pub constraints: Can,
    /// Limits of memory and CPU.
    pub limits: Can,
    /// Calls by schedule.
    pub schedule: Can,
    /// An SBOM or a provenance beside an image.
    pub attestations: Can,
}

impl Capabilities {
    /// The rows by name, for tables and for documents.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, Can); 12] {
        [
            ("async calls", self.asynchronous),
            ("logs", self.logs),
            ("scale", self.scale),
            ("scale to zero", self.scale_to_zero),
            ("secrets", self.secrets),
            ("namespaces", self.namespaces),
            ("canary and rollback", self.traffic),
            ("read-only root", self.read_only),
            ("constraints", self.constraints),
            ("limits", self.limits),
            ("schedule", self.schedule),
            ("SBOM and provenance", self.attestations),
        ]
    }

    /// `Ok` when the platform can, else the typed error: what, why, what to do instead.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unsupported`].
    pub fn require(&self, what: &str, can: Can) -> Result<(), Fault> {
        match can {
            Can::Yes => Ok(()),
            Can::No { why, instead } => {
                Err(Fault::unsupported(format!("provider `{}` has no {what}", self.provider)).cause(why).hint(instead))
            }
        }
    }
}
