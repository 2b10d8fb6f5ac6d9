//! `faas explain`: what a key of the stack file means, or the code of an error.
use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::Global;
use crate::context::Context;
use crate::error::{Code, Fault, OrFault, Result, code};
use crate::stack::schema::{explain, json as schema};

/// Explain a key of the stack file, as timeout or scale.min, or the code of an error, as E0101
#[derive(Args)]
#[command(after_help = "Examples:\n  faas explain timeout\n  faas explain scale\n  faas explain provider.gateway\n  \
                        faas explain E0101\n  faas explain --schema >stack.schema.json")]
pub struct Explain {
    /// The key, or as much of the end of its path as tells it; or the code [default: all keys]
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Print the JSON schema of stack files, for editors
    #[arg(long, conflicts_with = "key")]
    schema: bool,
    /// Print all keys as Markdown
    #[arg(long, conflicts_with_all = ["key", "schema"])]
    keys: bool,
    /// Print all codes of errors as Markdown
    #[arg(long, conflicts_with_all = ["key", "schema", "keys"])]
    errors: bool,
}

impl Explain {
    /// Explains it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such key.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        if self.schema {
            let text = serde_json::to_string_pretty(&schema::schema()).or_fault(|| "can't write the schema".into())?;
            return context.out.raw(format!("{text}\n").as_bytes());
        }
        if self.keys {
            return context.out.raw(explain::document().as_bytes());
        }
        if self.errors {
            return context.out.raw(code::document().as_bytes());
        }
        if let Some(asked) = self.key.as_deref().filter(|key| Code::is_like(key)) {
            let found = Code::find(asked).ok_or_else(|| {
                Fault::not_found(format!("no error has the code {}", asked.escape_debug()))
                    .hint("`faas explain --errors` lists them all")
            })?;
            let value = json!({ "code": found, "title": found.title, "about": found.about, "ways": found.ways });
            return context.out.result(&value, || found.page(1));
        }
        let Some(key) = self.key else {
            let paths = explain::paths();
            return context.out.result(&paths, || paths.iter().map(|path| format!("{path}\n")).collect());
        };
        let found = explain::explain(&key).map_err(|near| {
            Fault::not_found(format!("a stack file has no key `{}`", key.escape_debug())).hint(match near {
                Some(near) => format!("did you mean `{near}`? `faas explain` lists them all"),
                None => "`faas explain` lists them all".into(),
            })
        })?;
        context.out.result(&found, || found.iter().map(shown).collect::<Vec<_>>().join("\n"))
    }
}

fn shown(key: &explain::Explained) -> String {
    let mut text = format!("{}: {}\n\n  {}\n", key.path, key.value, key.about);
    if key.for_all {
        let _ = writeln!(
            text,
            "  A target may set it for all functions at once: targets.NAME.{}",
            key.path.rsplit('.').next().unwrap_or_default()
        );
    }
    let width = key.keys.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    if !key.keys.is_empty() {
        text += "\n";
    }
    for (name, about) in &key.keys {
        let _ = writeln!(text, "  {name:width$}  {about}");
    }
    let _ = writeln!(text, "\n  For example:\n\n    {}", key.example.trim_end().replace('\n', "\n    "));
    text
}
