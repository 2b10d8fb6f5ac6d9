//! `faas scale`: sets the number of a function's replicas.
use clap::Args;

use super::Global;
use super::session::{GatewayFlags, Session};
use crate::backend::Scope;
use crate::context::Context;
use crate::error::{Fault, Result};

/// Set the number of a function's replicas
#[derive(Args)]
#[command(after_help = "Example:\n  faas scale tax 3")]
pub struct Scale {
    /// The function
    name: String,
    /// How many replicas; 0 lets the function sleep, where the platform can
    #[arg(allow_negative_numbers = true, value_parser = count)]
    replicas: u32,
    #[command(flatten)]
    gateway: GatewayFlags,
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a number of replicas is a whole number, 0 or more".to_owned())
}

impl Scale {
    /// Sets it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function, or that the platform can't.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let backend = &session.backend;
        let capabilities = backend.capabilities();
        capabilities.require("scaling by command", capabilities.scale)?;
        let id = session.named(&self.name)?;
        let scope = Scope { namespace: id.namespace.clone(), names: vec![id.name.clone()], ..Scope::default() };
        let (taken, there) = crate::runtime::block_on(async {
            match backend.scale(&id, self.replicas).await? {
                Some(taken) => Ok((Some(taken), None)),
                None => Ok((None, backend.observe(&scope).await?.into_iter().next())),
            }
        })?;
        let now = taken.or(there.as_ref().map(|there| there.replicas));
        let another = now.filter(|now| *now != u64::from(self.replicas));
        let asked = self.replicas;
        match another {
            Some(now) if backend.scales_by_itself() => {
                context.out.note(format_args!("{id} has {now} now; the platform ends what has nothing to do"));
            }
            // Community editions and faasd answer "done" to any number, and keep their own.
            Some(now) => {
                return Err(Fault::unsupported(format!(
                    "{id}: {asked} replicas were asked for, the platform keeps {now}"
                ))
                .cause("it took the call and did not do it")
                .hint("faasd keeps one of each function, and OpenFaaS's community edition has a most: `faas info`"));
            }
            None => {}
        }
        if let Some(shares) = there.and_then(|there| there.pinned) {
            context.out.warn(format!(
                "{id}: the traffic stays where it was put ({shares}), and what was scaled gets none: `faas rollout promote {}`",
                id.name
            ));
        }
        context.out.result(&serde_json::json!({ "name": id.name, "requested": asked, "replicas": asked }), || {
            format!("Scaled {id} to {asked}.\n")
        })
    }
}
