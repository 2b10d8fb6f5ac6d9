//! `faas completion`: the script that a shell sources to complete commands, flags and values.
use clap::Args;
use clap_complete::env::Shells;

use super::{Global, compat};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::Dialect;

/// Print the completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:\n  source <(faas completion bash)")]
pub struct Completion {
    /// bash, zsh, fish, powershell or elvish
    #[arg(value_name = "SHELL")]
    shell: Option<String>,
    /// The same, as faas-cli has it
    #[arg(long = "shell", value_name = "SHELL", conflicts_with = "shell")]
    shell_flag: Option<String>,
}

impl Completion {
    /// Prints the script.
    ///
    /// # Errors
    /// An unknown shell, or none.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let names = "bash, zsh, fish, powershell or elvish";
        let shell = self
            .shell
            .or(self.shell_flag)
            .ok_or_else(|| Fault::usage("no shell is given").hint(format!("name one of {names}")))?;
        context.out.raw(&script(&shell, context.out.dialect)?)
    }
}

/// The script for a shell.
///
/// # Errors
/// When it is none that is known.
pub fn script(shell: &str, dialect: Dialect) -> Result<Vec<u8>> {
    let names = "bash, zsh, fish, powershell or elvish";
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell.to_lowercase())
        .ok_or_else(|| Fault::usage(format!("unknown shell `{shell}`")).hint(format!("name one of {names}")))?;
    let name = compat::ways::program(dialect);
    let mut script = Vec::new();
    completer
        .write_registration("COMPLETE", name, name, name, &mut script)
        .map_err(|e| Fault::failed("can't write the completion script").cause(e))?;
    Ok(script)
}
