//! `faas template store list`.
use clap::Args;

use super::{Ignored, StoreFlags};
use crate::cli::compat;
use crate::context::Context;
use crate::error::Result;
use crate::output::table;
use crate::template::store::Entry;

/// List the templates of the catalogues
#[derive(Args)]
#[command(after_help = "Examples:\n  faas template store list --recommended\n  \
                        faas template store list --url https://example.com/templates.json --output json")]
pub struct List {
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    ignored: Ignored,
    /// Show the language and the platform too
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    verbose: bool,
    /// Only templates for this platform
    #[arg(short, long, default_value = "x86_64", value_name = "PLATFORM")]
    platform: String,
    /// Only recommended templates
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    recommended: bool,
    /// Only official templates
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    official: bool,
    /// Print JSON, of all platforms
    #[arg(short, long)]
    json: bool,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When the catalogue that a flag names can't be read.
    pub fn run(self, context: &Context) -> Result<()> {
        let listed = crate::runtime::block_on(self.store.open(context).list())?;
        listed.warning.iter().for_each(|warning| context.out.warn(warning));
        let wanted = |entry: &&Entry| match (self.recommended, self.official) {
            (true, _) => entry.recommended,
            (false, true) => entry.official == "true",
            (false, false) => true,
        };
        let entries: Vec<&Entry> = listed.entries.iter().filter(wanted).collect();
        context.out.json_if(self.json).result(&entries, || {
            let here = entries.iter().filter(|entry| entry.platform.eq_ignore_ascii_case(&self.platform));
            let row = |entry: &&Entry| {
                let recommended = if entry.recommended { "[x]" } else { "[ ]" };
                let mut row = vec![&entry.name, recommended, &entry.source, &entry.description];
                if self.verbose {
                    row.extend([entry.language.as_str(), &entry.platform]);
                }
                row.into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let rows: Vec<Vec<String>> = here.map(row).collect();
            if rows.is_empty() {
                return String::new();
            }
            let heading = ["NAME", "RECOMMENDED", "SOURCE", "DESCRIPTION", "LANGUAGE", "PLATFORM"];
            let shown = if self.verbose { &heading[..] } else { compat::ways::template_columns(context.out.dialect) };
            format!("\n{}\n", table::tabbed(shown, &rows))
        })
    }
}
