//! `faas namespace`: the platform's namespaces.
use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::session::{GatewayFlags, Session};
use super::values::pair;
use super::{Global, compat};
use crate::backend::{self, Namespaces};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::table;

/// List, create, change and remove namespaces
#[derive(Args)]
#[command(visible_alias = "ns")]
#[command(
    after_help = "Examples:\n  faas namespace list\n  faas namespace create dev --label team=shop\n  faas namespace get dev --output json"
)]
pub struct Namespace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a namespace
    #[command(after_help = "Example:\n  faas namespace create dev --label team=shop")]
    Create(Marked),
    /// Show a namespace with its labels and annotations
    #[command(after_help = "Example:\n  faas namespace get dev --output json")]
    Get(Named),
    /// List the namespaces
    #[command(visible_alias = "ls", after_help = "Example:\n  faas namespace list")]
    List(Plain),
    /// Remove a namespace
    #[command(visible_aliases = ["rm", "delete"], after_help = "Example:\n  faas namespace remove dev")]
    Remove(Named),
    /// Change a namespace's labels and annotations
    #[command(after_help = "Example:\n  faas namespace update dev --label team=shop")]
    Update(Marked),
}

#[derive(Args)]
struct Plain {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

#[derive(Args)]
struct Named {
    /// The namespace
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Args)]
struct Marked {
    /// The namespace
    name: String,
    /// A label, as KEY=VALUE; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An annotation, as KEY=VALUE; may be repeated
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Marked {
    fn namespace(&self) -> backend::Namespace {
        let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect();
        backend::Namespace { name: self.name.clone(), labels: map(&self.labels), annotations: map(&self.annotations) }
    }
}

impl Namespace {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// When the platform has no namespaces, or refuses.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let open = |flags: &GatewayFlags| Session::beside(context, global, flags);
        let done = |name: &str, word: &str| {
            let shown = serde_json::json!({ "name": name, "result": word.to_lowercase() });
            let ours = || format!("{word} namespace {name}.\n");
            context.out.answer(&shown, ours, |_| compat::words::namespace_done(name, word))
        };
        match self.command {
            Command::Create(args) => {
                crate::stack::check_name(&args.name).map_err(|why| {
                    let said = format!("`{}` can't be a namespace's name: {why}", args.name.escape_debug());
                    Fault::usage(said).hint("at most 63 of a-z, 0-9 and `-`, the first and the last not `-`")
                })?;
                let session = open(&args.gateway)?;
                crate::runtime::block_on(namespaces(&session)?.create(&args.namespace()))?;
                done(&args.name, "Created")
            }
            Command::Update(args) => {
                let session = open(&args.gateway)?;
                crate::runtime::block_on(namespaces(&session)?.update(&args.namespace()))?;
                done(&args.name, "Updated")
            }
            Command::Remove(args) => {
                let session = open(&args.gateway)?;
                crate::runtime::block_on(namespaces(&session)?.remove(&args.name))?;
                done(&args.name, "Removed")
            }
            Command::Get(args) => {
                let session = open(&args.gateway)?;
                let found = crate::runtime::block_on(namespaces(&session)?.get(&args.name))?;
                context.out.answer(&found, || details(&found), |_| compat::words::namespace(&found))
            }
            Command::List(args) => list(context, global, &args.gateway, args.json),
        }
    }
}

/// Prints the names of all namespaces.
///
/// # Errors
/// When the platform has none, or can't be asked.
pub fn list(context: &Context, global: &Global, flags: &GatewayFlags, json: bool) -> Result<()> {
    let session = Session::beside(context, global, flags)?;
    let names = crate::runtime::block_on(namespaces(&session)?.list())?;
    context.out.json_if(json).result(&names, || {
        let lines: String = names.iter().map(|name| format!(" - {name}\n")).collect();
        format!("Namespaces:\n{lines}")
    })
}

fn namespaces(session: &Session) -> Result<&dyn Namespaces> {
    let capabilities = session.backend.capabilities();
    capabilities.require("namespaces", capabilities.namespaces)?;
    session
        .backend
        .namespaces()
        .ok_or_else(|| Fault::unsupported(format!("provider `{}` has no namespaces", capabilities.provider)))
}

fn details(namespace: &backend::Namespace) -> String {
    let map = |map: &BTreeMap<String, String>| {
        let pairs: Vec<_> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
        if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(", ") }
    };
    table::fields(&[
        ("Name", namespace.name.clone()),
        ("Labels", map(&namespace.labels)),
        ("Annotations", map(&namespace.annotations)),
    ])
}
