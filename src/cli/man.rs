//! `faas man`: the man pages, and the reference of all commands as Markdown; both from the clap tree.
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use super::Global;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};

/// Write the man pages into a folder, or print the reference of all commands
#[derive(Args)]
#[command(after_help = "Examples:\n  faas man ~/.local/share/man/man1\n  faas man --markdown >reference.md")]
pub struct Man {
    /// The folder; it is made when it is not there
    #[arg(value_name = "DIR", required_unless_present = "markdown")]
    folder: Option<PathBuf>,
    /// Print the reference as Markdown instead
    #[arg(long, conflicts_with = "folder")]
    markdown: bool,
}

impl Man {
    /// Writes them.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let mut tree = super::command().disable_help_subcommand(true);
        tree.build();
        let Some(folder) = self.folder else {
            return context.out.raw(reference(&tree).as_bytes());
        };
        let folder = context.absolute(&folder);
        std::fs::create_dir_all(&folder).or_fault(|| format!("can't make the folder {}", folder.display()))?;
        let mut names = Vec::new();
        pages(&tree, "", &folder, &mut names)?;
        context.out.result(&names, || names.iter().map(|name| format!("{name}\n")).collect())
    }
}

/// A page for the command, and for each below it.
fn pages(command: &Command, above: &str, folder: &Path, names: &mut Vec<String>) -> Result<()> {
    let name = if above.is_empty() { command.get_name().to_owned() } else { format!("{above}-{}", command.get_name()) };
    let file = format!("{name}.1");
    let mut page = Vec::new();
    // A command's name lives as long as the program, and this one ends after its pages.
    let shown = command.clone().name(&*name.clone().leak());
    clap_mangen::Man::new(shown)
        .title(name.to_uppercase())
        .section("1")
        // A page that says when it was made is never the same twice.
        .date("")
        .manual("faas")
        .render(&mut page)
        .map_err(|error| Fault::failed(format!("can't make the page {file}")).cause(error))?;
    std::fs::write(folder.join(&file), page).or_fault(|| format!("can't write {}", folder.join(&file).display()))?;
    names.push(file);
    visible(command).try_for_each(|below| pages(below, &name, folder, names))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

/// All commands with their flags, a section each.
pub fn reference(tree: &Command) -> String {
    let mut text = String::from(
        "# All commands\n\nMade by `faas man --markdown`. Flags that every command takes stand once, at the end.\n",
    );
    for command in visible(tree) {
        section(command, "faas", 2, &mut text);
    }
    text += "\n## Flags of every command\n\n";
    flags(tree, |arg| arg.is_global_set() || arg.get_id() == "verbose", &mut text);
    text
}

fn section(command: &Command, above: &str, depth: usize, text: &mut String) {
    let name = format!("{above} {}", command.get_name());
    let _ = writeln!(text, "\n{} {name}\n", "#".repeat(depth));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "{}", escaped(&about));
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        let _ = writeln!(text, "\nAlso: `{}`", aliases.join("`, `"));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    let usage = if usage.starts_with("faas") { usage.to_owned() } else { format!("{above} {usage}") };
    let _ = writeln!(text, "\n```text\n{usage}\n```");
    if visible(command).next().is_none() {
        text.push('\n');
        flags(command, |arg| !arg.is_global_set(), text);
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<&str> = examples.lines().skip_while(|line| line.starts_with("Example")).map(str::trim).collect();
        let _ = writeln!(text, "\n```sh\n{}\n```", lines.join("\n"));
    }
    for below in visible(command) {
        section(below, &name, depth + 1, text);
    }
}

fn flags(command: &Command, takes: impl Fn(&clap::Arg) -> bool, text: &mut String) {
    let mut rows = String::new();
    for arg in command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && takes(arg) && arg.get_id() != "help" && arg.get_id() != "version")
    {
        let mut names = Vec::new();
        if let Some(short) = arg.get_short() {
            names.push(format!("-{short}"));
        }
        if let Some(long) = arg.get_long() {
            names.push(format!("--{long}"));
        }
        let value =
            arg.get_value_names().filter(|_| arg.get_num_args().is_none_or(|n| n.takes_values())).unwrap_or_default();
        let value = value.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
        let shown = match (names.is_empty(), value.is_empty()) {
            (true, _) => {
                format!("`{}`", if value.is_empty() { arg.get_id().to_string().to_uppercase() } else { value })
            }
            (false, true) => format!("`{}`", names.join("`, `")),
            (false, false) => format!("`{} {value}`", names.join("`, `")),
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let mut help = escaped(&help).replace('|', "\\|");
        let defaults: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
        if !defaults.is_empty() && !arg.is_hide_default_value_set() {
            let _ = write!(help, " (default `{}`)", defaults.join(" "));
        }
        let _ = writeln!(rows, "| {shown} | {help} |");
    }
    if !rows.is_empty() {
        let _ = write!(text, "| flag | |\n|---|---|\n{rows}");
    }
}

/// Text of help as Markdown: what looks like a tag is none.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;").replace('\n', " ").replace("  ", "\n\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_how_it_is_typed() {
        fn look(command: &Command, above: &str, without: &mut Vec<String>) {
            let name = format!("{above} {}", command.get_name());
            let mut is_group = false;
            for below in visible(command) {
                is_group = true;
                look(below, &name, without);
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // With its own name, and not copied from another.
            let typed =
                help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n")) || help.ends_with(&name);
            if !(is_group || help.contains("Example") && typed) {
                without.push(name);
            }
        }
        let mut tree = super::super::command().disable_help_subcommand(true);
        tree.build();
        let mut without = Vec::new();
        visible(&tree).for_each(|command| look(command, "faas", &mut without));
        assert!(without.is_empty(), "commands whose --help has no example: {without:?}");
    }

    #[test]
    fn the_reference_has_every_command_with_its_flags() {
        let mut tree = super::super::command().disable_help_subcommand(true);
        tree.build();
        let text = reference(&tree);
        for part in [
            "\n## faas up\n",
            "\n### faas secret create\n",
            "`--prune`",
            "\n## Flags of every command\n",
            "faas plan --exit-code",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
