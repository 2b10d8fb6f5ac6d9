//! `faas store`: functions that others made, to be deployed as they are.
use clap::{Args, Subcommand};

use super::Global;
use crate::context::Context;
use crate::error::Result;
use crate::fetch::Catalogues;
use crate::store::{self, OPENFAAS};

mod deploy;
mod describe;
mod list;

/// Look at ready-made functions, and deploy them
#[derive(Args)]
pub struct Store {
    #[command(flatten)]
    flags: StoreFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Deploy(Box<deploy::Deploy>),
    #[command(visible_alias = "inspect")]
    Describe(describe::Describe),
    #[command(visible_alias = "ls")]
    List(list::List),
}

/// Which store, and for which platform.
#[derive(Args)]
pub struct StoreFlags {
    /// The store: a URL or a file in the format of OpenFaaS's functions.json [default: OPENFAAS_STORE, else OpenFaaS's]
    #[arg(short, long, global = true, value_name = "URL")]
    url: Option<String>,
    /// The platform: x86_64, arm64 or armhf [default: this machine's]
    #[arg(short, long, global = true, value_name = "PLATFORM")]
    platform: Option<String>,
}

impl StoreFlags {
    fn platform(&self) -> &str {
        self.platform.as_deref().filter(|p| !p.is_empty()).unwrap_or(store::own_platform())
    }

    fn read(&self, context: &Context) -> Result<store::Store> {
        read(self.url.as_deref(), context)
    }
}

/// The store by flag, environment and default; its warning is told.
///
/// # Errors
/// When it can't be read.
pub fn read(url: Option<&str>, context: &Context) -> Result<store::Store> {
    let given = url.filter(|url| !url.is_empty()).or_else(|| context.env.get("OPENFAAS_STORE"));
    let catalogues = Catalogues { cwd: &context.cwd, cache: context.dirs.cache.clone() };
    let store = crate::runtime::block_on(store::Store::read(&catalogues, given.unwrap_or(OPENFAAS)))?;
    store.warning.iter().for_each(|warning| context.out.warn(warning));
    Ok(store)
}

impl Store {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        match self.command {
            Command::Deploy(command) => command.run(&self.flags, context),
            Command::Describe(command) => command.run(&self.flags, context),
            Command::List(command) => command.run(&self.flags, context),
        }
    }
}
