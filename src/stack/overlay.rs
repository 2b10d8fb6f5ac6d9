//! `targets:` — a named overlay laid over the rest of the file: mappings merge key by key, `null` takes a key away,
//! anything else replaces what was there.
use std::borrow::Cow;
use std::collections::HashMap;

use super::node::{Entry, Node, Value};
use super::report::{Field, Report};
use super::schema;

/// Lays `over` over `base`.
pub fn lay<'a>(base: &mut Node<'a>, over: &Node<'a>) {
    match (&mut base.value, &over.value) {
        (Value::Map(entries), Value::Map(more)) => {
            let index: HashMap<Cow<'a, str>, usize> =
                entries.iter().enumerate().map(|(i, e)| (e.key.clone(), i)).collect();
            let mut gone = Vec::new();
            for entry in more {
                match index.get(&entry.key) {
                    Some(at) if entry.node.is_null() => gone.push(*at),
                    Some(at) => lay(&mut entries[*at].node, &entry.node),
                    None if entry.node.is_null() => {}
                    None => {
                        let (key, span) = (entry.key.clone(), entry.span);
                        entries.push(Entry { key, span, node: brought(&entry.node) });
                    }
                }
            }
            gone.sort_unstable();
            for at in gone.into_iter().rev() {
                entries.remove(at);
            }
        }
        _ => *base = brought(over),
    }
}

/// Takes the nulls out of what an overlay brings where there was nothing: there is nothing to take away.
fn brought<'a>(over: &Node<'a>) -> Node<'a> {
    fn prune(node: &mut Node) {
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|e| !e.node.is_null());
            entries.iter_mut().for_each(|e| prune(&mut e.node));
        }
    }
    let mut node = over.clone();
    prune(&mut node);
    node
}

/// Lays the overlay `target` over the file. What a target sets for all functions goes below what it sets for one.
/// `false`, with the problem reported, when there is no such target.
pub fn apply<'a>(root: &mut Node<'a>, name: &str, report: &mut Report) -> bool {
    let targets = root.entry("targets").map(|e| e.node.clone());
    let Some(over) = targets.as_ref().and_then(|t| t.entry(name)) else {
        return false;
    };
    let over = &over.node;
    let mut whole = over.clone();
    if let Value::Map(entries) = &mut whole.value {
        entries.retain(|e| matches!(e.key.as_ref(), "name" | "provider" | "configuration"));
    }
    lay(root, &whole);
    let prefix = over.get("prefix").and_then(|n| {
        let targets = Field::ROOT.key("targets");
        report.word(&targets.key(name).key("prefix"), n).map(|p| (p, n.span))
    });
    let mut for_all = over.clone();
    if let Value::Map(entries) = &mut for_all.value {
        entries.retain(|e| schema::for_all_functions(&e.key));
    }
    let Some(functions) = entry_mut(root, "functions") else { return true };
    let Value::Map(entries) = &mut functions.node.value else { return true };
    let own = over.get("functions").map(Node::entries).unwrap_or_default();
    let own: HashMap<&str, &Node> = own.iter().map(|e| (e.key.as_ref(), &e.node)).collect();
    entries.retain(|e| !own.get(e.key.as_ref()).is_some_and(|n| n.is_null()));
    for entry in entries {
        if entry.node.is_null() {
            entry.node.value = Value::Map(Vec::new());
        }
        if !for_all.entries().is_empty() {
            lay(&mut entry.node, &for_all);
        }
        let own = own.get(entry.key.as_ref());
        if let Some((prefix, span)) = &prefix
            && own.is_none_or(|o| o.get("image").is_none())
        {
            let image = entry.node.get("image").and_then(|n| match &n.value {
                Value::Scalar { text, .. } => Some(text.to_string()),
                _ => None,
            });
            let image = image.unwrap_or_else(|| format!("{}:latest", entry.key));
            let base = image.rsplit('/').next().unwrap_or(&image);
            let text = Cow::Owned(format!("{}/{base}", prefix.trim_end_matches('/')));
            let span = entry.node.get("image").map_or(*span, |n| n.span);
            let node = Node { value: Value::Scalar { text, plain: false }, span, anchored: false };
            set(&mut entry.node, "image", node);
        }
        if let Some(own) = own {
            lay(&mut entry.node, own);
        }
    }
    true
}

fn entry_mut<'n, 'a>(node: &'n mut Node<'a>, key: &str) -> Option<&'n mut Entry<'a>> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|e| e.key == key),
        _ => None,
    }
}

fn set<'a>(node: &mut Node<'a>, key: &'static str, value: Node<'a>) {
    if let Some(entry) = entry_mut(node, key) {
        entry.node = value;
    } else if let Value::Map(entries) = &mut node.value {
        entries.push(Entry { key: key.into(), span: value.span, node: value });
    }
}

/// Everything wrong with the overlays that can be seen without laying them: keys, and functions that aren't there.
pub fn check(root: &Node, report: &mut Report) {
    let Some(targets) = root.get("targets") else { return };
    let top = Field::ROOT;
    let field = top.key("targets");
    let functions: Vec<&str> =
        root.get("functions").map(|f| f.entries().iter().map(|e| e.key.as_ref()).collect()).unwrap_or_default();
    let known: std::collections::HashSet<&str> = functions.iter().copied().collect();
    for target in report.entries(&field, targets) {
        let field = field.key(&target.key);
        for entry in report.entries(&field, &target.node) {
            let key = field.key(&entry.key);
            match entry.key.as_ref() {
                "functions" => {
                    for function in report.entries(&key, &entry.node) {
                        let field = key.key(&function.key);
                        if known.contains(function.key.as_ref()) {
                            let entries = report.entries(&field, &function.node);
                            report.unknown_keys(&field, entries, &schema::FUNCTION);
                        } else {
                            let message = format!("the target names a function `{}` that isn't there", function.key);
                            report.error(&field, function.span, message).hint = hint(&function.key, &functions);
                        }
                    }
                }
                "provider" => {
                    let entries = report.entries(&key, &entry.node);
                    report.unknown_keys(&key, entries, &schema::PROVIDER);
                }
                name if schema::TARGET.has(name) || schema::for_all_functions(name) => {}
                name if schema::is_private(name) => {}
                name if schema::FUNCTION.has(name) => {
                    report.error(&key, entry.span, format!("a target can't set `{name}` for all functions")).hint =
                        Some(format!("set it for one: `targets.{}.functions.NAME.{name}`", target.key));
                }
                _ => report.unknown(&key, entry.span, &schema::TARGET),
            }
        }
    }
}

/// The nearest of the names, or all of them while they are few.
pub fn hint(name: &str, names: &[&str]) -> Option<String> {
    if let Some(near) = schema::nearest(name, names.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match names.len() {
        0 => None,
        n => {
            let rest = if n > 10 { format!(" and {} more", n - 10) } else { String::new() };
            Some(format!("there is: {}{rest}", names[..n.min(10)].join(", ")))
        }
    }
}
