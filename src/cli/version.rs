//! `faas version`: what this binary is. It asks nobody.
use clap::Args;
use serde::Serialize;

use super::Global;
use crate::context::Context;
use crate::error::Result;
use crate::output::table;

/// Print the version
#[derive(Args)]
#[command(after_help = "Example:\n  faas version --short-version")]
pub struct Version {
    /// Print the number only
    #[arg(long)]
    short_version: bool,
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
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        if self.short_version {
            return context.out.raw(format!("{version}\n").as_bytes());
        }
        let facts = Facts { version, backends: crate::backend::names() };
        context
            .out
            .result(&facts, || table::fields(&[("version", version.into()), ("backends", facts.backends.join(", "))]))
    }
}
