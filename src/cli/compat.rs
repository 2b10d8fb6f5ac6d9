//! Called as `faas-cli` (a link to this binary), ours answers as faas-cli 0.18 does: its way of reading flags, its exit
//! codes, its words on stdout where scripts read them. The formats are in the files below, a room a subject; commands
//! hand both ways of saying a result to `Output::answer`, which takes the one that was asked for.
use std::ffi::OsString;
use std::path::Path;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command};

use crate::function::Function;
use crate::output::{Dialect, Format};
use crate::template::Catalogue;

mod accepted;
mod diff;
pub(super) mod functions;
#[cfg(feature = "openfaas")]
mod pro;
pub(super) mod ways;
pub(super) mod words;

use super::Global;
use super::commands::{ALL, Entry, Run};
use crate::context::Context;

/// Commands that mean something else there than under our own name.
const OWN: &[Entry] = &[
    Entry {
        name: "diff",
        aliases: &[],
        about: "Diff the stack file against what is deployed",
        augment: <diff::Diff as clap::Args>::augment_args,
    },
    #[cfg(feature = "openfaas")]
    Entry {
        name: "pro",
        aliases: &[],
        about: "Sign in as faas-cli's plugin `pro` does",
        augment: <pro::Pro as clap::Args>::augment_args,
    },
];

/// By the name that the binary was called by.
#[must_use]
pub fn dialect(args: &[OsString]) -> Dialect {
    let name = args.first().and_then(|name| Path::new(name).file_stem());
    if name.is_some_and(|name| name == "faas-cli") { Dialect::FaasCli } else { Dialect::Faas }
}

/// The exit code that faas-cli has for one of ours: it knows no other failure than 1. Ctrl-C is the shell's.
#[must_use]
pub fn exit_code(ours: u8) -> u8 {
    match ours {
        0 | 130 => ours,
        _ => 1,
    }
}

/// The command that goes by this name under faas-cli's.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    OWN.iter().chain(ALL).find(|entry| entry.is(name))
}

/// What was parsed, for the commands that are faas-cli's alone.
///
/// # Errors
/// When its arguments are not what its flags promise.
pub fn parsed(name: &str, matches: &mut clap::ArgMatches) -> Option<Result<Run, clap::Error>> {
    match name {
        "diff" => Some(own::<diff::Diff>(matches, diff::Diff::run)),
        #[cfg(feature = "openfaas")]
        "pro" => Some(own::<pro::Pro>(matches, pro::Pro::run)),
        _ => None,
    }
}

fn own<C: clap::FromArgMatches + 'static>(
    matches: &mut clap::ArgMatches,
    run: fn(C, &Context, &Global) -> crate::error::Result<()>,
) -> Result<Run, clap::Error> {
    let command = C::from_arg_matches_mut(matches)?;
    Ok(Box::new(move |context, global| run(command, context, global)))
}

/// Gives a function the process that its template in this project names, where the stack names none: faas-cli tells the
/// gateway. Without the template the image's own holds, which is the same.
pub fn process_of_template(function: &mut Function, root: &Path) {
    if function.process.is_some() || function.lang.is_empty() || function.lang == "dockerfile" {
        return;
    }
    if root.join("template").join(&function.lang).join("template.yml").is_file()
        && let Ok(template) = Catalogue::new(root).get(&function.lang)
    {
        function.process.clone_from(&template.manifest.fprocess);
    }
}

/// The clap tree as faas-cli's users know it.
#[must_use]
pub fn command() -> Command {
    adapt(with(Entry::whole), Dialect::FaasCli)
}

/// The same without the commands' own flags, which the list of commands does not show.
#[must_use]
pub fn list() -> Command {
    super::alone(switches(with(Entry::stub).name("faas-cli")))
}

fn with(made: fn(&Entry) -> Command) -> Command {
    let is_own = |name: &str| OWN.iter().any(|entry| entry.name == name);
    let mut tree = super::root();
    for entry in ALL {
        let command = made(entry);
        // A name that is a command of its own here is no longer another name for ours.
        let command = if entry.aliases.iter().any(|name| is_own(name)) { command.visible_alias(None) } else { command };
        tree = tree.subcommand(command);
    }
    tree.subcommands(OWN.iter().map(made))
}

/// A tree that reads flags as pflag does: `--flag=false` for any that is no more than a switch; and, for faas-cli's
/// users, its own flags that mean nothing here, and arguments too many, which it ignores.
#[must_use]
pub fn adapt(tree: Command, dialect: Dialect) -> Command {
    let tree = if dialect == Dialect::FaasCli { tree.name("faas-cli") } else { tree };
    leaves(switches(group_flags(tree)), "", &|command, path| {
        let command = accepted::add(switches(own_output(command)), path);
        if dialect == Dialect::FaasCli { surplus(command) } else { command }
    })
}

/// Flags that faas-cli also reads ahead of the subcommand: `namespace -g URL list`, `template store --debug pull`.
fn group_flags(tree: Command) -> Command {
    let tree = below(tree, "namespace", |group| lift(group, "list", &["gateway", "tls_no_verify", "token"]));
    below(tree, "template", |group| below(group, "store", |store| lift(store, "pull", &["debug", "overwrite"])))
}

/// Does `change` to the subcommand of that name, where there is one.
fn below(tree: Command, name: &str, change: impl FnOnce(Command) -> Command) -> Command {
    if tree.find_subcommand(name).is_some() { tree.mut_subcommand(name, change) } else { tree }
}

/// Makes flags of one of a group's commands flags of the group.
fn lift(group: Command, from: &str, ids: &[&str]) -> Command {
    let command = group.find_subcommand(from).cloned();
    let flags = command.iter().flat_map(Command::get_arguments);
    let flags: Vec<Arg> =
        flags.filter(|arg| ids.contains(&arg.get_id().as_str())).map(|arg| arg.clone().global(true)).collect();
    group.args(flags)
}

/// Does `change` to every command that has none below it.
fn leaves(mut command: Command, path: &str, change: &dyn Fn(Command, &str) -> Command) -> Command {
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    if below.is_empty() {
        return change(command, path);
    }
    for name in below {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(&name, |one| leaves(one, &path, change));
    }
    command
}

/// Lets every switch be told by `=true` and `=false`, in all the ways that Go reads.
fn switches(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true)
            .value_parser(truth()),
        _ => arg,
    })
}

fn truth() -> impl TypedValueParser<Value = bool> {
    BoolishValueParser::new()
}

/// Commands whose `-o` is `--output` in faas-cli; for the others that is how results are printed.
fn own_output(command: Command) -> Command {
    let own = command.get_arguments().find(|arg| arg.get_short() == Some('o') && arg.get_long().is_none());
    let Some(id) = own.map(|arg| arg.get_id().clone()) else { return command };
    let general = Arg::new("output").long("print").value_parser(clap::value_parser!(Format)).default_value("table");
    command.mut_arg(id, |arg| arg.long("output")).arg(general.hide(true))
}

/// Arguments after the last that a command has are read and left.
fn surplus(command: Command) -> Command {
    let takes_all = |arg: &Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    if command.get_positionals().any(takes_all) {
        return command;
    }
    command.arg(Arg::new("surplus").num_args(0..).hide(true).value_parser(clap::value_parser!(OsString)))
}
