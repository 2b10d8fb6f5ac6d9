//! Names on Lambda, which has no namespaces: `NAMESPACE-NAME`; and tags, which are where a function's marks are kept.
use std::collections::BTreeMap;

use crate::backend::{ARTIFACT_KEY, SPEC_KEY, STACK_KEY};
use crate::function::{Function, FunctionId};

/// Tag: the namespace, when the function has one.
pub const NAMESPACE_KEY: &str = "faas.dev/namespace";
/// Tag: the function's name without its namespace.
pub const NAME_KEY: &str = "faas.dev/name";
/// Tag: the function's URL.
pub const URL_KEY: &str = "faas.dev/url";
/// Tag: what it has beside code and alias.
pub const EXTRAS_KEY: &str = "faas.dev/extras";
/// What tags that hold annotations start with.
const ANNOTATION: &str = "annotation:";
/// What our own tags start with.
const OURS: &str = "faas.dev/";
/// The alias that calls go to.
pub const ALIAS: &str = "live";

/// The function's name on Lambda.
#[must_use]
pub fn function_name(id: &FunctionId) -> String {
    match &id.namespace {
        Some(namespace) => format!("{namespace}-{}", id.name),
        None => id.name.clone(),
    }
}

/// The tags that a function gets, without the marks that say what was applied.
#[must_use]
pub fn tags(function: &Function, extra: &BTreeMap<String, String>, stack: &str) -> BTreeMap<String, String> {
    let mut tags = function.labels.clone();
    tags.extend(extra.clone());
    let ours = [SPEC_KEY, ARTIFACT_KEY, STACK_KEY];
    for (key, value) in function.annotations.iter().filter(|(key, _)| !ours.contains(&key.as_str())) {
        tags.insert(format!("{ANNOTATION}{}", escape(key)), escape(value));
    }
    tags.insert(STACK_KEY.into(), escape(stack));
    tags.insert(NAME_KEY.into(), function.name.clone());
    if let Some(namespace) = &function.namespace {
        tags.insert(NAMESPACE_KEY.into(), namespace.clone());
    }
    tags
}

/// What the tags of a function stand for.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// Labels, and tags that somebody else set.
    pub labels: BTreeMap<String, String>,
    /// Annotations, the marks among them.
    pub annotations: BTreeMap<String, String>,
    /// The URL.
    pub url: Option<String>,
}

/// Reads the tags of a function.
#[must_use]
pub fn told<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Told {
    let mut told = Told::default();
    for (key, value) in tags {
        if let Some(key) = key.strip_prefix(ANNOTATION) {
            told.annotations.insert(unescape(key), unescape(value));
        } else if key == URL_KEY {
            told.url = Some(value.clone());
        } else if key.starts_with(OURS) {
            told.annotations.insert(key.clone(), unescape(value));
        } else {
            told.labels.insert(key.clone(), value.clone());
        }
    }
    told
}

/// Whether a tag may hold the text as it is. AWS also takes letters of other languages, which some services count
/// otherwise; those are escaped too.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " +-._:/@".contains(c)
}

/// The text in the characters that tags may hold: the others by their bytes, as `=2A`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        if plain(c) {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut buffer).bytes() {
                out.push_str(&format!("={byte:02X}"));
            }
        }
    }
    out
}

/// The text that was [`escape`]d; what is no escape stays.
#[must_use]
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'=').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(escaped.chars().all(|c| plain(c) || c == '='));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }

    #[test]
    fn tags_hold_labels_annotations_and_marks() {
        let mut function = Function { name: "tax".into(), namespace: Some("shop".into()), ..Function::default() };
        function.labels.insert("team".into(), "a b".into());
        function.annotations.insert("schedule".into(), "*/5 * * * *".into());
        let tags = tags(&function, &BTreeMap::from([("cost".into(), "7".into())]), "my stack");
        assert_eq!(tags["annotation:schedule"], "=2A/5 =2A =2A =2A =2A");
        let told = told(&tags);
        assert_eq!(told.annotations["schedule"], "*/5 * * * *");
        assert_eq!(told.annotations[STACK_KEY], "my stack");
        assert_eq!((told.labels["team"].as_str(), told.labels["cost"].as_str()), ("a b", "7"));
        assert_eq!(function_name(&function.id()), "shop-tax");
    }
}
