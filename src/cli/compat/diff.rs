//! `faas-cli diff`: the stack file beside what is deployed, field by field. Under our own name that is `faas plan`.
use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use crate::backend::gateway_api::marks;
use crate::backend::{Deployed, Scope};
use crate::build;
use crate::cli::Global;
use crate::cli::build::TagFlag;
use crate::cli::session::{GatewayFlags, Session};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::function::{Function, Resources};

/// The narrowest column.
const NARROWEST: usize = 40;

/// Diff the stack file against what is deployed
#[derive(Args)]
#[command(after_help = "Example:\n  faas-cli diff -f my-stack.yaml")]
pub struct Diff {
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    tag: TagFlag,
    /// Whose environment variables count: those of the stack, of the platform, or all
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    env: Mode,
}

#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
enum Mode {
    #[default]
    Local,
    Remote,
    All,
}

type Fields = BTreeMap<String, String>;

impl Diff {
    /// Shows it.
    ///
    /// # Errors
    /// [`Kind::Differs`] when anything differs.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::of_stack(context, global, &self.gateway)?;
        let stack = session.stack.as_ref().ok_or_else(crate::cli::stack_file::missing)?;
        if stack.functions.is_empty() {
            return Err(Fault::usage(format!("no functions found in {}", stack.origin.name)));
        }
        let scope = Scope { namespace: session.namespace(), ..Scope::default() };
        let there = crate::runtime::block_on(session.backend.observe(&scope))?;
        let mut text = String::new();
        for function in session.functions() {
            let id = function.id();
            let wanted = of_stack(&function, &build::tag::reference(&function, self.tag.tag, &stack.origin.root)?);
            let found = there.iter().find(|f| {
                f.name == id.name && (id.namespace.is_none() || f.namespace.is_none() || f.namespace == id.namespace)
            });
            let rows = match found {
                Some(found) => self.rows(&wanted, &of_platform(found)),
                None => vec![(
                    Some(("function".into(), "defined in stack.yaml".into())),
                    Some(("function".into(), "not deployed".into())),
                )],
            };
            if !rows.is_empty() {
                text += &format!("{id}\n{}\n", table(&rows));
            }
        }
        if text.is_empty() {
            return context.out.raw(b"YAML matches deployment, no differences found.\n");
        }
        context.out.raw(text.as_bytes())?;
        Err(Fault::new(Kind::Differs, "differences found"))
    }

    fn rows(&self, wanted: &Fields, found: &Fields) -> Vec<Row> {
        let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
        let row = |name: &String| {
            let (left, right) = (wanted.get(name), found.get(name));
            let is_env = name.starts_with("env.");
            let left_out = match (left, right) {
                (None, Some(_)) => name == "fprocess" || is_env && self.env == Mode::Local,
                (Some(_), None) => is_env && self.env == Mode::Remote,
                (left, right) => left == right,
            };
            let cell = |value: Option<&String>| value.map(|value| (name.clone(), value.clone()));
            (!left_out).then(|| (cell(left), cell(right)))
        };
        names.into_iter().filter_map(row).collect()
    }
}

/// A field and its value on either side.
type Row = (Option<(String, String)>, Option<(String, String)>);

fn of_stack(function: &Function, image: &str) -> Fields {
    let mut fields = Fields::from([("image".into(), image.to_owned())]);
    fields.extend(function.process.clone().map(|process| ("fprocess".into(), process)));
    fields.insert("readonly_root_filesystem".into(), function.read_only.to_string());
    maps(&mut fields, &function.environment, &function.labels, &function.annotations);
    lists(&mut fields, &function.secrets, &function.constraints);
    resources(&mut fields, "limits", &function.limits);
    resources(&mut fields, "requests", &function.requests);
    fields
}

fn of_platform(function: &Deployed) -> Fields {
    let mut fields = Fields::from([("image".into(), function.image.clone())]);
    fields.extend(function.process.clone().map(|process| ("fprocess".into(), process)));
    fields.insert("readonly_root_filesystem".into(), function.read_only.to_string());
    // By these we know again what we deployed; no stack file has them.
    let mut annotations = function.annotations.clone();
    annotations.retain(|name, _| !marks::is_own(name));
    maps(&mut fields, &function.environment, &function.labels, &annotations);
    lists(&mut fields, &function.secrets, &function.constraints);
    resources(&mut fields, "limits", &function.limits);
    resources(&mut fields, "requests", &function.requests);
    fields
}

fn maps(fields: &mut Fields, environment: &Fields, labels: &Fields, annotations: &Fields) {
    for (prefix, map) in [("env", environment), ("label", labels), ("annotation", annotations)] {
        fields.extend(map.iter().map(|(name, value)| (format!("{prefix}.{name}"), value.clone())));
    }
}

fn lists(fields: &mut Fields, secrets: &[String], constraints: &[String]) {
    for (prefix, list) in [("secret", secrets), ("constraint", constraints)] {
        fields.extend(list.iter().map(|name| (format!("{prefix}.{name}"), "present".to_owned())));
    }
}

fn resources(fields: &mut Fields, prefix: &str, resources: &Resources) {
    for (name, value) in [("cpu", &resources.cpu), ("memory", &resources.memory)] {
        fields.extend(value.clone().map(|value| (format!("{prefix}.{name}"), value)));
    }
}

fn table(rows: &[Row]) -> String {
    let sides = |row: &Row| [row.0.clone(), row.1.clone()];
    let names = rows.iter().flat_map(sides).flatten().map(|(name, _)| name.len() + 1);
    let width = names.max().unwrap_or(0).max("image:".len());
    let cell = |sign: char, cell: &Option<(String, String)>| match cell {
        Some((name, value)) => format!("{sign} {:<width$} {}", format!("{name}:"), crate::output::printable(value)),
        None => String::new(),
    };
    let lines: Vec<(String, String)> = rows.iter().map(|row| (cell('-', &row.0), cell('+', &row.1))).collect();
    let left = lines.iter().map(|line| line.0.len()).max().unwrap_or(0).max(NARROWEST);
    let right = lines.iter().map(|line| line.1.len()).max().unwrap_or(0).max(NARROWEST);
    let mut text = format!("  {:<left$} | {:<right$}\n", "stack.yaml", "deployed");
    text += &format!("  {}-+-{}\n", "-".repeat(left), "-".repeat(right));
    for (one, other) in lines {
        text += &format!("  {one:<left$} | {other:<right$}\n");
    }
    text
}
