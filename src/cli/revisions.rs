//! `faas revisions`: what was deployed of a function, and what of it is still there.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

mod list;
mod prune;

/// List and remove the revisions of a function
#[derive(Args)]
pub struct Revisions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Prune(prune::Prune),
}

impl Revisions {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::List(command) => command.run(context, global),
            Command::Prune(command) => command.run(context, global),
        }
    }
}
