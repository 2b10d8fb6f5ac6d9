//! `faas secret remove`.
use clap::Args;

use super::{named, secrets};
use crate::cli::Global;
use crate::cli::session::{GatewayFlags, Session};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::plan::{self, Outcome};

/// Remove secrets
#[derive(Args)]
#[command(visible_aliases = ["rm", "delete"])]
#[command(after_help = "Example:\n  faas secret remove api-key session-key")]
pub struct Remove {
    /// The secrets
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Remove {
    /// Removes them; all are tried.
    ///
    /// # Errors
    /// What failed, secret by secret; the code is the worst.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let names = self.names.iter().map(|name| named(&session, name)).collect::<Result<Vec<_>>>()?;
        let secrets = secrets(&session)?;
        let outcomes = crate::runtime::block_on(async {
            let mut outcomes = Vec::new();
            for name in &names {
                let failed = |fault| Outcome::failed(&name.name, fault);
                outcomes.push(match secrets.remove(name).await {
                    Ok(()) => Outcome { error: None, ..failed(Fault::failed("")) },
                    Err(fault) => failed(fault),
                });
            }
            Ok(outcomes)
        })?;
        let removed: Vec<&str> = outcomes.iter().filter(|o| o.error.is_none()).map(|o| o.name.as_str()).collect();
        context.out.answer(
            &serde_json::json!({ "removed": removed }),
            || removed.iter().map(|name| format!("Removed secret {name}.\n")).collect(),
            |_| "Removed.. OK.\n".repeat(removed.len()),
        )?;
        plan::sum_up_of("can't remove the secret", "secrets", &outcomes)
    }
}
