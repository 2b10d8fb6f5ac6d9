//! `faas rollout undo`.
use clap::Args;

use super::restore::restore;
use super::{Target, paused, resolve};
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
            if traffic.paused(&open.id).await? {
                return Err(paused(&open));
            }
            let there = traffic.revisions(&open.id).await?;
            let chosen = match &self.to {
                Some(given) => resolve(&open.id, &there, given)?,
                None => before(&there, traffic.served(&open.id).await?.as_deref()).ok_or_else(|| {
                    Fault::not_found(format!("{} has no revision that had all of the traffic before", open.id))
                        .hint(format!("`faas revisions list {}` shows what there is; --to names one", open.id))
                })?,
            };
            traffic.back(&open.id, &chosen.name).await?;
            context.out.note(format_args!(
                "All traffic of {} goes to {} until the next deployment, or `faas rollout promote {}`.",
                open.id, chosen.name, open.id
            ));
            open.report(context).await
        })
    }
}

/// The last one that had all of the traffic and hasn't now, by what was noted of that; where nothing was, the one before
/// the newest that gets traffic.
fn before<'a>(revisions: &'a [Revision], served: Option<&[String]>) -> Option<&'a Revision> {
    let could = |revision: &&Revision| revision.ready != Some(false);
    let Some(served) = served else {
        let serving = revisions.iter().position(|r| r.share > 0)?;
        return revisions[serving + 1..].iter().find(could);
    };
    let there = |name: &String| revisions.iter().find(|r| r.name == *name && r.share < 100);
    served.iter().filter_map(there).find(could)
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
        let name = |shares| before(&there(shares), None).map(|r| r.name.clone());
        assert_eq!(name([10, 90, 0]).as_deref(), Some("tax-2"));
        assert_eq!(name([0, 100, 0]).as_deref(), Some("tax-1"));
        assert_eq!(name([0, 0, 100]), None);
        assert_eq!(name([0, 0, 0]), None);

        // What served is known: the canary in between never did.
        let served = |shares, list: &[&str]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            before(&there(shares), Some(&list)).map(|r| r.name.clone())
        };
        assert_eq!(served([100, 0, 0], &["tax-1"]).as_deref(), Some("tax-1"));
        assert_eq!(served([0, 100, 0], &["tax-2", "tax-0", "tax-1"]).as_deref(), Some("tax-1"));
        assert_eq!(served([10, 90, 0], &["tax-2"]).as_deref(), Some("tax-2"));
        assert_eq!(served([0, 0, 100], &[]), None);
    }
}
