//! `faas secret update`.
use clap::Args;

use super::value::Value;
use super::{create, named, secrets};
use crate::backend::{self, Written};
use crate::cli::session::{GatewayFlags, Session};
use crate::cli::{Global, compat};
use crate::context::Context;
use crate::error::Result;

/// Give a secret a new value
#[derive(Args)]
#[command(visible_alias = "u")]
#[command(after_help = "Example:\n  faas secret update api-key --from-file key.txt")]
pub struct Update {
    /// The secret
    name: String,
    #[command(flatten)]
    value: Value,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Update {
    /// Updates it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let name = named(&session, &self.name)?;
        let secret = backend::Secret { name, value: self.value.read(context)? };
        crate::runtime::block_on(secrets(&session)?.update(&secret))?;
        let theirs = compat::words::secret_updated(&secret.name, session.backend.last_status());
        create::report(context, &secret.name, Written::Updated, theirs)
    }
}
