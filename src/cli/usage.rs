//! Command lines that are wrong, told to programs: as JSON, where the arguments ask for that.
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Fault;
use crate::output::{Format, LogFormat, Output};
use crate::wire::page::squeeze;

/// The way to the program that reads what comes, if the arguments say that one does: those that were understood are not
/// known, since none were.
pub fn programs(args: &[OsString]) -> Option<Output> {
    let args: Vec<&str> = args.iter().skip(1).map_while(|arg| arg.to_str()).take_while(|arg| *arg != "--").collect();
    let is_json = |flag: &str| {
        // The last of a flag counts.
        let mut values = args.iter().enumerate().filter_map(|(at, arg)| match arg.strip_prefix(flag)? {
            "" => args.get(at + 1).copied(),
            rest => rest.strip_prefix('='),
        });
        values.next_back() == Some("json")
    };
    let (output, log) = (is_json("--output"), is_json("--log-format"));
    let out = Output { format: if output { Format::Json } else { Format::Table }, ..Output::default() };
    (output || log).then(|| out.logged(if log { LogFormat::Json } else { LogFormat::Text }))
}

/// Commands whose arguments may be secrets, in the wrong place too.
const SECRETIVE: [&str; 5] = ["secret", "login", "registry-login", "auth", "pro"];
/// Flags whose values are secrets.
const SECRETS: [&str; 8] =
    ["--from-literal", "--password", "--token", "--key", "--mfa-code", "--client-secret", "--header", "--env"];
/// What stands where a secret may have stood.
const LEFT_OUT: &str = "[left out]";

/// The error without what may be a secret: what is printed is kept in the logs of CI.
pub fn discreet(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(argument) = text(&error, ContextKind::InvalidArg) else { return error };
    if SECRETS.iter().any(|flag| argument.split([' ', '=']).next() == Some(flag)) {
        if error.get(ContextKind::InvalidValue).is_some() {
            error.insert(ContextKind::InvalidValue, ContextValue::String(LEFT_OUT.into()));
        }
        return error;
    }
    let secretive = args.iter().skip(1).any(|arg| SECRETIVE.iter().any(|name| arg == name));
    // A flag with a slip in its name is shown.
    let is_flag = argument.starts_with('-') && argument.chars().all(|c| c == '-' || c.is_ascii_lowercase());
    if error.kind() == ErrorKind::UnknownArgument && secretive && !(is_flag && argument.len() < 24) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(LEFT_OUT.into()));
        for kind in [ContextKind::Suggested, ContextKind::SuggestedArg, ContextKind::TrailingArg] {
            error.remove(kind);
        }
    }
    error
}

/// What was probably meant, where clap can't tell: a flag's value that stands apart, and a function's name that `-f` took.
pub fn hint(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let args: Vec<&str> = args.iter().skip(1).map_while(|arg| arg.to_str()).take_while(|arg| *arg != "--").collect();
    match error.kind() {
        ErrorKind::UnknownArgument => args.windows(2).find_map(|pair| {
            let apart = pair[0].starts_with("--") && !pair[0].contains('=') && matches!(pair[1], "true" | "false");
            apart.then(|| format!("write `{}={}`, in one word", pair[0], pair[1]))
        }),
        ErrorKind::MissingRequiredArgument if args.first() == Some(&"logs") => {
            let name = args.windows(2).find_map(|pair| (pair[0] == "-f").then_some(pair[1]))?;
            let is_file = name.contains(['.', '/']) || std::path::Path::new(name).exists();
            (!is_file).then(|| format!("-f names the stack file; logs follow by default: `faas logs {name}`"))
        }
        _ => None,
    }
}

/// What is wrong, as any other fault; `hint` counts more than what clap has to say.
pub fn fault(error: &clap::Error, hint: Option<String>) -> Fault {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Fault::usage("a command is missing").hint("--help lists them");
    }
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(squeeze).filter(|part| !part.is_empty());
    let message = parts.next().unwrap_or_default();
    let fault = Fault::usage(message.strip_prefix("error: ").unwrap_or(&message));
    let rest: Vec<String> = parts.filter(|part| !part.starts_with("For more information")).collect();
    fault.hint(if let Some(hint) = hint {
        hint
    } else if rest.is_empty() {
        "--help lists what there is".to_owned()
    } else {
        rest.join("; ")
    })
}
