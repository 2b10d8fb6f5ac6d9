//! `faas template store pull`.
use clap::Args;

use super::StoreFlags;
use crate::cli::Global;
use crate::cli::template::pull::{PullFlags, root};
use crate::context::Context;
use crate::error::Result;
use crate::template::Catalogue;
use crate::template::pull::{Order, What, write_built_in};
use crate::template::repository::{Reference, Repository};

/// Pull the templates of the repository that a catalogue names; one inside this binary is written out to be changed
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas template store pull golang-middleware\n  faas template store pull python3-http@v1.2\n  \
                        faas template store pull node"
)]
pub struct Pull {
    /// The template, as `go`, `openfaas/go` or `go@REF`
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    flags: PullFlags,
}

impl Pull {
    /// Pulls it.
    ///
    /// # Errors
    /// When no catalogue has it, or its repository can't be fetched.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let (name, reference) = match self.name.split_once('@') {
            Some((name, reference)) => (name, Reference::parse(reference)?),
            None => (self.name.as_str(), Reference::Default),
        };
        let (entry, warning) = crate::runtime::block_on(self.store.open(context).find(name))?;
        warning.iter().for_each(|warning| context.out.warn(warning));
        let root = root(context, global);
        if entry.built_in && reference == Reference::Default {
            let template = Catalogue::built_in(&entry.name)?;
            write_built_in(&template, &root, self.flags.overwrite)?;
            return context.out.result(&[&entry.name], || format!("Wrote 1 template(s) : [{}]\n", entry.name));
        }
        let repository = Repository::parse(&entry.repository, &context.cwd)?;
        let repository = if reference == Reference::Default { repository } else { repository.at(reference) };
        let puller = self.flags.puller(context, &root);
        self.flags.pull(&puller, vec![Order { repository, what: What::All }], &[], context)
    }
}
