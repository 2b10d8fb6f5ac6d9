//! A YAML document as a tree in which every key and value knows where it stands. Scalars stay text: what they mean is
//! decided by the field that reads them.
use std::borrow::Cow;

use serde_json::{Map, Number, Value as Json};

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Where it stands.
    pub span: Span,
    /// Whether an anchor (`&name`) names it.
    pub anchored: bool,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, a number or a boolean: as written, escapes replaced.
    Scalar {
        /// The text.
        text: Cow<'a, str>,
        /// Not quoted, so it may be a number or a boolean.
        plain: bool,
    },
    /// A list.
    List(Vec<Node<'a>>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry<'a>>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// The key as written.
    pub key: Cow<'a, str>,
    /// Where the key stands.
    pub span: Span,
    /// What it is set to.
    pub node: Node<'a>,
}

impl<'a> Node<'a> {
    /// A null that stands at `span`.
    pub fn null(span: Span) -> Self {
        Self { value: Value::Null, span, anchored: false }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a mapping under `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The value under `key`, unless it is null.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|e| &e.node).filter(|n| !n.is_null())
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { plain: true, text } if boolean(text).is_some() => "a boolean",
            Value::Scalar { plain: true, text } if integer(text).is_some() || float(text).is_some() => "a number",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// How many nodes it is made of.
    pub fn size(&self) -> usize {
        match &self.value {
            Value::Null | Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| 1 + e.node.size()).sum::<usize>(),
        }
    }

    /// As JSON: plain scalars that YAML 1.2 takes for numbers or booleans become these.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Scalar { text, plain } if *plain => match text.as_ref() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                text => integer(text)
                    .map(Number::from)
                    .or_else(|| float(text).and_then(Number::from_f64))
                    .map_or_else(|| Json::String(text.into()), Json::Number),
            },
            Value::Scalar { text, .. } => Json::String(text.as_ref().into()),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.as_ref().into(), e.node.json())).collect::<Map<_, _>>())
            }
        }
    }
}

/// A boolean of YAML 1.1 (`yes`, `on`, …), as Go's yaml.v3 reads them where a boolean is wanted.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// An integer as Go's yaml.v3 reads it: decimal, `0x`, `0o`, `0b`, or octal by a leading zero; `_` between digits.
pub fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits: Cow<str> = if digits.contains('_') { digits.replace('_', "").into() } else { digits.into() };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    i64::from_str_radix(digits, radix).ok().map(|n| sign * n)
}

/// A finite decimal number with a point or an exponent.
fn float(text: &str) -> Option<f64> {
    let looks_like_one = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit());
    looks_like_one.then(|| text.parse::<f64>().ok()).flatten().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_in_go() {
        for (text, number) in [
            ("0", 0),
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0o17", 15),
            ("0777", 511),
            ("0b11", 3),
        ] {
            assert_eq!(integer(text), Some(number), "{text}");
        }
        for text in ["", "-", "a", "1.0", "08", "0x", "99999999999999999999", "1e3", "--1"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn booleans_as_in_yaml_1_1() {
        assert_eq!(["yes", "on", "y", "True"].map(boolean), [Some(true); 4]);
        assert_eq!(["no", "off", "N", "FALSE"].map(boolean), [Some(false); 4]);
        assert_eq!(["tRue", "1", "", "ja"].map(boolean), [None; 4]);
    }
}
