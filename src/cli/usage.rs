//! Command lines that are wrong, told to programs: as JSON, where the arguments ask for that.
use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::error::Fault;
use crate::output::{Format, LogFormat, Output};

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
    let mut parts = text.split("\n\n").map(on_one_line).filter(|part| !part.is_empty());
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

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
