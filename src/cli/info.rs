//! `faas info`: what the platform is, and what it can do.
use clap::Args;
use serde::Serialize;

use super::Global;
use super::session::{GatewayFlags, Session};
use crate::backend::Info as Facts;
use crate::backend::capabilities::{Can, Capabilities};
use crate::context::Context;
use crate::error::Result;
use crate::output::table;

/// Show the platform's name, version and abilities
#[derive(Args)]
#[command(after_help = "Examples:\n  faas info\n  faas info --output json")]
pub struct Info {
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    facts: Facts,
    capabilities: &'static Capabilities,
}

impl Info {
    /// Prints it.
    ///
    /// # Errors
    /// When the platform can't be asked.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let facts = crate::runtime::block_on(session.backend.info())?;
        let shown = Shown { facts, capabilities: session.backend.capabilities() };
        context.out.result(&shown, || {
            let Facts { provider, orchestration, version, address, .. } = &shown.facts;
            let mut rows = vec![
                ("address", address.clone()),
                ("provider", provider.clone()),
                ("orchestration", orchestration.clone()),
                ("version", version.clone()),
            ];
            rows.extend(shown.capabilities.rows().map(|(name, can)| {
                let text = match can {
                    Can::Yes => "yes".to_owned(),
                    Can::No { why, .. } => format!("no: {why}"),
                };
                (name, text)
            }));
            table::fields(&rows)
        })
    }
}
