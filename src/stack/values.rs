//! Every value of the stack as it counts in the end, and where it comes from: a line of the file, a target, a variable, a
//! file of variables, or a default.
use serde::Serialize;
use serde_json::Value as Json;

use super::node::{Node, Value};
use super::report::Report;
use super::source::Span;
use super::{Stack, compose, overlay};
use crate::problem::Place;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whence {
    /// It stands in the file.
    File,
    /// A target lays it over the file.
    Target(String),
    /// These variables were put into it.
    Variables(Vec<String>),
    /// A file that `environment_file` names.
    EnvironmentFile,
    /// Nobody said otherwise.
    Default,
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// Its path: keys, and numbers for items of lists.
    pub path: Vec<String>,
    /// What it is set to.
    pub value: Json,
    /// Where it comes from.
    pub from: Whence,
    /// Where it stands, when it stands somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Told {
    /// The path in one text, as `functions.tax.secrets.0`.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// Where it comes from, in few words: `stack.yml:12 (target prod)`.
    #[must_use]
    pub fn origin(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
        let from = match &self.from {
            Whence::File => None,
            Whence::Target(name) => Some(format!("target {name}")),
            Whence::Variables(names) => {
                Some(names.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(", "))
            }
            Whence::EnvironmentFile => Some("environment_file".into()),
            Whence::Default => Some("default".into()),
        };
        match (place, from) {
            (Some(place), Some(from)) => format!("{place} ({from})"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => String::new(),
        }
    }
}

/// Every value, in the order of the file; defaults where the file says nothing. It reads the text again.
#[must_use]
pub fn of(stack: &Stack) -> Vec<Told> {
    let mut report = Report::new(&stack.source, false);
    let mut all = Vec::new();
    let Some(mut root) = compose::compose(&stack.source, &mut report) else { return all };
    let targets = root.entry("targets").map(|entry| reach(&entry.node)).unwrap_or_default();
    if let Some(target) = &stack.target {
        overlay::apply(&mut root, target, &mut report);
    }
    if root.get("name").is_none() {
        all.push(default("name", &stack.name));
    }
    if root.get("provider").and_then(|provider| provider.get("name")).is_none() {
        all.push(Told { path: vec!["provider".into(), "name".into()], ..default("", stack.provider.kind.as_str()) });
    }
    for entry in root.entries().iter().filter(|entry| entry.key != "targets") {
        walk(stack, &mut vec![entry.key.to_string()], &entry.node, targets, &mut all);
    }
    all.retain(|told| told.path.first().is_none_or(|first| first != "functions") || stack.is_selected(told));
    of_files(stack, &mut all);
    all
}

impl Stack {
    fn is_selected(&self, told: &Told) -> bool {
        told.path.get(1).is_none_or(|name| self.function(name).is_some())
    }
}

fn default(path: &str, value: &str) -> Told {
    Told { path: vec![path.to_owned()], value: value.into(), from: Whence::Default, place: None }
}

fn walk(stack: &Stack, path: &mut Vec<String>, node: &Node, targets: Span, all: &mut Vec<Told>) {
    let mut each = |key: String, node: &Node, all: &mut Vec<Told>| {
        path.push(key);
        walk(stack, path, node, targets, all);
        path.pop();
    };
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            entries.iter().for_each(|entry| each(entry.key.to_string(), &entry.node, all));
        }
        Value::List(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, item)| each(n.to_string(), item, all));
        }
        _ => all.push(Told {
            path: path.clone(),
            value: as_written(node),
            from: from(stack, node.span, targets),
            place: Some(stack.source.place(node.span)),
        }),
    }
}

/// A number that JSON would write otherwise stays text, since as text it is deployed: `1.10`, `010`, `1_000`.
fn as_written(node: &Node) -> Json {
    match (node.json(), &node.value) {
        (Json::Number(number), Value::Scalar { text, .. }) if number.to_string() != *text => {
            Json::String(text.as_ref().into())
        }
        (json, _) => json,
    }
}

fn from(stack: &Stack, span: Span, targets: Span) -> Whence {
    let within = |piece: &&super::substitute::Piece| {
        piece.start < span.end.max(span.start + 1) && piece.end >= span.start && !piece.variable.is_empty()
    };
    let mut variables: Vec<String> =
        stack.source.pieces().iter().filter(within).map(|piece| piece.variable.clone()).collect();
    variables.dedup();
    match &stack.target {
        _ if !variables.is_empty() => Whence::Variables(variables),
        Some(target) if targets.start <= span.start && span.end <= targets.end && targets.end > 0 => {
            Whence::Target(target.clone())
        }
        _ => Whence::File,
    }
}

/// From the first to the last byte of a node and all below it.
fn reach(node: &Node) -> Span {
    let below: Vec<Span> = match &node.value {
        Value::Map(entries) => entries.iter().flat_map(|entry| [entry.span, reach(&entry.node)]).collect(),
        Value::List(items) => items.iter().map(reach).collect(),
        _ => vec![node.span],
    };
    let start = below.iter().map(|span| span.start).chain([node.span.start]).min().unwrap_or_default();
    let end = below.iter().map(|span| span.end).chain([node.span.end]).max().unwrap_or_default();
    Span { start, end }
}

/// What files of variables bring, or bring otherwise than the text says.
fn of_files(stack: &Stack, all: &mut Vec<Told>) {
    for function in &stack.functions {
        let at = |key: &str| vec!["functions".to_owned(), function.name.clone(), "environment".into(), key.to_owned()];
        for (key, value) in &function.environment {
            let path = at(key);
            let told =
                Told { path: path.clone(), value: value.as_str().into(), from: Whence::EnvironmentFile, place: None };
            let same = |known: &Json| {
                known == value.as_str()
                    || known.to_string().as_str() == value.as_str()
                    || (known.is_null() && value.is_empty())
            };
            match all.iter_mut().find(|known| known.path == path) {
                // Scalars stay as written: a number's text may be another than JSON's.
                Some(known) if known.value.is_string() && !same(&known.value) => *known = told,
                Some(_) => {}
                None => {
                    let last = all.iter().rposition(|known| known.path[..2.min(known.path.len())] == path[..2]);
                    all.insert(last.map_or(all.len(), |last| last + 1), told);
                }
            }
        }
    }
}
