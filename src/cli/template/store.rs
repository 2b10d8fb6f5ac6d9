//! `faas template store`: the catalogues of templates, ours and OpenFaaS's, or a mirror.
use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::context::Context;
use crate::error::Result;
use crate::fetch::Catalogues;
use crate::template::store;

mod describe;
mod list;
mod pull;

/// Look at the catalogues of templates, and pull what they name
#[derive(Args)]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Describe(describe::Describe),
    #[command(visible_alias = "ls")]
    List(list::List),
    Pull(pull::Pull),
}

/// Which catalogue.
#[derive(Args)]
struct StoreFlags {
    /// A catalogue to use instead of ours and OpenFaaS's: a URL or a file [default: OPENFAAS_TEMPLATE_STORE_URL]
    #[arg(short, long, value_name = "URL")]
    url: Option<String>,
}

/// Flags of `pull` that faas-cli takes here, too, where they mean nothing.
#[derive(Args)]
struct Ignored {
    /// Accepted: nothing is written here
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    overwrite: Option<bool>,
    /// Accepted: nothing is pulled here
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    debug: Option<bool>,
}

impl Store {
    /// Runs it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Describe(command) => command.run(context),
            Command::List(command) => command.run(context),
            Command::Pull(command) => command.run(context, global),
        }
    }
}

impl StoreFlags {
    fn open<'a>(&'a self, context: &'a Context) -> store::Store<'a> {
        open(context, self.url.as_deref())
    }
}

/// The catalogues by flag, environment and default.
pub fn open<'a>(context: &'a Context, url: Option<&'a str>) -> store::Store<'a> {
    // The flag's default in faas-cli, which scripts write out: the same as no flag.
    let given = url.filter(|url| !url.is_empty() && *url != store::OPENFAAS);
    let mirror = given.or_else(|| context.env.get("OPENFAAS_TEMPLATE_STORE_URL"));
    store::Store { catalogues: Catalogues { cwd: &context.cwd, cache: context.dirs.cache.clone() }, mirror }
}
