//! `faas describe`: everything about one function.
use clap::Args;

use super::Global;
use super::session::{GatewayFlags, Session};
use crate::backend::Scope;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::functions;

/// Describe a function
#[derive(Args)]
#[command(after_help = "Examples:\n  faas describe tax\n  faas describe tax --output json")]
pub struct Describe {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Show what is empty, too
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl Describe {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let id = session.id(&self.name);
        let scope = Scope { namespace: id.namespace.clone(), names: vec![id.name.clone()], usage: true };
        let found = crate::runtime::block_on(session.backend.observe(&scope))?;
        let function = found.first().ok_or_else(|| {
            Fault::not_found(format!("there is no function {id}")).hint("`faas list` shows what is deployed")
        })?;
        let out = context.out.json_if(self.json);
        out.result(&functions::view(function), || functions::details(function, self.verbose))
    }
}
