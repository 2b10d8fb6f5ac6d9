//! `faas deployments show`.
use clap::Args;

use super::Target;
use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::history::Deployment;
use crate::output::deployments;

/// Show everything that is known of one deployment
#[derive(Args)]
#[command(after_help = "Examples:\n  faas deployments show tax\n  faas deployments show tax 3")]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// Which, as `faas deployments list` names it [default: the one that serves]
    #[arg(value_name = "ID")]
    deployment: Option<String>,
}

impl Show {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function, or no such deployment of it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let (id, all) = self.target.all(context, global)?;
        let found = match &self.deployment {
            Some(given) => find(&id, &all, given)?,
            None => all.iter().find(|one| one.serves).or(all.first()).ok_or_else(|| unknown(&id))?,
        };
        context.out.result(found, || deployments::details(found))
    }
}

/// The deployment that the user named: by its id, what comes after the function's name in it, or its number.
///
/// # Errors
/// [`crate::error::Kind::NotFound`].
pub fn find<'a>(id: &FunctionId, all: &'a [Deployment], given: &str) -> Result<&'a Deployment> {
    if all.is_empty() {
        return Err(unknown(id));
    }
    let long = format!("{}-{given}", id.name);
    let named = all.iter().find(|one| one.id == given || one.id == long);
    let numbered = || {
        let wanted = given.parse().ok()?;
        all.iter().find(|one| id.number_of(&one.id) == Some(wanted))
    };
    named.or_else(numbered).ok_or_else(|| {
        let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
        Fault::not_found(format!("{id} has no deployment {given}")).hint(format!("it has {}", ids.join(", ")))
    })
}

fn unknown(id: &FunctionId) -> Fault {
    Fault::not_found(format!("no deployment of {id} is remembered"))
        .hint("deployments are noted since this version of faas: the next `faas deploy` is the first")
}
