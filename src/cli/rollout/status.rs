//! `faas rollout status`.
use clap::Args;

use super::Target;
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;

/// Show which revisions get how much of the traffic
#[derive(Args)]
#[command(after_help = "Example:\n  faas rollout status tax")]
pub struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function, or that the platform has no revisions.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(open.report(context))
    }
}
