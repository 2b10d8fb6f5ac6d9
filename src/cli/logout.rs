//! `faas logout`: forgets a gateway's login.
use clap::Args;

use super::Global;
use super::session::GatewayFlags;
use crate::context::Context;
use crate::credential::Logins;
use crate::error::{Fault, Result};

/// Forget the login of a gateway
#[derive(Args)]
#[command(after_help = "Example:\n  faas logout -g https://gateway.example.com")]
pub struct Logout {
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Logout {
    /// Forgets it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let gateway = super::session::gateway(context, global, &self.gateway)?;
        let (url, _) = crate::wire::client::parse_address(&gateway)?;
        let address = url.as_str().trim_end_matches('/');
        let logins = Logins::new(&context.env, &context.cwd, &context.dirs);
        if !logins.forget(&gateway)? {
            return Err(Fault::not_found(format!("no login is kept for {address}")));
        }
        let shown = serde_json::json!({ "gateway": address });
        context.out.result(&shown, || format!("credentials removed for {address}\n"))
    }
}
