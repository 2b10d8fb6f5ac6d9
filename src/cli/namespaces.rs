//! `faas namespaces`: faas-cli's old word for `namespace list`.
use clap::Args;

use super::Global;
use super::namespace;
use super::session::GatewayFlags;
use crate::context::Context;
use crate::error::Result;

/// List namespaces, as `namespace list` does
#[derive(Args)]
#[command(hide = true)]
pub struct Namespaces {
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Namespaces {
    /// Lists them.
    ///
    /// # Errors
    /// When the platform can't be asked.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        namespace::list(context, global, &self.gateway, false)
    }
}
