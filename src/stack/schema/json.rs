//! The JSON schema of a stack file (draft 7), for editors: made from the same table as everything else.
use serde_json::{Map, Value, json};

use super::{FUNCTION, Key, Level, STACK, Shape, TARGET, for_all_functions};

/// Where the schema lives.
pub const ID: &str = "https://raw.githubusercontent.com/faas-dev/faas/main/docs/stack.schema.json";

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut root = level(&STACK, STACK.keys.iter(), &mut definitions);
    let fields = root.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut all = Map::new();
    all.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    all.insert("$id".into(), ID.into());
    all.insert("title".into(), "Stack file of faas and faas-cli".into());
    all.insert("description".into(), "Functions, and the platform that they go to".into());
    all.extend(fields);
    definitions.sort_keys();
    all.insert("definitions".into(), Value::Object(definitions));
    Value::Object(all)
}

fn level<'k>(level: &Level, keys: impl Iterator<Item = &'k Key>, definitions: &mut Map<String, Value>) -> Value {
    let mut properties: Vec<(&str, Value)> = keys.map(|key| (key.name, property(level, key, definitions))).collect();
    properties.sort_by_key(|(name, _)| *name);
    let properties: Map<String, Value> = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": { "^(x-|\\.)": { "description": "Yours: nobody reads it" } },
        "properties": properties,
    })
}

/// A level's name among the definitions, made there when it is not yet.
fn defined(below: &'static Level, definitions: &mut Map<String, Value>) -> Value {
    let name = match below.path {
        "functions.NAME." => "function".to_owned(),
        "targets.NAME." => "target".to_owned(),
        "functions.NAME.limits." => "resources".to_owned(),
        path => path.trim_start_matches("functions.NAME.").trim_end_matches('.').replace('.', "_"),
    };
    if !definitions.contains_key(&name) {
        // Held, so that a level that names itself ends.
        definitions.insert(name.clone(), Value::Null);
        // A target may have what functions have, for all of them.
        let shared = FUNCTION.keys.iter().filter(|key| std::ptr::eq(below, &TARGET) && for_all_functions(key.name));
        let made = level(below, below.keys.iter().chain(shared), definitions);
        definitions.insert(name.clone(), made);
    }
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn property(of: &Level, key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let texts = json!({ "type": "array", "items": scalar() });
    let mut property = match key.shape {
        Shape::Text => json!({ "type": ["string", "number", "boolean", "null"] }),
        Shape::Word(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Shape::Flag => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Shape::Count => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, variable()] }),
        Shape::Duration => json!({ "type": ["string", "integer"] }),
        Shape::Texts => texts,
        Shape::Words => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Shape::Map => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } })
        }
        Shape::Free => json!({ "type": "object" }),
        Shape::Level(below) => json!({ "allOf": [defined(below, definitions)] }),
        Shape::Named(below) => {
            // In a target, `null` takes a function away.
            let one = defined(below, definitions);
            json!({ "type": "object", "additionalProperties": { "anyOf": [one, { "type": "null" }] } })
        }
        Shape::List(below) => json!({ "type": "array", "items": defined(below, definitions) }),
    };
    if let Some(fields) = property.as_object_mut() {
        fields.insert("description".into(), key.about.into());
        if std::ptr::eq(of, &super::PROVIDER) && key.name == "name" {
            fields.insert("default".into(), "local".into());
        }
    }
    property
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

/// A value that a variable gives.
fn variable() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_docs_is_fresh() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/stack.schema.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/stack.schema.json is stale: `faas explain --schema >docs/stack.schema.json` writes it"
        );
    }

    /// SchemaStore's rules: draft 7, an absolute `$id`, a description for each property, references that lead somewhere.
    #[test]
    fn the_schema_keeps_schemastores_rules() {
        fn walk(value: &Value, root: &Value) {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(root.pointer(reference.trim_start_matches('#')).is_some_and(Value::is_object), "{reference}");
            }
            if let Some(properties) = value.get("properties").and_then(Value::as_object) {
                let names: Vec<&String> = properties.keys().collect();
                assert!(names.is_sorted(), "{names:?}");
                for (name, property) in properties {
                    let text = property["description"].as_str().unwrap_or_default();
                    assert!(!text.is_empty(), "{name} has no description");
                }
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| walk(value, root)),
                Value::Array(list) => list.iter().for_each(|value| walk(value, root)),
                _ => {}
            }
        }
        let schema = schema();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert!(schema["$id"].as_str().unwrap().starts_with("https://"));
        walk(&schema, &schema);
    }
}
