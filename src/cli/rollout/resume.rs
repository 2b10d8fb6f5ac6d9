//! `faas rollout resume`.
use clap::Args;

use super::Target;
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;

/// End a pause; the traffic stays where it is until it is moved or something is deployed
#[derive(Args)]
#[command(after_help = "Examples:\n  faas rollout resume tax\n  faas rollout resume tax && faas rollout promote tax")]
pub struct Resume {
    #[command(flatten)]
    target: Target,
}

impl Resume {
    /// Resumes it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function; a platform that can't.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            open.traffic()?.resume(&open.id).await?;
            open.report(context).await
        })
    }
}
