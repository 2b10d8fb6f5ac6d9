//! Flags of faas-cli that are read and mean nothing here, each with the reason.
use clap::{Arg, ArgAction, Command};

/// Command, flag, whether it takes a value.
const ACCEPTED: &[(&str, &str, bool)] = &[
    // Docker's `--squash` is no more.
    ("build", "--squash", false),
    ("publish", "--squash", false),
    ("up", "--squash", false),
    ("local-run", "--squash", false),
    // A network of Swarm; faas-cli drops it too.
    ("deploy", "--network", true),
    ("up", "--network", true),
    // How templates are fetched: what is missing is, and nothing is printed but failures.
    ("build", "--debug", false),
    ("build", "--overwrite", false),
    ("build", "--disable-stack-pull", false),
    ("publish", "--debug", false),
    ("publish", "--overwrite", false),
    ("publish", "--disable-stack-pull", false),
    ("up", "--debug", false),
    ("up", "--overwrite", false),
    ("up", "--disable-stack-pull", false),
    // The name is the argument; faas-cli ignores the flag.
    ("describe", "--name", true),
    ("invoke", "--name", true),
];

/// Adds those of the command at `path`.
pub fn add(mut command: Command, path: &str) -> Command {
    for &(_, flag, takes_value) in ACCEPTED.iter().filter(|(at, ..)| *at == path) {
        let long = flag.trim_start_matches('-');
        if command.get_arguments().any(|arg| arg.get_long() == Some(long)) {
            continue;
        }
        let arg = Arg::new(flag).long(long).hide(true);
        command = command.arg(match takes_value {
            true => arg.action(ArgAction::Append).allow_hyphen_values(true),
            false => arg.action(ArgAction::Set).num_args(0..=1).require_equals(true).default_missing_value("true"),
        });
    }
    command
}
