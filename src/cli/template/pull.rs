//! `faas template pull`: templates of a git repository, those that the stack file names, or those of template.lock.
use std::path::{Path, PathBuf};

use clap::Args;

use super::missing::{report, shown};
use crate::cli::{Global, compat, stack_file};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::template::git::Git;
use crate::template::pull::{Action, Order, Pinning, Pulled, Puller, What};
use crate::template::repository::Repository;

/// Where OpenFaaS keeps its templates.
const OPENFAAS: &str = "https://github.com/openfaas/templates.git";

/// Pull templates from a git repository into template/; the commits are kept in template.lock
#[derive(Args)]
#[command(after_help = "Examples:\n  faas template pull https://github.com/openfaas/templates#1.0\n  \
                        faas template pull git@github.com:me/templates.git\n  faas template pull ../templates\n  \
                        faas template pull stack\n  faas template pull --frozen")]
pub struct Pull {
    /// REPO or REPO#REF: a URL, git@host:path or a folder, and a branch, a tag or sha-COMMIT; or `stack` for those under
    /// `configuration.templates` [default: OPENFAAS_TEMPLATE_URL, else OpenFaaS's; with --frozen those of template.lock]
    #[arg(value_name = "REPO|stack")]
    repository: Option<String>,
    #[command(flatten)]
    flags: PullFlags,
}

/// Flags of every command that pulls.
#[derive(Args, Clone, Default)]
pub struct PullFlags {
    /// Replace templates that are there; with =false they are an error
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub overwrite: bool,
    /// Say what is done
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub debug: bool,
    /// Use the commits of template.lock, and fail rather than choose others
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub frozen: bool,
}

impl Pull {
    /// Runs it.
    ///
    /// # Errors
    /// When a repository can't be fetched or has no templates; with --overwrite=false when one is there.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let root = root(context, global);
        let puller = self.flags.puller(context, &root);
        let mut entries = Vec::new();
        let orders = match self.repository.as_deref() {
            Some("stack") => of_stack(context, global, &mut entries)?,
            None if self.flags.frozen => puller.locked()?,
            given => {
                let default = || context.env.get("OPENFAAS_TEMPLATE_URL").unwrap_or(OPENFAAS);
                let repository = Repository::parse(given.unwrap_or_else(default), &context.cwd)?;
                vec![Order { repository, what: What::All }]
            }
        };
        self.flags.pull(&puller, orders, &entries, context)
    }
}

/// The folder that `template/` is in: the stack file's, where a flag names one, else this one.
pub fn root(context: &Context, global: &Global) -> PathBuf {
    let named = global.yaml.as_deref().filter(|f| !f.is_empty() && *f != "-" && !f.contains("://"));
    let Some(path) = named.map(|f| context.absolute(Path::new(f))) else { return context.cwd.clone() };
    let folder = if path.is_dir() { &path } else { path.parent().unwrap_or(&context.cwd) };
    if folder.is_dir() { folder.to_owned() } else { context.cwd.clone() }
}

/// A template as the stack names it, and where from.
pub type Entry = (String, Option<String>);

fn of_stack(context: &Context, global: &Global, entries: &mut Vec<Entry>) -> Result<Vec<Order>> {
    // Templates are the whole stack's, whichever functions a command is about.
    let whole = Global { filter: None, regex: None, ..global.clone() };
    let stack = stack_file::load(context, &whole)?.ok_or_else(stack_file::missing)?;
    let templates = &stack.configuration.templates;
    if templates.is_empty() {
        return Err(Fault::usage(format!("{} names no templates", stack.origin.name))
            .hint("name them under `configuration.templates`, each with `name:` and `source:`"));
    }
    entries.extend(templates.iter().map(|template| (template.name.clone(), template.source.clone())));
    super::missing::orders(templates.iter().map(|t| t.name.as_str()), &stack.configuration, &stack.origin.root, context)
}

impl PullFlags {
    /// What pulls into the project at `root`, by these flags.
    pub fn puller<'a>(&self, context: &'a Context, root: &'a Path) -> Puller<'a> {
        Puller {
            git: Git::new(&context.env, &context.dirs.cache, context.out.interactive),
            root,
            overwrite: self.overwrite,
            pinning: if self.frozen { Pinning::Frozen } else { Pinning::Move },
        }
    }

    /// Pulls, and prints what was pulled; faas-cli does so for each of the stack's `entries`.
    ///
    /// # Errors
    /// The same; templates that were there with --overwrite=false.
    pub fn pull(&self, puller: &Puller<'_>, orders: Vec<Order>, entries: &[Entry], context: &Context) -> Result<()> {
        for order in &orders {
            context.out.note(format_args!("Fetching templates from {}", order.repository.shown()));
        }
        let pulled = crate::runtime::block_on(puller.pull(orders))?;
        report(&pulled, context);
        if self.debug {
            for one in &pulled {
                context.out.note(format_args!("{}: {} of {}", one.name, one.commit, one.repository));
            }
        }
        let (kept, there): (Vec<&Pulled>, Vec<&Pulled>) = pulled.iter().partition(|one| one.action == Action::Kept);
        let said = || match there.is_empty() && !kept.is_empty() {
            true => String::new(),
            false => format!("Wrote {} template(s) : [{}]\n", there.len(), shown(&there)),
        };
        let theirs = |_| match entries {
            [] => said(),
            entries => compat::words::pulled(entries),
        };
        context.out.answer(&pulled, said, theirs)?;
        if kept.is_empty() {
            return Ok(());
        }
        Err(Fault::failed(format!("unable to overwrite the following: [{}]", shown(&kept)))
            .hint("leave --overwrite=false out to replace them"))
    }
}
