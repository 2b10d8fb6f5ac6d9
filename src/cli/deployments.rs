//! `faas deployments`: what was deployed of a function, when, by whom, and from which commit.
use clap::{Args, Subcommand};

use super::Global;
use super::session::{GatewayFlags, Session};
use crate::context::Context;
use crate::error::Result;
use crate::function::FunctionId;
use crate::history::Deployment;

mod list;
mod show;

pub use show::find;

/// Look at the history of a function: when it was deployed, by whom, from which commit, and what changed
#[derive(Args)]
pub struct Deployments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
}

impl Deployments {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::List(command) => command.run(context, global),
            Command::Show(command) => command.run(context, global),
        }
    }
}

/// Which function, and where.
#[derive(Args)]
struct Target {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Target {
    /// Its deployments, newest first.
    fn all(&self, context: &Context, global: &Global) -> Result<(FunctionId, Vec<Deployment>)> {
        let session = Session::open(context, global, &self.gateway)?;
        let id = session.named(&self.name)?;
        let all = crate::runtime::block_on(session.backend.deployments(&id))?;
        Ok((id, all))
    }
}
