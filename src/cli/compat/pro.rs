//! What faas-cli's plugin `pro` does for sign-in, without the plugin; one that is installed comes first.
use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::cli::auth::Auth;
use crate::context::Context;
use crate::error::Result;

/// Sign in as faas-cli's plugin `pro` does
#[derive(Args)]
#[command(hide = true)]
pub struct Pro {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Auth(Box<Auth>),
    /// Nothing is to be enabled here
    Enable,
}

impl Pro {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of `auth`.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Auth(auth) => auth.run(context, global),
            Command::Enable => {
                context.out.note("nothing is to be enabled: sign in by `pro auth`");
                Ok(())
            }
        }
    }
}
