//! `${…}` of a serverless.yml: what the file tells is put in, the environment's become a stack file's own, and what only a
//! deployed stack or another file knows is noted.
use serde_json::Value;

use super::short;

/// The framework's own default.
const STAGE: &str = "dev";
/// Stand for the braces of what stays a variable while the rest is resolved.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
/// So deep that only a circle goes deeper.
const DEEPEST: usize = 20;

/// The variables of a file.
pub struct Variables<'a> {
    document: &'a Value,
}

/// Why a variable has no value here.
enum Lost {
    /// No source has it.
    Unknown(String),
}

impl<'a> Variables<'a> {
    /// Those of the file.
    pub fn of(document: &'a Value) -> Self {
        Self { document }
    }

    /// A value without the framework's variables; what can't be had without is left out and noted.
    pub fn resolve(&self, at: &str, value: &Value, notes: &mut Vec<String>) -> Option<Value> {
        self.within(at, value, notes, 0)
    }

    fn within(&self, at: &str, value: &Value, notes: &mut Vec<String>, depth: usize) -> Option<Value> {
        match value {
            Value::String(text) => match self.text(text, depth) {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => self.within(at, &value, notes, depth + 1),
                Ok(value) => Some(ours(value)),
                Err(Lost::Unknown(variable)) => {
                    notes.push(format!("`{at}` is left out: nothing here knows {variable}"));
                    None
                }
            },
            Value::Object(map) if map.len() == 1 && map.keys().all(|k| k == "Ref" || k.starts_with("Fn::")) => {
                notes.push(format!("`{at}` is known to a deployed stack only: {}", short(value)));
                None
            }
            Value::Object(map) => Some(Value::Object(
                map.iter()
                    .filter_map(|(key, value)| {
                        Some((key.clone(), self.within(&format!("{at}.{key}"), value, notes, depth)?))
                    })
                    .collect(),
            )),
            Value::Array(list) => {
                Some(list.iter().filter_map(|item| self.within(at, item, notes, depth)).collect::<Vec<_>>().into())
            }
            plain => Some(plain.clone()),
        }
    }

    /// A text with its variables put in, the innermost first.
    fn text(&self, text: &str, depth: usize) -> Result<Value, Lost> {
        if depth > DEEPEST {
            return Err(Lost::Unknown(text.to_owned()));
        }
        let Some(start) = text.rfind("${") else { return Ok(Value::String(text.to_owned())) };
        let Some(length) = text[start..].find('}') else { return Ok(Value::String(text.to_owned())) };
        let (inside, after) = (&text[start + 2..start + length], &text[start + length + 1..]);
        let value = self.variable(inside, depth)?;
        if start == 0 && after.is_empty() {
            return match value {
                Value::String(text) => self.text(&text, depth + 1),
                // What stands in the file may have variables of its own, which are resolved where it is used.
                value => Ok(value),
            };
        }
        let put = match &value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(Lost::Unknown(format!("${{{inside}}} as a text"))),
        };
        self.text(&format!("{}{put}{after}", &text[..start]), depth + 1)
    }

    /// One variable: the first of its sources that has a value.
    fn variable(&self, inside: &str, depth: usize) -> Result<Value, Lost> {
        let sources: Vec<&str> = split(inside);
        for (nth, source) in sources.iter().enumerate() {
            let rest = &sources[nth + 1..];
            if let Some(name) = source.strip_prefix("env:") {
                // It may be set when the stack file is read; what comes after is for when it is not.
                let otherwise = rest.iter().find_map(|source| self.source(source, depth));
                return Ok(Value::String(match otherwise.as_ref().map(super::super::plain) {
                    Some(text) => format!("{OPEN}{name}:-{text}{CLOSE}"),
                    None => format!("{OPEN}{name}{CLOSE}"),
                }));
            }
            if let Some(value) = self.source(source, depth) {
                return Ok(value);
            }
        }
        Err(Lost::Unknown(format!("${{{inside}}}")))
    }

    fn source(&self, source: &str, depth: usize) -> Option<Value> {
        let quoted = |quote: char| source.strip_prefix(quote)?.strip_suffix(quote);
        if let Some(text) = quoted('\'').or_else(|| quoted('"')) {
            return Some(text.into());
        }
        if let Some(path) = source.strip_prefix("self:") {
            let found = path.split('.').try_fold(self.document, |at, key| match at {
                Value::Array(list) => list.get(key.parse::<usize>().ok()?),
                at => at.get(key),
            });
            return match (found, path) {
                (Some(Value::String(text)), _) => self.text(text, depth + 1).ok(),
                (Some(value), _) => Some(value.clone()),
                (None, "provider.stage") => Some(STAGE.into()),
                (None, _) => None,
            };
        }
        match source {
            "sls:stage" => self.source("self:provider.stage", depth + 1),
            "true" | "false" => Some((source == "true").into()),
            "aws:region" => self.source("self:provider.region", depth + 1),
            _ => source.parse::<i64>().ok().map(Value::from),
        }
    }
}

/// The sources of a variable: parted by commas that stand in no quotes and no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quote, mut depth) = (Vec::new(), 0, None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// With the variables of a stack file as it writes them.
fn ours(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace(OPEN, "${").replace(CLOSE, "}").into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_file_tells_is_put_in_and_the_rest_is_noted() {
        let document = json!({
            "custom": {"env": {"A": "${sls:stage}"}, "round": {"x": "${self:custom.round}"}, "table": {"dev": "t-dev"}, "list": [5, "${self:custom.loop}"], "loop": "${self:custom.loop}"},
            "provider": {"region": "eu-west-1"},
        });
        let variables = Variables::of(&document);
        for (from, to) in [
            ("${self:custom.table.${sls:stage}}", json!("t-dev")),
            ("${opt:stage, 'prod'}-${self:provider.stage}", json!("prod-dev")),
            ("${self:custom.list.0}", json!(5)),
            ("${env:RATE, 7}", json!("${RATE:-7}")),
            ("a ${env:TAG} b", json!("a ${TAG} b")),
            ("${self:custom.gone, self:provider.region}", json!("eu-west-1")),
            ("${opt:x, true}", json!(true)),
            ("${self:custom.env}", json!({"A": "dev"})),
            ("plain }", json!("plain }")),
        ] {
            let mut notes = Vec::new();
            assert_eq!(variables.resolve("f", &json!(from), &mut notes), Some(to), "{from}");
            assert!(notes.is_empty(), "{notes:?}");
        }
        for lost in ["${ssm:/key}", "${file(a.yml):b}", "${cf:other.Out}", "${self:custom.loop}", "${opt:who}"] {
            let mut notes = Vec::new();
            assert_eq!(variables.resolve("f", &json!(lost), &mut notes), None, "{lost}");
            assert!(notes[0].contains("`f` is left out"), "{notes:?}");
        }
        let mut notes = Vec::new();
        variables.resolve("f", &json!("${self:custom.round}"), &mut notes);
        assert!(notes[0].contains("is left out"), "{notes:?}");
    }
}
