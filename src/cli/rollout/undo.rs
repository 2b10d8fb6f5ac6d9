//! `faas rollout undo`.
use clap::Args;

use super::restore::restore;
use super::{Target, resolve};
use crate::backend::Revision;
use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, Result};

/// Send all traffic back to the revision before; where there are no revisions, deploy again what ran before
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas rollout undo tax\n  faas rollout undo tax --to tax-00001\n  faas rollout undo tax --to 3"
)]
pub struct Undo {
    #[command(flatten)]
    target: Target,
    /// The revision or deployment to go back to [default: the one before that which serves]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,
}

impl Undo {
    /// Sends it back.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such revision, or none before.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        if self.target.session(context, global)?.0.backend.traffic().is_none() {
            return restore(context, global, &self.target, self.to.as_deref());
        }
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            let traffic = open.traffic()?;
            let there = traffic.revisions(&open.id).await?;
            let chosen = match &self.to {
                Some(given) => resolve(&open.id, &there, given)?,
                None => before(&there).ok_or_else(|| {
                    Fault::not_found(format!("{} has no revision before the one that serves", open.id))
                        .hint(format!("`faas revisions list {}` shows what there is", open.id))
                })?,
            };
            traffic.set(&open.id, &[(chosen.name.clone(), 100)]).await?;
            context.out.note(format_args!(
                "All traffic of {} goes to {} until the next deployment, or `faas rollout promote {}`.",
                open.id, chosen.name, open.id
            ));
            open.report(context).await
        })
    }
}

/// The revision before the newest that gets traffic.
fn before(revisions: &[Revision]) -> Option<&Revision> {
    let serving = revisions.iter().position(|r| r.share > 0)?;
    revisions.get(serving + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_goes_back_to_the_stable_one_and_a_rollback_further() {
        let there = |shares: [u8; 3]| {
            let one = |(number, share): (usize, &u8)| Revision {
                name: format!("tax-{}", 3 - number),
                share: *share,
                created: None,
                ..Revision::default()
            };
            shares.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let name = |shares| before(&there(shares)).map(|r| r.name.clone());
        assert_eq!(name([10, 90, 0]).as_deref(), Some("tax-2"));
        assert_eq!(name([0, 100, 0]).as_deref(), Some("tax-1"));
        assert_eq!(name([0, 0, 100]), None);
        assert_eq!(name([0, 0, 0]), None);
    }
}
