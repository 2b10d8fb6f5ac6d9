//! `faas version`: what this binary is. It asks nobody; under faas-cli's name it asks the gateway what that is, as there.
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::session::{GatewayFlags, Session};
use super::{Global, compat};
use crate::backend::Info;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Dialect, table};

/// How long a gateway may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Print the version
#[derive(Args)]
#[command(after_help = "Example:\n  faas version --short-version")]
pub struct Version {
    /// Print the number only
    #[arg(long)]
    short_version: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    backends: Vec<&'static str>,
}

impl Version {
    /// Prints it.
    ///
    /// # Errors
    /// When stdout can't be written to.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        if self.short_version {
            return context.out.raw(format!("{version}\n").as_bytes());
        }
        let facts = Facts { version, backends: super::backends::names() };
        let gateway = if context.out.dialect == Dialect::FaasCli { self.ask(context, global) } else { None };
        let commit = option_env!("FAAS_COMMIT").unwrap_or("unknown");
        context.out.json_if(self.json).answer(
            &facts,
            || table::fields(&[("version", version.into()), ("backends", facts.backends.join(", "))]),
            |format| compat::words::version(commit, version, gateway.as_ref(), format),
        )
    }

    /// What the gateway says of itself; that there is none is no failure.
    fn ask(&self, context: &Context, global: &Global) -> Option<Info> {
        let session = Session::open(context, global, &self.gateway).ok()?;
        let asked = async { Ok(tokio::time::timeout(PATIENCE, session.backend.info()).await) };
        crate::runtime::block_on(asked).ok()?.ok()?.ok()
    }
}
