//! `faas local stop`: stops the embedded platform; its functions come back with the next start.
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;
use crate::gateway::{self, Stopped};

/// Stop the embedded platform, calls in flight answered
#[derive(Args)]
#[command(after_help = "Example:\n  faas local stop --timeout 5s")]
pub struct Stop {
    /// Kill it when it takes longer than this
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Outcome {
    outcome: Stopped,
}

impl Stop {
    /// Stops it.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let outcome = gateway::stop(&context.dirs, self.timeout)?;
        let text = match outcome {
            Stopped::NotRunning => "The embedded platform does not run\n",
            Stopped::Drained => "Stopped the embedded platform\n",
            Stopped::Killed => "Killed the embedded platform: it did not end in time\n",
        };
        context.out.result(&Outcome { outcome }, || text.to_owned())
    }
}
