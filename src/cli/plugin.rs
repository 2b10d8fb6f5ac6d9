//! `faas plugin`: programs of others that become commands.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

mod get;

/// Get plugins: programs in ~/.openfaas/plugins that are called as commands
#[derive(Args)]
pub struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Get(get::Get),
}

impl Plugin {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        match self.command {
            Command::Get(command) => command.run(context),
        }
    }
}
