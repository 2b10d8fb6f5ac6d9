//! `faas logs`: a function's log, as it comes.
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;

use super::Global;
use super::session::{GatewayFlags, Session};
use super::values::duration;
use crate::backend::LogQuery;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::plain;

mod line;
mod select;

use line::{Style, TimeFormat};

/// Show a function's log, and follow it
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas logs tax\n  faas logs tax --tail=false --lines 20\n  faas logs tax --since 10m --output json | jq -r .text\n  faas logs tax --tail=false --status 5xx --search order\n  faas logs tax --previous"
)]
pub struct Logs {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// The last so many lines; -1 for all there are
    #[arg(long, default_value_t = -1, value_name = "N", allow_negative_numbers = true)]
    lines: i64,
    /// Not older than this, as 10m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "since_time")]
    since: Option<Duration>,
    /// Not older than this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since_time: Option<jiff::Timestamp>,
    /// Go on as new lines come; --tail=false ends with what is there
    #[arg(short, long, alias = "follow", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL")]
    tail: bool,
    /// What the processes said that ended and were started again, such as those that crash; this ends with what is there
    #[arg(long)]
    previous: bool,
    /// Where replicas have several containers: this one only
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    #[command(flatten)]
    select: select::Select,
    /// How a line is printed; --output json does the same as `-o json`
    #[arg(short = 'o', value_enum, value_name = "STYLE", id = "style")]
    style: Option<Style>,
    /// Print JSON, one object a line
    #[arg(short, long)]
    json: bool,
    /// How times are printed, as a Go layout or with strftime's signs; empty for none
    #[arg(long, default_value = "2006-01-02T15:04:05Z07:00", value_name = "FORMAT")]
    time_format: TimeFormat,
    /// Print the function's name, too
    #[arg(long, alias = "name", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true, id = "with_name", value_name = "BOOL")]
    name_column: bool,
    /// Print the replica, too
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    instance: bool,
}

impl Logs {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let capabilities = session.backend.capabilities();
        capabilities.require("logs", capabilities.logs)?;
        if self.container.is_some() && !session.backend.has_containers() {
            return Err(Fault::unsupported(format!("provider `{}` has one log a replica", capabilities.provider))
                .hint("leave out --container"));
        }
        if self.previous && !session.backend.has_containers() {
            return Err(Fault::unsupported(format!("provider `{}` keeps one log a replica", capabilities.provider))
                .hint("leave out --previous: what a process said before it was started again stands in the same log"));
        }
        let since = match (self.since_time, self.since) {
            (Some(time), _) => Some(time),
            (None, Some(ago)) => Some(
                jiff::Timestamp::now().checked_sub(ago).map_err(|_| Fault::usage("--since reaches too far back"))?,
            ),
            (None, None) => None,
        };
        let query = LogQuery {
            id: session.named(&self.name)?,
            instance: None,
            container: self.container,
            since,
            tail: u64::try_from(self.lines).ok(),
            follow: self.tail && !self.previous,
            previous: self.previous,
        };
        let json = self.json || !context.out.is_table();
        let style = self.style.unwrap_or(if json { Style::Json } else { Style::Plain });
        // A file gets every byte; a terminal must not be steered by what a function, or its caller, wrote.
        let shown = std::io::stdout().is_terminal() && style == Style::Plain;
        crate::runtime::block_on(async {
            let mut entries = session.backend.logs(query).await?;
            let (mut any, mut calls) = (false, false);
            while let Some(entry) = entries.next().await {
                let mut entry = entry?;
                any = true;
                calls = calls || self.select.tells_of_a_call(&entry);
                if !self.select.takes(&entry) {
                    continue;
                }
                if shown {
                    entry.text = plain(&entry.text).into_owned();
                }
                let line = line::format(&entry, style, &self.time_format, self.name_column, self.instance)?;
                context.out.raw(line.as_bytes())?;
            }
            if any && !calls && self.select.is_by_status() {
                context.out.note(format!(
                    "no line of this log tells of a call and its status: with `log_requests: \"true\"` in the environment of {}, \
                     its invoker writes one for each",
                    self.name
                ));
            }
            Ok(())
        })
    }
}
