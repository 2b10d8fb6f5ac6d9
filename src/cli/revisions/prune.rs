//! `faas revisions prune`.
use clap::Args;

use crate::backend::Revision;
use crate::cli::Global;
use crate::cli::rollout::Target;
use crate::context::Context;
use crate::error::{Fault, Kind, Result};

/// Remove old revisions that get no traffic and have no tag
#[derive(Args)]
#[command(after_help = "Examples:\n  faas revisions prune tax\n  faas revisions prune tax --keep 0 --dry-run")]
pub struct Prune {
    #[command(flatten)]
    target: Target,
    /// How many of them to keep, the newest, for `faas rollout undo`
    #[arg(long, default_value_t = 3, value_name = "N")]
    keep: usize,
    /// Remove nothing, and say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    /// Removes them; all are tried.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such function; a platform that keeps them all; what could not be removed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = self.target.open(context, global)?;
        let (removed, mut failed) = crate::runtime::block_on(async {
            let traffic = open.traffic()?;
            let there = traffic.revisions(&open.id).await?;
            let (mut removed, mut failed) = (Vec::new(), Vec::new());
            for name in idle(&there).skip(self.keep) {
                match if self.dry_run { Ok(()) } else { traffic.discard(&open.id, name).await } {
                    // Somebody else, or the platform itself, was faster.
                    Err(fault) if fault.kind != Kind::NotFound => failed.push(fault),
                    _ => removed.push(name.to_owned()),
                }
            }
            Ok((removed, failed))
        })?;
        let verb = if self.dry_run { "Would remove" } else { "Removed" };
        context.out.result(&serde_json::json!({ "removed": removed }), || {
            removed.iter().map(|name| format!("{verb} {name}.\n")).collect()
        })?;
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.swap_remove(0)),
            many => {
                let said: Vec<_> = failed.iter().map(ToString::to_string).collect();
                Err(Fault::failed(format!("{many} revisions of {} can't be removed", open.id)).cause(said.join("; ")))
            }
        }
    }
}

/// Those that nothing leads to, newest first. The newest of all stays: it is what the stack file says.
fn idle(revisions: &[Revision]) -> impl Iterator<Item = &str> {
    revisions.iter().skip(1).filter(|r| r.share == 0 && r.tags.is_empty()).map(|r| r.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_has_a_tag_or_is_the_newest_stays() {
        let revision = |name: &str, share: u8, tag: Option<&str>| Revision {
            name: name.into(),
            share,
            tags: tag.map(|tag| (tag.to_owned(), String::new())).into_iter().collect(),
            ..Revision::default()
        };
        let there = [
            revision("5", 0, None),
            revision("4", 0, None),
            revision("3", 100, None),
            revision("2", 0, Some("blue")),
            revision("1", 0, None),
        ];
        assert_eq!(idle(&there).collect::<Vec<_>>(), ["4", "1"]);
    }
}
