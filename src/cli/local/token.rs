//! `faas local token`: the embedded platform's generated password, for other clients of its API.
use clap::Args;
use secrecy::ExposeSecret;

use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;
use crate::gateway;

/// Print the password of user `admin`, for other clients of the gateway API
#[derive(Args)]
#[command(after_help = "Example:\n  faas local token | faas-cli login --password-stdin")]
pub struct Token {}

impl Token {
    /// Prints it: the one place where it is wanted on stdout.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] before the first start.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let token = gateway::token(&context.dirs)?;
        let shown = serde_json::json!({"user": gateway::USER, "token": token.expose_secret()});
        context.out.result(&shown, || format!("{}\n", token.expose_secret()))
    }
}
