//! `faas rollout promote`: at once, or step by step with a look at the answers in between.
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::{Open, Target, paused, resolve};
use crate::backend::{Call, Revision};
use crate::cli::Global;
use crate::cli::values::duration;
use crate::context::Context;
use crate::error::{Fault, Result};

/// The time between two probes.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Send all traffic to the newest revision, or to one by name or tag; at once, or step by step
#[derive(Args)]
#[command(after_help = "Examples:\n  faas rollout promote tax\n  faas rollout promote tax green\n  \
                        faas rollout promote tax --steps 10,50,100 --every 2m --probe /health")]
pub struct Promote {
    #[command(flatten)]
    target: Target,
    /// The revision, or a tag that leads to it [default: the newest, and newer ones as they are deployed]
    revision: Option<String>,
    /// Shares in percent to go through, in rising order
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=100))]
    steps: Vec<u8>,
    /// How long each step lasts
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration, requires = "steps")]
    every: Duration,
    /// Call this path of the function every second during a step, and go back when answers fail
    #[arg(long, value_name = "PATH", requires = "steps")]
    probe: Option<String>,
    /// How many percent of the probes of a step may fail
    #[arg(long, default_value_t = 0, value_name = "PERCENT", requires = "probe",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    most_errors: u8,
}

impl Promote {
    /// Sends it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such revision, that it is not ready, or that probes failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        if !self.steps.is_sorted() {
            return Err(Fault::usage("the steps have to rise").hint("write them as --steps 10,50,100"));
        }
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            let traffic = open.traffic()?;
            if traffic.paused(&open.id).await? {
                return Err(paused(&open));
            }
            let there = traffic.revisions(&open.id).await?;
            let newest = there.first().map(|r| r.name.clone()).unwrap_or_default();
            let chosen = match &self.revision {
                Some(given) => resolve(&open.id, &there, given)?.name.clone(),
                None => newest.clone(),
            };
            self.step(context, &open, &there, &chosen).await?;
            if traffic.paused(&open.id).await? {
                return Err(paused(&open));
            }
            if self.steps.last().is_none_or(|last| *last == 100) {
                if chosen == newest {
                    traffic.follow(&open.id).await?;
                } else {
                    traffic.set(&open.id, &[(chosen, 100)]).await?;
                }
            }
            open.report(context).await
        })
    }

    /// Goes through the steps below 100.
    async fn step(&self, context: &Context, open: &Open, there: &[Revision], chosen: &str) -> Result<()> {
        let before: Vec<_> = there.iter().filter(|r| r.share > 0).map(|r| (r.name.clone(), r.share)).collect();
        let others = there.iter().filter(|r| r.share > 0 && r.name != chosen);
        let Some(stable) = others.max_by_key(|r| r.share).map(|r| r.name.clone()) else { return Ok(()) };
        for percent in self.steps.iter().copied().filter(|percent| *percent < 100) {
            if open.traffic()?.paused(&open.id).await? {
                return Err(paused(open));
            }
            let shares = [(stable.clone(), 100 - percent), (chosen.to_owned(), percent)];
            open.traffic()?.set(&open.id, &shares).await?;
            context.out.note(format_args!("{chosen} gets {percent}% of the traffic"));
            let Err(fault) = self.watch(open, percent).await else { continue };
            open.traffic()?.set(&open.id, &before).await?;
            let back: Vec<_> = before.iter().map(|(name, share)| format!("{name} {share}%")).collect();
            return Err(fault.hint(format!("the traffic is where it was: {}", back.join(", "))));
        }
        Ok(())
    }

    /// Waits for a step's time, and probes.
    async fn watch(&self, open: &Open, percent: u8) -> Result<()> {
        let Some(path) = &self.probe else {
            tokio::time::sleep(self.every).await;
            return Ok(());
        };
        let end = Instant::now() + self.every;
        let (mut asked, mut failed, mut last) = (0_u32, 0_u32, String::new());
        while asked == 0 || Instant::now() < end {
            asked += 1;
            match open.session.backend.invoke(&open.id, probe(path)).await {
                Ok(reply) if !reply.status.is_server_error() => {}
                Ok(reply) => (failed, last) = (failed + 1, format!("the function answered {}", reply.status)),
                Err(fault) => (failed, last) = (failed + 1, fault.to_string()),
            }
            tokio::time::sleep(PROBE_PAUSE.min(end.saturating_duration_since(Instant::now()))).await;
        }
        if failed * 100 > asked * u32::from(self.most_errors) {
            let said = format!("stopped at {percent}% of {}: {failed} of {asked} probes failed", open.id);
            return Err(Fault::failed(said).cause(last));
        }
        Ok(())
    }
}

fn probe(path: &str) -> Call {
    Call {
        method: http::Method::GET,
        path: format!("/{}", path.trim_start_matches('/')),
        headers: http::HeaderMap::new(),
        body: Box::pin(futures_util::stream::empty()),
        length: Some(0),
        asynchronous: false,
        timeout: Some(PROBE_TIMEOUT),
        options: crate::backend::CallOptions::default(),
    }
}
