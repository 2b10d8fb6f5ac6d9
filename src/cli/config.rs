//! `faas config view`: the stack as it counts in the end, each value with where it comes from.
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Global, stack_file};
use crate::context::Context;
use crate::error::Result;
use crate::output::plain;
use crate::plan::hide;
use crate::stack::values::{self, Told, Whence};

/// Look at the stack as it counts in the end
#[derive(Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    View(View),
}

/// Print the stack with its target, variables and files laid together, and where each value comes from
///
/// The result is YAML; where a value comes from stands behind it. Values of variables that look like secrets are not
/// shown.
#[derive(Args)]
#[command(after_help = "Examples:\n  faas config view\n  faas config view --target prod --filter tax\n  \
                        faas config view --output json")]
struct View {}

impl Config {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::View(View {}) => {
                let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
                let all: Vec<Told> = values::of(&stack).into_iter().map(hidden).collect();
                context.out.result(&all, || yaml(&all))
            }
        }
    }
}

/// The values that a target lays over the stack, for `faas target show`.
pub fn of_target(all: Vec<Told>) -> Vec<Told> {
    all.into_iter().filter(|told| matches!(told.from, Whence::Target(_))).map(hidden).collect()
}

/// The value without what is nobody's business; the place without its line, which has the value too.
fn hidden(mut told: Told) -> Told {
    let is_variable = told.path.get(2).is_some_and(|key| key == "environment");
    if is_variable && told.path.last().is_some_and(|name| crate::sensitive::is_secret(name))
        || hide::has_login(&told.value)
    {
        told.value = Value::String(hide::HIDDEN.into());
    }
    if let Some(place) = &mut told.place {
        place.text = "".into();
    }
    told
}

/// As YAML, with comments behind the values.
pub fn yaml(all: &[Told]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for told in all {
        let path: Vec<&str> = told.path.iter().map(String::as_str).collect();
        let (last, above) = path.split_last().unwrap_or((&"", &[]));
        let common = above.iter().zip(&open).take_while(|(a, b)| a == b).count();
        for (depth, key) in above.iter().enumerate().skip(common) {
            text += &format!("{}{}:\n", "  ".repeat(depth), scalar(&Value::String((*key).into())));
        }
        open = above.to_vec();
        let key = match last.parse::<usize>() {
            Ok(_) => "-".to_owned(),
            Err(_) => format!("{}:", scalar(&Value::String((*last).into()))),
        };
        let line = format!("{}{key} {}", "  ".repeat(above.len()), scalar(&told.value));
        text += &format!("{line:<40}  # {}\n", told.origin());
    }
    plain(&text).into_owned()
}

/// A value in one line of YAML: bare where that reads the same, else as JSON, which YAML reads too.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '.' | '_'));
    let bare = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@+ ".contains(c)) && !text.ends_with(' ');
    let word =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let number = text.parse::<f64>().is_ok() || text.starts_with('.') && text.len() < 5;
    // A colon is the sign of a key only with a blank behind it.
    let address = text.contains(':')
        && !text.contains(": ")
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@+:".contains(c));
    if first && (bare || address) && !word && !number { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_reads_as_what_it_is() {
        for (text, expected) in [
            ("python3", "python3"),
            ("./tax", "./tax"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("yes", "\"yes\""),
            ("1.0", "\"1.0\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(&Value::String(text.into())), expected);
        }
        assert_eq!(scalar(&Value::from(3)), "3");
    }
}
