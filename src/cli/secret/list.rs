//! `faas secret list`.
use clap::Args;

use super::secrets;
use crate::cli::Global;
use crate::cli::session::{GatewayFlags, Session};
use crate::context::Context;
use crate::error::Result;
use crate::output::table;

/// List the names of secrets
#[derive(Args)]
#[command(visible_alias = "ls")]
#[command(after_help = "Example:\n  faas secret list --output json")]
pub struct List {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When the platform can't be asked.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let namespace = session.namespace();
        let names = crate::runtime::block_on(secrets(&session)?.list(namespace.as_deref()))?;
        if names.is_empty() {
            context.out.note("No secrets found.");
        }
        let rows: Vec<_> = names.iter().map(|s| vec![s.name.clone()]).collect();
        context.out.json_if(self.json).result(&names, || table::columns(&["NAME"], &rows))
    }
}
