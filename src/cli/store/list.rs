//! `faas store list`.
use clap::Args;

use super::StoreFlags;
use crate::cli::compat;
use crate::context::Context;
use crate::error::Result;
use crate::output::table;
use crate::store::Item;

/// The longest title without --verbose.
const SHORT: usize = 40;

/// List the functions of the store
#[derive(Args)]
#[command(after_help = "Examples:\n  faas store list\n  faas store list --platform arm64 --output json\n  \
                        faas store list --url ./functions.json")]
pub struct List {
    /// Show descriptions whole; --verbose=false cuts them
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, hide_possible_values = true)]
    verbose: Option<bool>,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn run(self, flags: &StoreFlags, context: &Context) -> Result<()> {
        let store = flags.read(context)?;
        let items = store.on(flags.platform());
        let whole = self.verbose.unwrap_or(compat::ways::whole_titles(context.out.dialect));
        context.out.json_if(self.json).result(&items, || {
            if items.is_empty() {
                let platforms = store.platforms().join(", ");
                let platform = flags.platform();
                return format!(
                    "No functions found in the store for platform '{platform}', try one of the following: {platforms}\n"
                );
            }
            let title = |item: &Item| match item.title.chars().count() > SHORT && !whole {
                true => item.title.chars().take(SHORT - 3).chain("...".chars()).collect(),
                false => item.title.clone(),
            };
            let author = |item: &Item| if item.author.is_empty() { "unknown".to_owned() } else { item.author.clone() };
            let rows: Vec<Vec<String>> =
                items.iter().map(|item| vec![item.name.clone(), author(item), title(item)]).collect();
            format!("\n{}\n", table::tabbed(&["FUNCTION", "AUTHOR", "DESCRIPTION"], &rows))
        })
    }
}
