//! Flags that stand ahead of the command that they are for, as faas-cli reads them: `-g URL list`, `secret -n dev list`.
use std::ffi::OsString;

use clap::Command;

use super::{commands, compat, root};
use crate::output::Dialect;

/// Flags without a value that are not the root's own, and stand ahead of commands all the same.
const SWITCHES: [&str; 1] = ["--tls-no-verify"];
/// What is asked of the program itself, and of no command.
const ITS_OWN: [&str; 4] = ["-h", "--help", "-V", "--version"];

/// The arguments with the command first, then its subcommand, then the flags; as they are where no command is found.
pub fn in_order(mut args: Vec<OsString>, dialect: Dialect) -> Vec<OsString> {
    let find = |name: &str| match dialect {
        Dialect::FaasCli => compat::find(name),
        Dialect::Faas => commands::ALL.iter().find(|entry| entry.is(name)),
    };
    let is_flag =
        |args: &[OsString], at: usize| args.get(at).is_some_and(|arg| arg.as_encoded_bytes().starts_with(b"-"));
    if is_flag(&args, 1) {
        let root = root();
        let is_switch = |flag: &str| SWITCHES.contains(&flag) || known(&root, flag) == Some(false);
        match first_word(&args, 1, is_switch) {
            Some(at) if args[at].to_str().is_some_and(|name| find(name).is_some()) => bring(&mut args, at, 1),
            _ => return args,
        }
    }
    if !is_flag(&args, 2) {
        return args;
    }
    let Some(entry) = args.get(1).and_then(|name| name.to_str()).and_then(find) else { return args };
    let (mut group, mut at) = (entry.whole(), 2);
    while group.has_subcommands() {
        let is_switch = |flag: &str| {
            let below = group.get_subcommands().filter_map(|command| known(command, flag));
            known(&group, flag).into_iter().chain(below).next() == Some(false)
        };
        let Some(found) = first_word(&args, at, is_switch) else { break };
        let below = args[found].to_str().and_then(|name| group.find_subcommand(name)).cloned();
        let Some(below) = below else { break };
        bring(&mut args, found, at);
        (group, at) = (below, at + 1);
    }
    args
}

/// Where the first word is that is neither a flag nor a flag's value.
fn first_word(args: &[OsString], from: usize, is_switch: impl Fn(&str) -> bool) -> Option<usize> {
    let mut at = from;
    loop {
        let word = args.get(at)?.to_str()?;
        if word == "--" || ITS_OWN.contains(&word) {
            return None;
        }
        if !word.starts_with('-') {
            return Some(at);
        }
        let may_be_apart = !word.contains('=') && (word.starts_with("--") || word.len() == 2);
        at += if may_be_apart && !is_switch(word) { 2 } else { 1 };
    }
}

/// Whether a flag of the command takes a value; `None` when it has none of that name.
fn known(command: &Command, flag: &str) -> Option<bool> {
    let is_it = |arg: &&clap::Arg| match flag.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long)),
        None => flag.chars().nth(1).is_some_and(|short| arg.get_short() == Some(short)),
    };
    let arg = command.get_arguments().find(is_it)?;
    let optional = arg.get_num_args().is_some_and(|many| many.min_values() == 0);
    Some(arg.get_action().takes_values() && !optional)
}

fn bring(args: &mut [OsString], from: usize, to: usize) {
    args[to..=from].rotate_right(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        in_order(args, Dialect::FaasCli).into_iter().map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_command_comes_first_and_flags_keep_their_order() {
        for (given, expected) in [
            ("x -g URL list", "x list -g URL"),
            ("x --gateway=URL -f a.yml list -q", "x list --gateway=URL -f a.yml -q"),
            ("x --tls-no-verify list", "x list --tls-no-verify"),
            ("x --strict deploy", "x deploy --strict"),
            ("x -n foo secret -g URL list -j", "x secret list -n foo -g URL -j"),
            ("x template --debug=true store -u URL list", "x template store list --debug=true -u URL"),
            ("x secret --tls-no-verify list", "x secret list --tls-no-verify"),
            // Nothing to be moved.
            ("x list -g URL", "x list -g URL"),
            ("x --help list", "x --help list"),
            ("x -g list", "x -g list"),
            ("x -g URL nonsense", "x -g URL nonsense"),
            ("x secret create -n list", "x secret create -n list"),
            ("x namespace -g URL", "x namespace -g URL"),
        ] {
            assert_eq!(ordered(given), expected);
        }
    }
}
