//! Typed readings of nodes: text, booleans, numbers, durations, lists and mappings. What doesn't fit becomes a problem
//! and is read as if it weren't there, so that the rest is still read.
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::duration;
use super::node::{self, Entry, Node, Value};
use super::report::{Field, Report};
use super::schema;

impl Report<'_> {
    fn mismatch(&mut self, field: &Field, node: &Node, wanted: &str) {
        let message = format!("`{}` must be {wanted}, this is {}", field.name(), node.kind());
        self.error(field, node.span, message).hint = match (wanted, &node.value) {
            ("a list", Value::Scalar { .. }) => {
                Some(format!("write `{}: [{}]`", field.name(), self.source().shown(node.span)))
            }
            ("a mapping", Value::Scalar { .. } | Value::List(_)) => {
                Some(format!("write `{}:` and below it `KEY: VALUE` lines, indented", field.name()))
            }
            _ => None,
        };
    }

    fn unfit(&mut self, field: &Field, node: &Node, wanted: &str) {
        let shown = self.source().shown(node.span);
        self.error(field, node.span, format!("`{}` must be {wanted}, not `{shown}`", field.name()));
    }

    /// Text; numbers and booleans as written.
    pub fn text<'n>(&mut self, field: &Field, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, .. } => Some(text),
            Value::Null => None,
            _ => {
                self.mismatch(field, node, "text");
                None
            }
        }
    }

    /// Text that says something; empty text is as good as none.
    pub fn word(&mut self, field: &Field, node: &Node) -> Option<String> {
        self.text(field, node).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// A boolean, those of YAML 1.1 included.
    pub fn flag(&mut self, field: &Field, node: &Node) -> Option<bool> {
        let text = match &node.value {
            Value::Scalar { text, .. } => text,
            Value::Null => return None,
            _ => {
                self.mismatch(field, node, "true or false");
                return None;
            }
        };
        let value = node::boolean(text);
        if value.is_none() && !text.is_empty() {
            self.unfit(field, node, "true or false");
        }
        value
    }

    /// A whole number, 0 or more.
    pub fn count(&mut self, field: &Field, node: &Node) -> Option<u32> {
        let text = self.text(field, node)?;
        let value = node::integer(text).and_then(|n| u32::try_from(n).ok());
        if value.is_none() {
            self.unfit(field, node, "a whole number, 0 or more");
        }
        value
    }

    /// A Go duration, or a whole number of seconds.
    pub fn duration(&mut self, field: &Field, node: &Node) -> Option<Duration> {
        let text = self.text(field, node)?;
        duration::parse(text)
            .map_err(|why| {
                let shown = self.source().shown(node.span);
                let message = format!("`{}` must be a duration, not `{shown}`: {why}", field.name());
                self.error(field, node.span, message);
            })
            .ok()
    }

    /// A list of nodes.
    pub fn items<'n, 'a>(&mut self, field: &Field, node: &'n Node<'a>) -> &'n [Node<'a>] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                self.mismatch(field, node, "a list");
                &[]
            }
        }
    }

    /// A list of texts; empty ones are left out.
    pub fn texts(&mut self, field: &Field, node: &Node) -> Vec<String> {
        self.items(field, node).iter().filter_map(|item| self.word(field, item)).collect()
    }

    /// The entries of a mapping.
    pub fn entries<'n, 'a>(&mut self, field: &Field, node: &'n Node<'a>) -> &'n [Entry<'a>] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.mismatch(field, node, "a mapping");
                &[]
            }
        }
    }

    /// A mapping of texts: numbers and booleans as written, nothing as the empty text.
    pub fn map(&mut self, field: &Field, node: &Node) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        for entry in self.entries(field, node) {
            let value = match &entry.node.value {
                Value::Null => String::new(),
                _ => match self.text(&field.key(&entry.key), &entry.node) {
                    Some(text) => text.to_owned(),
                    None => continue,
                },
            };
            map.insert(entry.key.clone().into_owned(), value);
        }
        map
    }

    /// A mapping as JSON, passed on as it is; `null` when there is nothing.
    pub fn json(&mut self, field: &Field, node: &Node) -> serde_json::Value {
        if self.entries(field, node).is_empty() { serde_json::Value::Null } else { node.json() }
    }

    /// Tells the keys that `level` doesn't have.
    pub fn unknown_keys(&mut self, field: &Field, entries: &[Entry], level: &schema::Level) {
        for entry in entries {
            if !level.has(&entry.key) && !schema::is_private(&entry.key) {
                self.unknown(&field.key(&entry.key), entry.span, level);
            }
        }
    }
}

/// `path` seen from `root`, without the `.` in it.
pub fn absolute(root: &Path, path: &str) -> PathBuf {
    let mut full = root.to_path_buf();
    full.extend(Path::new(path).components().filter(|c| !matches!(c, Component::CurDir)));
    full
}
