//! `faas template`: what functions can be made from, here and in repositories.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

mod check;
mod list;
pub mod missing;
mod new;
mod pull;
mod store;

/// Look at templates, and pull them from git repositories
#[derive(Args)]
pub struct Template {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    #[command(visible_alias = "ls")]
    List(list::List),
    New(new::New),
    Pull(pull::Pull),
    Store(store::Store),
}

impl Template {
    /// Runs it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Check(command) => command.run(context, global),
            Command::List(command) => command.run(context, global),
            Command::New(command) => command.run(context, global),
            Command::Pull(command) => command.run(context, global),
            Command::Store(command) => command.run(context, global),
        }
    }
}

/// The catalogues that commands use unless told otherwise.
pub(super) fn catalogues(context: &Context) -> crate::template::store::Store<'_> {
    store::open(context, None)
}
