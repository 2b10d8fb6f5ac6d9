//! `faas rollout promote`.
use clap::Args;

use super::{Target, resolve};
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;

/// Send all traffic to the newest revision, or to one by name
#[derive(Args)]
#[command(after_help = "Examples:\n  faas rollout promote tax\n  faas rollout promote tax tax-00003")]
pub struct Promote {
    #[command(flatten)]
    target: Target,
    /// The revision [default: the newest, and newer ones as they are deployed]
    revision: Option<String>,
}

impl Promote {
    /// Sends it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such revision, or that it is not ready.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            let traffic = open.traffic()?;
            match &self.revision {
                None => traffic.follow(&open.id).await?,
                Some(given) => {
                    let there = traffic.revisions(&open.id).await?;
                    let chosen = resolve(&open.id, &there, given)?;
                    traffic.set(&open.id, &[(chosen.name.clone(), 100)]).await?;
                }
            }
            open.report(context).await
        })
    }
}
