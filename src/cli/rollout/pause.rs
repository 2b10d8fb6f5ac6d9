//! `faas rollout pause`.
use clap::Args;

use super::Target;
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;

/// Keep the traffic where it is, whatever is deployed, until it is resumed
#[derive(Args)]
#[command(after_help = "Example:\n  faas rollout pause tax")]
pub struct Pause {
    #[command(flatten)]
    target: Target,
}

impl Pause {
    /// Pauses it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function; a platform that can't.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            open.traffic()?.pause(&open.id).await?;
            open.report(context).await
        })
    }
}
