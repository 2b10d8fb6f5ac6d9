//! `faas cache`: what builds leave on this machine.
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Global, values};
use crate::build::cache::{self, Kind};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::table;

/// Show and clear what builds leave on this machine
#[derive(Args)]
pub struct Cache {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what is kept, how much, how old, and where
    Show(Show),
    /// Remove what is kept; it is made again when it is needed
    Clear(Clear),
}

#[derive(Args)]
#[command(after_help = "Example:\n  faas cache show --output json")]
struct Show {}

#[derive(Args)]
#[command(after_help = "Examples:\n  faas cache clear\n  faas cache clear archives images --older-than 168h")]
struct Clear {
    /// What to remove; all but the bundles, which functions run from
    #[arg(value_enum, value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only what is there for so long
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    older_than: Option<Duration>,
}

impl Cache {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        match self.command {
            Command::Show(_) => show(context),
            Command::Clear(clear) => clear.run(context),
        }
    }
}

fn show(context: &Context) -> Result<()> {
    let kept = cache::show(&context.dirs);
    context.out.result(&kept, || {
        let age = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), ago);
        let row = |kept: &cache::Kept| {
            vec![
                kept.kind.name().to_owned(),
                kept.entries.to_string(),
                indicatif::HumanBytes(kept.bytes).to_string(),
                age(kept.oldest),
                age(kept.newest),
                kept.path.display().to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = kept.iter().map(row).collect();
        table::columns(&["KIND", "ENTRIES", "SIZE", "OLDEST", "NEWEST", "PATH"], &rows)
    })
}

/// As `3d`, `2h`, `5m` or `10s`.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

impl Clear {
    fn run(self, context: &Context) -> Result<()> {
        if let Some(kind) = self.kinds.iter().find(|kind| !kind.is_clearable()) {
            return Err(Fault::unsupported(format!(
                "{} are no cache: functions of provider local run from them",
                kind.name()
            ))
            .hint("`faas remove` removes functions; of each, the newest three bundles are kept"));
        }
        let kinds = if self.kinds.is_empty() { Kind::ALL.to_vec() } else { self.kinds };
        let (entries, bytes) = cache::clear(&context.dirs, &kinds, self.older_than)?;
        let shown = json!({ "entries": entries, "bytes": bytes });
        context.out.result(&shown, || format!("removed {entries}, {}\n", indicatif::HumanBytes(bytes)))
    }
}
