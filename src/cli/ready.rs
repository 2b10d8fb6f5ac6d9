//! `faas ready`: waits until the platform, or a function on it, answers.
use std::time::Duration;

use clap::Args;

use super::Global;
use super::session::{GatewayFlags, Session};
use super::values::duration;
use crate::context::Context;
use crate::error::{Fault, Kind, Result};

/// Wait until a function, or the platform itself, is ready
#[derive(Args)]
#[command(after_help = "Examples:\n  faas ready\n  faas ready tax --attempts 120 --interval 500ms")]
pub struct Ready {
    /// The function; without one, the platform itself
    name: Option<String>,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// How often to ask
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// The time between two attempts, as 500ms or 2s
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = duration)]
    interval: Duration,
}

impl Ready {
    /// Waits.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] when it is not ready after the last attempt; [`Kind::NotFound`] when it is not even there then.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let id = self.name.as_deref().map(|name| session.named(name)).transpose()?;
        let subject = id.as_ref().map_or_else(|| "the platform".to_owned(), |id| format!("function {id}"));
        crate::runtime::block_on(async {
            let start = tokio::time::Instant::now();
            let mut last = None;
            for attempt in 1..=self.attempts {
                context.out.tell(&format!("[{attempt}/{}] Waiting for {subject}", self.attempts), |line| {
                    line.replace("the platform", "gateway")
                });
                let ready = match &id {
                    Some(id) => session.backend.ready(id).await,
                    None => session.backend.is_up().await.map(|()| true),
                };
                match ready {
                    Ok(true) => return Ok(()),
                    Ok(false) => last = None,
                    Err(fault) if fault.kind == Kind::Unauthorized && id.is_some() => return Err(fault),
                    // It may be deployed any moment now; but who waits for a name with a slip in it should know.
                    Err(fault) if fault.kind == Kind::NotFound && attempt == 1 => {
                        context.out.note(format!("{fault} (yet)"));
                        last = Some(fault);
                    }
                    Err(fault) => last = Some(fault),
                }
                if attempt < self.attempts {
                    tokio::time::sleep(self.interval).await;
                }
            }
            let waited = humantime::format_duration(Duration::from_secs(start.elapsed().as_secs()));
            let fault = Fault::timed_out(format!("{subject} is not ready after {} attempts, {waited}", self.attempts));
            Err(match last {
                Some(last) => {
                    let kind = if last.kind == Kind::NotFound { Kind::NotFound } else { fault.kind };
                    Fault { kind, hint: last.hint.clone(), ..fault.cause(last) }
                }
                None => match &id {
                    Some(id) => fault.hint(format!("`faas logs {id}` may say why")),
                    None => fault,
                },
            })
        })?;
        let subject = id.as_ref().map_or_else(|| "The platform".to_owned(), |id| format!("Function {id}"));
        let name = id.map(|id| id.name);
        context.out.answer(
            &serde_json::json!({ "name": name, "ready": true }),
            || format!("{subject} is ready\n"),
            |_| match &name {
                Some(name) => format!("Function {name} is ready\n"),
                None => "OpenFaaS gateway is ready\n".to_owned(),
            },
        )
    }
}
