//! `faas local status`: whether the embedded platform runs, where, and what on it.
use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::gateway::{self, Running};
use crate::output::table;
use crate::runtime;
use crate::wire::client::{Auth, Client, Options};

/// Show whether the embedded platform runs, where, and what on it
#[derive(Args)]
#[command(after_help = "Example:\n  faas local status --output json")]
pub struct Status {}

#[derive(Serialize)]
struct Facts {
    running: bool,
    #[serde(flatten)]
    daemon: Option<Running>,
    functions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    namespace: String,
    replicas: u64,
    available: u64,
}

impl Status {
    /// Shows it. Not running is exit code 4.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when it doesn't run; else when it does not answer.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let Some(daemon) = gateway::running(&context.dirs) else {
            return Err(Fault::not_found("the embedded platform does not run")
                .hint("`faas local start` starts it; `faas up` does so by itself when the provider is `local`"));
        };
        gateway::ensure_awake(&context.dirs)?;
        let auth = Auth::Basic { user: gateway::USER.into(), password: gateway::token(&context.dirs)? };
        let client = Client::new(&daemon.url, Options { auth, ..Options::default() })?;
        let functions = runtime::block_on(rows(&client))?;
        let facts = Facts { running: true, daemon: Some(daemon), functions };
        context.out.result(&facts, || facts.text())
    }
}

async fn rows(client: &Client) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for namespace in client.namespaces().await? {
        for function in client.functions(Some(&namespace)).await? {
            rows.push(Row {
                name: function.name,
                namespace: namespace.clone(),
                replicas: function.replicas.unwrap_or(0),
                available: function.available_replicas.unwrap_or(0),
            });
        }
    }
    Ok(rows)
}

impl Facts {
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(daemon) = &self.daemon {
            text += &table::fields(&[
                ("URL", daemon.url.clone()),
                ("Process", daemon.pid.to_string()),
                ("Version", daemon.version.clone()),
                ("Functions", self.functions.len().to_string()),
            ]);
        }
        if !self.functions.is_empty() {
            let rows: Vec<Vec<String>> = self
                .functions
                .iter()
                .map(|f| vec![f.name.clone(), f.namespace.clone(), format!("{}/{}", f.available, f.replicas)])
                .collect();
            text += "\n";
            text += &table::columns(&["FUNCTION", "NAMESPACE", "REPLICAS"], &rows);
        }
        text
    }
}
