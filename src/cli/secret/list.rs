//! `faas secret list`.
use clap::Args;

use super::secrets;
use crate::cli::session::{GatewayFlags, Session};
use crate::cli::{Global, compat};
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
        let session = Session::beside(context, global, &self.gateway)?;
        let namespace = session.namespace();
        let names = crate::runtime::block_on(secrets(&session)?.list(namespace.as_deref()))?;
        let rows: Vec<_> = names.iter().map(|s| vec![s.name.clone()]).collect();
        let ours = || {
            if names.is_empty() {
                context.out.note("No secrets found.");
                return String::new();
            }
            table::columns(&["NAME"], &rows)
        };
        context.out.json_if(self.json).answer(&names, ours, |format| compat::words::secrets(&names, format))
    }
}
