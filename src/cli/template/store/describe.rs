//! `faas template store describe`.
use clap::Args;

use super::{Ignored, StoreFlags};
use crate::context::Context;
use crate::error::Result;
use crate::output::table;

/// Show what a catalogue says of a template
#[derive(Args)]
#[command(after_help = "Example:\n  faas template store describe golang-middleware")]
pub struct Describe {
    /// The template, as `go` or `openfaas/go`
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    ignored: Ignored,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl Describe {
    /// Prints it.
    ///
    /// # Errors
    /// When no catalogue has it.
    pub fn run(self, context: &Context) -> Result<()> {
        let (entry, warning) = crate::runtime::block_on(self.store.open(context).find(&self.name))?;
        warning.iter().for_each(|warning| context.out.warn(warning));
        context.out.json_if(self.json).result(&entry, || {
            let mark = |is: bool| if is { "[x]" } else { "[ ]" }.to_owned();
            let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
            let rows = [
                row("Name:", &entry.name),
                row("Description:", &entry.description),
                row("Language:", &entry.language),
                row("Source:", &entry.source),
                row("Repository:", &entry.repository),
                row("Platform:", &entry.platform),
                row("Official:", &mark(entry.official == "true")),
                row("Recommended:", &mark(entry.recommended)),
            ];
            format!("\n{}\n", table::tabbed(&[], &rows))
        })
    }
}
