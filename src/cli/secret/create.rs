//! `faas secret create`.
use clap::Args;

use super::value::Value;
use super::{named, secrets};
use crate::backend::{self, Written};
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
    /// Give one that exists the new value
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    replace: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Create {
    /// Creates it.
    ///
    /// # Errors
    /// When there is one already and `--replace` is not given.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let name = named(&session, &self.name)?;
        let secret = backend::Secret { name, value: self.value.read(context)? };
        let written = crate::runtime::block_on(secrets(&session)?.create(&secret, self.replace))?;
        report(context, &secret.name, written, session.backend.last_status())
    }
}

/// Says what became of it.
///
/// # Errors
/// When stdout can't be written to.
pub fn report(context: &Context, name: &backend::SecretName, written: Written, status: Option<u16>) -> Result<()> {
    let shown = serde_json::json!({ "name": name.name, "namespace": name.namespace, "result": written });
    let ours = || match written {
        Written::Created => format!("Created secret {}.\n", name.name),
        Written::Updated => format!("Updated secret {}.\n", name.name),
    };
    context.out.answer(&shown, ours, |_| compat::words::secret_written(name, written, status))
}
