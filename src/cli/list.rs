//! `faas list`: the functions that are deployed.
use clap::Args;

use super::session::{GatewayFlags, Session};
use super::{Global, compat};
use crate::backend::{Deployed, Scope};
use crate::context::Context;
use crate::error::Result;
use crate::output::functions;
use crate::output::table::clean;
use crate::stack::pattern;

/// List the functions that are deployed
#[derive(Args)]
#[command(visible_alias = "ls")]
#[command(
    after_help = "Examples:\n  faas list\n  faas list --verbose --sort invocations\n  faas list --filter 'tax*'\n  faas list -q | xargs -n1 faas describe"
)]
pub struct List {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// List those of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// List those that other tools deployed, too
    #[arg(long)]
    all: bool,
    /// Show images and times of creation, too
    #[arg(short, long)]
    verbose: bool,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// The order
    #[arg(long, value_enum, default_value_t, value_name = "KEY")]
    sort: Sort,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Sort {
    /// By name
    #[default]
    Name,
    /// Most called first
    Invocations,
    /// Oldest first
    Creation,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When the platform can't be asked.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        // What is deployed is chosen from, whatever the stack file has.
        let choose = compat::ways::chooses_listed(context.out.dialect);
        let wanted = if choose { pattern(global.filter.as_deref(), global.regex.as_deref())? } else { None };
        let all = Global { filter: None, regex: None, ..global.clone() };
        let session = Session::open(context, if choose { &all } else { global }, &self.gateway)?;
        let scope = Scope { namespace: session.namespace(), others: self.all, ..Scope::default() };
        let mut found = crate::runtime::block_on(async {
            if self.all_namespaces {
                session.backend.observe_everywhere(self.all).await
            } else {
                session.backend.observe(&scope).await
            }
        })?;
        found.retain(|f| wanted.as_ref().is_none_or(|wanted| wanted.is_match(&f.name)));
        self.sort.apply(&mut found);
        let out = context.out.json_if(self.json);
        if self.quiet && out.is_table() {
            let name = |f: &Deployed| clean(&if self.all_namespaces { f.id().to_string() } else { f.name.clone() });
            return out.raw(found.iter().map(|f| name(f) + "\n").collect::<String>().as_bytes());
        }
        let rows: Vec<_> = found.iter().map(functions::row).collect();
        out.answer(
            &rows,
            || functions::table(&found, self.verbose, self.all_namespaces),
            |format| compat::functions::list(&found, format, self.verbose, self.all_namespaces),
        )
    }
}

impl Sort {
    fn apply(self, functions: &mut [Deployed]) {
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        match self {
            // Stable, so that within a namespace they stay by name.
            Self::Name => functions.sort_by(|a, b| a.namespace.cmp(&b.namespace)),
            Self::Invocations => {
                let calls = |f: &Deployed| f.invocations.unwrap_or(0.0);
                functions.sort_by(|a, b| calls(b).total_cmp(&calls(a)));
            }
            Self::Creation => functions.sort_by(|a, b| a.created.cmp(&b.created)),
        }
    }
}
