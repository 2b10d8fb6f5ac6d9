//! `faas local serve`: the embedded platform in the foreground; `faas local start` runs it in the background.
use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::start::How;
use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;
use crate::gateway::DEFAULT_ADDRESS;
use crate::gateway::serve::{self, Place};

/// What functions get of the platform's own environment: no variable that may hold a secret.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"];

/// Run the embedded platform in the foreground
#[derive(Args)]
#[command(after_help = "Example:\n  faas local serve --port 9090")]
pub struct Serve {
    #[command(flatten)]
    how: How,
    /// Where the platform keeps its state
    #[arg(long, hide = true, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Serve {
    /// Runs it until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When it can't listen, or can't read its state.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let level = context.env.get("FAAS_LOG").unwrap_or("info");
        let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
        let _ =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
        let environment = ENVIRONMENT
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), context.env.get(name)?.to_owned())))
            .collect();
        let folder = self.folder.unwrap_or_else(|| context.dirs.local());
        serve::run(Place { folder, environment }, &self.how.settings(DEFAULT_ADDRESS)?)
    }
}
