//! `faas local`: the embedded platform.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

mod logs;
mod serve;
mod start;
mod status;
mod stop;
mod token;

/// Run functions on this machine, on the embedded platform
#[derive(Args)]
pub struct Local {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Logs(logs::Logs),
    Serve(serve::Serve),
    Start(start::Start),
    Status(status::Status),
    Stop(stop::Stop),
    Token(token::Token),
}

impl Local {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Logs(command) => command.run(context, global),
            Command::Serve(command) => command.run(context, global),
            Command::Start(command) => command.run(context, global),
            Command::Status(command) => command.run(context, global),
            Command::Stop(command) => command.run(context, global),
            Command::Token(command) => command.run(context, global),
        }
    }
}
