//! `faas secret`: the platform's secrets, whose values go in and never come out, and sealed ones, which a key opens.
use clap::{Args, Subcommand};

use super::Global;
use super::session::Session;
use crate::backend::{SecretName, Secrets};
use crate::context::Context;
use crate::error::{Fault, Result};

mod apply;
mod create;
pub mod file;
mod generate;
mod keygen;
mod list;
mod remove;
mod seal;
mod sync;
mod unseal;
mod update;
mod value;

/// Create, change, list and remove secrets; make keys, and seal secrets with them
#[derive(Args)]
pub struct Secret {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Apply(apply::Apply),
    Create(create::Create),
    #[command(visible_alias = "gen")]
    Generate(generate::Generate),
    Keygen(keygen::Keygen),
    List(list::List),
    Remove(remove::Remove),
    Seal(seal::Seal),
    Sync(sync::Sync),
    Unseal(unseal::Unseal),
    Update(update::Update),
}

impl Secret {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Apply(command) => command.run(context, global),
            Command::Create(command) => command.run(context, global),
            Command::Generate(command) => command.run(context),
            Command::Keygen(command) => command.run(context),
            Command::List(command) => command.run(context, global),
            Command::Remove(command) => command.run(context, global),
            Command::Seal(command) => command.run(context),
            Command::Sync(command) => command.run(context, global),
            Command::Unseal(command) => command.run(context),
            Command::Update(command) => command.run(context, global),
        }
    }
}

/// The platform's secrets, or the typed error that it has none.
fn secrets(session: &Session) -> Result<&dyn Secrets> {
    let capabilities = session.backend.capabilities();
    capabilities.require("secrets", capabilities.secrets)?;
    session
        .backend
        .secrets()
        .ok_or_else(|| Fault::unsupported(format!("provider `{}` has no secrets", capabilities.provider)))
}

/// A secret's name in the session's namespace.
///
/// # Errors
/// A usage fault when it is no DNS-1123 subdomain, the rule of every platform with Kubernetes below it.
fn named(session: &Session, name: &str) -> Result<SecretName> {
    if !is_subdomain(name) {
        return Err(Fault::usage(format!("`{name}` is no name for a secret"))
            .hint("use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends, 253 at most"));
    }
    Ok(SecretName { name: name.into(), namespace: session.namespace() })
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::is_subdomain;

    #[test]
    fn names_are_dns_subdomains() {
        for good in ["a", "api-key", "a.b-c.d9", "0"] {
            assert!(is_subdomain(good), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "..", &"a".repeat(254)] {
            assert!(!is_subdomain(bad), "{bad}");
        }
    }
}
