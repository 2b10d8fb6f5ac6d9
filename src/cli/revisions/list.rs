//! `faas revisions list`.
use clap::Args;

use crate::cli::Global;
use crate::cli::rollout::Target;
use crate::context::Context;
use crate::error::Result;
use crate::output::detail;

/// List the revisions of a function, newest first
#[derive(Args)]
#[command(visible_alias = "ls")]
#[command(after_help = "Example:\n  faas revisions list tax")]
pub struct List {
    #[command(flatten)]
    target: Target,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function, or that the platform has no revisions.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        let revisions = crate::runtime::block_on(open.traffic()?.revisions(&open.id))?;
        context.out.result(&revisions, || detail::revisions(&revisions))
    }
}
