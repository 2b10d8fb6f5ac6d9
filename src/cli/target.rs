//! `faas target`: the overlays of the stack file.
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Global, config, stack_file};
use crate::context::Context;
use crate::error::Result;
use crate::output::table;
use crate::stack::values;

/// Look at the targets of the stack file
#[derive(Args)]
pub struct Target {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Show(Show),
}

/// List the targets, and the platforms that they lead to
#[derive(Args)]
#[command(visible_alias = "ls", after_help = "Examples:\n  faas target list\n  faas target list --output json")]
struct List {}

/// Print what a target lays over the stack file, with lines
#[derive(Args)]
#[command(after_help = "Examples:\n  faas target show prod\n  faas target show prod --output json")]
struct Show {
    /// The target
    name: String,
}

#[derive(Serialize)]
struct Line {
    name: String,
    provider: &'static str,
    gateway: Option<String>,
    functions: usize,
    /// Whether it is the one that the environment or the flags choose.
    chosen: bool,
}

impl Target {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// A stack file that is wrong, or no such target.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let document = stack_file::read(context, global)?.ok_or_else(stack_file::missing)?;
        let with = |target: Option<&str>| stack_file::parse(context, global, &document, target);
        match self.command {
            Command::List(List {}) => {
                let lines = with(None)?
                    .targets
                    .into_iter()
                    .map(|name| {
                        let stack = with(Some(&name))?;
                        let chosen = global.target.iter().flat_map(|all| all.split(',')).any(|one| one == name);
                        let provider = stack.provider.kind.as_str();
                        Ok(Line {
                            name,
                            provider,
                            gateway: stack.provider.gateway,
                            functions: stack.functions.len(),
                            chosen,
                        })
                    })
                    .collect::<Result<Vec<Line>>>()?;
                context.out.result(&lines, || {
                    let row = |line: &Line| {
                        let name = if line.chosen { format!("{} *", line.name) } else { line.name.clone() };
                        vec![
                            name,
                            line.provider.into(),
                            line.functions.to_string(),
                            line.gateway.clone().unwrap_or_default(),
                        ]
                    };
                    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
                    table::columns(&["TARGET", "PROVIDER", "FUNCTIONS", "GATEWAY"], &rows)
                })
            }
            Command::Show(Show { name }) => {
                let all = config::of_target(values::of(&with(Some(&name))?));
                context.out.result(&all, || config::yaml(&all))
            }
        }
    }
}
