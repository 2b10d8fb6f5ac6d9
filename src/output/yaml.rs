//! YAML for people and for other tools, of which many still read YAML 1.1: names that those take for a boolean or a number
//! are quoted, as values and as keys.
use serde_json::Value;

use crate::error::{Fault, Result};

/// Stands around a key that gets quotes; letters only, so that the key itself is written plain.
const MARK: &str = "FaasQuotedKey";

/// A value as YAML.
///
/// # Errors
/// When it can't be written.
pub fn write(value: &Value) -> Result<String> {
    let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
    let text = serde_saphyr::to_string_with_options(&marked(value.clone()), options)
        .map_err(|error| Fault::failed("can't write it as YAML").cause(error))?;
    Ok(text.replace(&format!("{MARK}_"), "\"").replace(&format!("_{MARK}"), "\""))
}

/// Values are quoted by the writer, keys are not: it writes them as YAML 1.2 reads them.
fn marked(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let key = |key: String| if is_odd(&key) { format!("{MARK}_{key}_{MARK}") } else { key };
            Value::Object(map.into_iter().map(|(name, value)| (key(name), marked(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(marked).collect()),
        other => other,
    }
}

/// Whether YAML 1.1 takes the word for a boolean.
fn is_odd(word: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|odd| word.eq_ignore_ascii_case(odd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_yaml_1_1_takes_for_something_else_is_quoted() {
        let odd =
            ["y", "n", "Yes", "no", "on", "OFF", "null", "~", "1", "0x1f", "1e3", "12:30:45", "true", "2026-11-30", ""];
        for word in odd {
            let text = write(&json!({ "namespace": word, "data": { word: "x" } })).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let quoted = |text: &str| text.starts_with(['"', '\'']);
            assert!(quoted(lines[0].strip_prefix("namespace: ").unwrap()), "{text}");
            assert!(quoted(lines[2].trim_start()) || !is_odd(word), "{text}");
            let back: Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!((&back["namespace"], &back["data"][word]), (&json!(word), &json!("x")), "{text}");
        }
        let plain = write(&json!({ "name": "nobody", "on call": 1, "block": "on: true\nyes: no\n" })).unwrap();
        assert!(plain.contains("name: nobody\n") && plain.contains("on call: 1"), "{plain}");
        assert_eq!(serde_saphyr::from_str::<Value>(&plain).unwrap()["block"], "on: true\nyes: no\n");
    }
}
