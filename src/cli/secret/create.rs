//! `faas secret create`.
use clap::Args;

use super::value::Value;
use super::{named, secrets};
use crate::backend::{self, Existing, Written};
use crate::cli::session::{GatewayFlags, Session};
use crate::cli::{Global, compat};
use crate::context::Context;
use crate::error::Result;

/// Create a secret; its value comes from a flag, a file or stdin
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas secret create api-key --from-file key.txt\n  head -c 32 /dev/urandom | base64 | faas secret create session-key"
)]
pub struct Create {
    /// The secret
    name: String,
    #[command(flatten)]
    value: Value,
    /// Fail when there is one of that name, instead of giving it the new value
    #[arg(long, conflicts_with = "replace")]
    no_replace: bool,
    /// Accepted: one that is there gets the new value anyway; with =false as --no-replace
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set,
          hide = true, value_name = "BOOL")]
    replace: Option<bool>,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Create {
    /// Creates it.
    ///
    /// # Errors
    /// When there is one already and `--no-replace` is given.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let name = named(&session, &self.name)?;
        let secret = backend::Secret { name, value: self.value.read(context)? };
        let existing = match self.no_replace || self.replace == Some(false) {
            true => Existing::Refuse,
            false => compat::ways::existing_secret(context.out.dialect),
        };
        let written = crate::runtime::block_on(secrets(&session)?.create(&secret, existing))?;
        let theirs = compat::words::secret_created(&secret.name, written, session.backend.last_status(), "already");
        report(context, &secret.name, written, theirs)
    }
}

/// Says what became of it, in our words or theirs.
///
/// # Errors
/// When stdout can't be written to.
pub fn report(context: &Context, name: &backend::SecretName, written: Written, theirs: String) -> Result<()> {
    let shown = serde_json::json!({ "name": name.name, "namespace": name.namespace, "result": written });
    let ours = || match written {
        Written::Created => format!("Created secret {}.\n", name.name),
        Written::Updated => format!("Updated secret {}.\n", name.name),
    };
    context.out.answer(&shown, ours, |_| theirs)
}
