//! `faas deployments list`.
use clap::Args;

use super::Target;
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;
use crate::output::deployments;

/// List the deployments of a function that its platform remembers, newest first
#[derive(Args)]
#[command(visible_alias = "ls")]
#[command(after_help = "Examples:\n  faas deployments list tax\n  faas deployments list tax --output json")]
pub struct List {
    #[command(flatten)]
    target: Target,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let (id, all) = self.target.all(context, global)?;
        if all.is_empty() {
            context
                .out
                .note(format_args!("nothing is remembered of {id}: it was not deployed by this version of faas"));
        }
        context.out.result(&all, || deployments::table(&all))
    }
}
