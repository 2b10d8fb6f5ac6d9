//! `faas template`: what functions can be made from.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

mod list;

/// Look at templates
#[derive(Args)]
pub struct Template {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(visible_alias = "ls")]
    List(list::List),
}

impl Template {
    /// Runs it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::List(command) => command.run(context, global),
        }
    }
}
