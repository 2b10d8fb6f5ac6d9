//! `faas chart`: what is in Helm charts.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;

pub mod export;

/// Write a Helm chart out as one file a resource
#[derive(Args)]
pub struct Chart {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Export(export::Export),
}

impl Chart {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        match self.command {
            Command::Export(command) => command.run(context),
        }
    }
}
