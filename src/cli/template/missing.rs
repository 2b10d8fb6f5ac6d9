//! Templates that functions name and that are not here yet: pulled before a build, each repository once.
use std::path::Path;

use clap::Args;

use super::pull::PullFlags;
use super::store;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::output::plain;
use crate::stack::Configuration;
use crate::template::lock::Lock;
use crate::template::pull::{Order, Pinning, Pulled, What, digest_on_disk};
use crate::template::repository::{Reference, Repository};
use crate::template::{self, Catalogue};

/// Flags of every command that builds.
#[derive(Args, Clone, Default)]
pub struct TemplateFlags {
    #[command(flatten)]
    pull: PullFlags,
    /// Don't look at `configuration.templates` for templates that are missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    disable_stack_pull: bool,
}

impl TemplateFlags {
    /// Pulls the templates that functions of a stack name and that are neither in `template/` nor inside this binary. With
    /// `--frozen`, those that are there must be what template.lock says.
    ///
    /// # Errors
    /// When one is nowhere, or is another than the lock says.
    pub fn complete(
        &self,
        functions: &[Function],
        configuration: &Configuration,
        root: &Path,
        context: &Context,
    ) -> Result<()> {
        let none = Configuration::default();
        let configuration = if self.disable_stack_pull { &none } else { configuration };
        let mut names: Vec<&str> =
            functions.iter().filter(|f| !f.build.skip && !f.lang.is_empty()).map(|f| f.lang.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if self.pull.frozen {
            unchanged(&names, root)?;
        }
        let catalogue = Catalogue::new(root);
        let is_missing = |name: &&str| {
            let has_source = configuration.templates.iter().any(|t| t.name == *name && t.source.is_some());
            template::is_name(name)
                && if has_source { !root.join("template").join(name).is_dir() } else { !catalogue.has(name) }
        };
        names.retain(is_missing);
        if names.is_empty() {
            return Ok(());
        }
        let orders = orders(names.iter().copied(), configuration, root, context)?;
        for order in &orders {
            let What::One { into, .. } = &order.what else { continue };
            context.out.note(format_args!("Pulling template: {into} from {}", order.repository.shown()));
        }
        let mut puller = self.pull.puller(context, root);
        if puller.pinning == Pinning::Move {
            puller.pinning = Pinning::Keep;
        }
        report(&crate::runtime::block_on(puller.pull(orders))?, context);
        Ok(())
    }

    /// The same for one language, for which there is no stack yet.
    ///
    /// # Errors
    /// The same.
    pub fn complete_one(lang: &str, root: &Path, context: &Context) -> Result<()> {
        let pull = PullFlags { overwrite: true, debug: false, frozen: false };
        let function = Function { lang: lang.to_owned(), ..Function::default() };
        Self { pull, disable_stack_pull: false }.complete(&[function], &Configuration::default(), root, context)
    }
}

/// What is to be pulled for templates by name: from where the stack says, else from where a catalogue says.
///
/// # Errors
/// When a catalogue knows no such template.
pub fn orders<'a>(
    names: impl Iterator<Item = &'a str>,
    configuration: &Configuration,
    root: &Path,
    context: &Context,
) -> Result<Vec<Order>> {
    let mut orders = Vec::new();
    for name in names {
        let (plain_name, reference) = match name.split_once('@') {
            Some((plain, reference)) => (plain, Some(Reference::parse(reference)?)),
            None => (name, None),
        };
        let source = configuration.templates.iter().find(|t| t.name == name).and_then(|t| t.source.as_deref());
        let what = |theirs: &str| What::One { theirs: theirs.to_owned(), into: name.to_owned() };
        let order = match source {
            Some(source) => Order { repository: Repository::parse(source, root)?, what: what(plain_name) },
            None => {
                let (entry, warning) = crate::runtime::block_on(store::open(context, None).find(plain_name))
                    .map_err(|fault| no_such(name, fault, root))?;
                warning.iter().for_each(|warning| context.out.warn(warning));
                if entry.built_in && reference.is_none() {
                    continue;
                }
                let repository = Repository::parse(&entry.repository, root)?;
                let repository = reference.map_or_else(|| repository.clone(), |reference| repository.at(reference));
                Order { repository, what: what(&entry.name) }
            }
        };
        orders.push(order);
    }
    Ok(orders)
}

/// As for a build that knows no template of that name, and why no catalogue could help.
fn no_such(name: &str, fault: Fault, root: &Path) -> Fault {
    let Err(mut unknown) = Catalogue::new(root).get(name) else { return fault };
    if fault.kind != unknown.kind || fault.cause.is_some() {
        let known = unknown.cause.unwrap_or_default();
        let why = fault.cause.as_deref().unwrap_or(&fault.message);
        unknown.cause = Some(format!("{known}; {why}"));
    }
    unknown
}

/// That templates which are there are those of the lock; one that the lock doesn't name is the project's own.
fn unchanged(names: &[&str], root: &Path) -> Result<()> {
    let lock = Lock::read(root)?;
    for name in names {
        let folder = root.join("template").join(name);
        let Some(pin) = lock.templates.get(*name).filter(|_| folder.is_dir()) else { continue };
        if digest_on_disk(&folder).as_ref() != Some(&pin.digest) {
            return Err(Fault::failed(format!("template/{name} is not what template.lock says"))
                .cause(format!("it was changed since commit {} of {} was pulled", pin.commit, pin.repository))
                .hint("`faas template pull --frozen` brings it back"));
        }
    }
    Ok(())
}

/// Tells what is worth a word.
pub fn report(pulled: &[Pulled], context: &Context) {
    let mut told: Vec<&str> = Vec::new();
    for one in pulled {
        if let Some(why) = one.stale.as_deref().filter(|why| !told.contains(why)) {
            context.out.warn(format_args!("the commit of last time is used: {}", plain(why)));
            told.push(why);
        }
    }
}

/// Names, as faas-cli lists them.
pub fn shown(pulled: &[&Pulled]) -> String {
    let name = |one: &&Pulled| match one.reference.is_empty() {
        true => one.template.clone(),
        false => format!("{}@{}", one.template, one.reference),
    };
    pulled.iter().map(name).collect::<Vec<_>>().join(" ")
}
