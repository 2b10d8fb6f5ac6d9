//! `faas local start`: starts the embedded platform in the background, unless it runs.
use std::net::ToSocketAddrs;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::{Global, stack_file};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::gateway::{self, DEFAULT_ADDRESS, Settings};
use crate::problem::Problem;
use crate::stack::ProviderKind;

/// Start the embedded platform in the background
#[derive(Args)]
#[command(after_help = "Example:\n  faas local start --port 9090")]
pub struct Start {
    #[command(flatten)]
    how: How,
}

/// How the platform is to run; the same for the daemon itself.
#[derive(Args)]
pub struct How {
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    port: Option<u16>,
    /// The address to listen on [default: the stack file's provider.gateway, else 127.0.0.1:8080]
    #[arg(long, alias = "address", value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Also answer calls that name this host, besides localhost and the address itself
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Most bytes of an async call's body
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().queue_body)]
    queue_body: u64,
    /// How often an async call is tried before it is put aside
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().queue_attempts,
          value_parser = clap::value_parser!(u32).range(1..))]
    queue_attempts: u32,
    /// How long calls in flight may take to end when the platform stops
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    grace: Duration,
}

impl How {
    /// As settings; `fallback` is the address when no flag gives one.
    ///
    /// # Errors
    /// When the address is none.
    pub fn settings(self, fallback: &str) -> Result<Settings> {
        let listen = match (self.port, self.listen) {
            (Some(port), _) => format!("127.0.0.1:{port}"),
            (None, Some(listen)) => gateway::listen_address(&listen)?,
            (None, None) => gateway::listen_address(fallback)?,
        };
        Ok(Settings {
            listen,
            hosts: self.allow_host,
            queue_body: self.queue_body,
            queue_attempts: self.queue_attempts,
            grace: self.grace,
        })
    }

    fn names_address(&self) -> bool {
        self.port.is_some() || self.listen.is_some()
    }
}

#[derive(Serialize)]
struct Started {
    #[serde(flatten)]
    running: gateway::Running,
    started: bool,
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// When it can't be started; a taken port says by whom.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let named = self.how.names_address();
        let in_stack = if named { None } else { stack_address(context, global)? };
        let settings = self.how.settings(in_stack.as_deref().unwrap_or(DEFAULT_ADDRESS))?;
        if gateway::running(&context.dirs).is_some_and(|running| running.stopping) {
            context.out.note("the embedded platform is stopping: it is started again once the last calls are answered");
        }
        let (running, started) = gateway::start(&context.dirs, &settings)?;
        if started && let Some(warning) = exposed(&settings.listen) {
            context.out.problem(&warning);
        }
        let any_port = settings.listen.ends_with(":0");
        if !started && named && !any_port && !running.url.ends_with(&format!("//{}", settings.listen)) {
            return Err(Fault::failed(format!("the embedded platform runs already, on {}", running.url))
                .hint("`faas local stop` first, to have it on another address"));
        }
        let line = if started { "Started the embedded platform on" } else { "The embedded platform runs already on" };
        let text = format!("{line} {}\n", running.url);
        context.out.result(&Started { running, started }, || text)
    }
}

/// What to know about an address that others than this machine can reach.
pub(super) fn exposed(listen: &str) -> Option<Problem> {
    let mut addresses = listen.to_socket_addrs().ok()?;
    if addresses.all(|address| address.ip().is_loopback()) {
        return None;
    }
    let message = format!("the functions can be called by everybody who reaches {listen}: calls ask for no password");
    let hint = "deploying and secrets do; `--port N` listens on this machine only";
    Some(Problem::warning("listen", message).hint(hint))
}

/// `provider.gateway` of a stack file that is for the embedded platform.
fn stack_address(context: &Context, global: &Global) -> Result<Option<String>> {
    let stack = stack_file::load(context, global)?;
    Ok(stack.filter(|stack| stack.provider.kind == ProviderKind::Local).and_then(|stack| stack.provider.gateway))
}
