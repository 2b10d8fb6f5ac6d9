//! `faas remove`: takes functions off the platform.
use clap::Args;

use super::session::{GatewayFlags, Session};
use super::{Global, compat};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::plan::{self, Outcome};

/// Remove functions: those named, or all of the stack file
#[derive(Args)]
#[command(visible_aliases = ["rm", "delete"])]
#[command(
    after_help = "Examples:\n  faas remove tax\n  faas remove tax post-message\n  faas remove -f stack.yml --filter 'tax*'"
)]
pub struct Remove {
    /// The functions; without any, those of the stack file
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Leave their logs where they are, on platforms that keep them elsewhere
    #[arg(long)]
    keep_logs: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Remove {
    /// Removes them; all are tried.
    ///
    /// # Errors
    /// What failed, function by function; the code is the worst.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let ids: Vec<FunctionId> = if self.names.is_empty() {
            session.functions().iter().map(crate::function::Function::id).collect()
        } else {
            self.names.iter().map(|name| session.named(name)).collect::<Result<_>>()?
        };
        if ids.is_empty() {
            return Err(Fault::usage("no function is named").hint("name one, or give a stack file with -f"));
        }
        let outcomes = crate::runtime::block_on(async {
            let mut outcomes = Vec::new();
            for id in &ids {
                let removed = match self.keep_logs {
                    true => session.backend.remove_but_log(id).await,
                    false => session.backend.remove(id).await,
                };
                outcomes.push(match removed {
                    Ok(()) => Outcome { error: None, ..Outcome::failed(&id.name, Fault::failed("")) },
                    Err(fault) => Outcome::failed(&id.name, fault),
                });
            }
            Ok(outcomes)
        })?;
        let removed: Vec<&str> = outcomes.iter().filter(|o| o.error.is_none()).map(|o| o.name.as_str()).collect();
        let gone: Vec<&FunctionId> =
            ids.iter().zip(&outcomes).filter(|(_, o)| o.error.is_none()).map(|(id, _)| id).collect();
        context.out.answer(
            &serde_json::json!({ "removed": removed }),
            || removed.iter().map(|name| format!("Removed {name}.\n")).collect(),
            |_| compat::functions::removed(&gone),
        )?;
        plan::sum_up("can't remove", &outcomes)
    }
}
