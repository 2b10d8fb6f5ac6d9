//! A `func.yaml` of the Fn project as an entry of a stack file. Format: fnproject/docs `fn/develop/func-file.md`.
use serde_json::{Map, Value, json};

use super::Imported;
use crate::error::{Fault, Result};

/// What Fn gives a function that says nothing.
const MEMORY: u64 = 128;
const TIMEOUT: u64 = 30;
/// Keys that need no word: what they say is said otherwise, or belongs to Fn's own way to build.
const SILENT: [&str; 9] =
    ["schema_version", "name", "version", "runtime", "memory", "timeout", "idle_timeout", "config", "triggers"];

/// Whether a document is a `func.yaml` of Fn, and none of Knative's `func`.
#[must_use]
pub fn is_one(document: &Value) -> bool {
    let has = |key: &str| document.get(key).is_some();
    has("name")
        && has("runtime")
        && (has("schema_version") || has("run_image") || has("entrypoint"))
        && !has("specVersion")
        && !has("apiVersion")
}

/// The entry. The handler is the folder that the file lies in.
///
/// # Errors
/// When it has no name.
pub fn function(document: &Value) -> Result<Imported> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("name").ok_or_else(|| Fault::usage("the func.yaml has no name"))?;
    // As `fn deploy` has it, the name may have a registry in front.
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase().replace('_', "-");
    let runtime = text("runtime").unwrap_or_default();
    let mut notes = Vec::new();
    let (lang, becomes) = language(runtime);
    let mut entry = Map::new();
    entry.insert("lang".into(), lang.into());
    entry.insert("handler".into(), ".".into());
    match becomes {
        Some(becomes) => notes.push(format!("its handler is written for Fn's FDK: {becomes}")),
        None if lang == "dockerfile" && runtime == "docker" => {
            notes.push("its image has to serve HTTP on port 8080, not on Fn's socket: faas-watchdog does that".into());
        }
        None => notes.push(format!("no template is for the runtime `{runtime}`: give it a `lang`, or a Dockerfile")),
    }
    let number = |key: &str, usual: u64| document.get(key).and_then(Value::as_u64).unwrap_or(usual);
    entry.insert("timeout".into(), format!("{}s", number("timeout", TIMEOUT)).into());
    entry.insert("limits".into(), json!({"memory": format!("{}Mi", number("memory", MEMORY))}));
    if let Some(idle) = document.get("idle_timeout").and_then(Value::as_u64) {
        entry.insert("scale".into(), json!({"min": 0, "idle": format!("{idle}s")}));
    }
    if let Some(config) = document.get("config").and_then(Value::as_object).filter(|config| !config.is_empty()) {
        let values = config.iter().map(|(key, value)| (key.clone(), plain(value).into()));
        entry.insert("environment".into(), values.collect::<Map<_, _>>().into());
    }
    for trigger in document.get("triggers").and_then(Value::as_array).into_iter().flatten() {
        let field = |key: &str| trigger.get(key).and_then(Value::as_str).unwrap_or("?");
        notes.push(format!(
            "the trigger {} ({}): the function is called at /function/{name}",
            field("source"),
            field("type")
        ));
    }
    for (key, value) in document.as_object().into_iter().flatten() {
        if !SILENT.contains(&key.as_str()) && !is_empty(value) {
            notes.push(format!("`{key}` has no word in a stack file: {}", plain(value)));
        }
    }
    Ok(Imported { name, entry, notes })
}

/// The template, and what a handler for the FDK becomes.
fn language(runtime: &str) -> (&'static str, Option<&'static str>) {
    match runtime.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "python" => (
            "python3",
            Some("`def handler(ctx, data)` becomes `def handle(req)` in handler.py, fdk leaves requirements.txt"),
        ),
        "node" => (
            "node",
            Some("`fdk.handle(f)` becomes `module.exports = f` in handler.js, @fnproject/fdk leaves package.json"),
        ),
        "go" => ("go", Some("`fdk.Handle(…)` in func.go becomes `func Handle(…)` in handler.go")),
        "ruby" => ("ruby", Some("`FDK.handle(target: :f)` becomes `def handle(req)` in handler.rb")),
        "java" | "kotlin" => ("java", Some("its class becomes the `Handler` of the java template: see its README")),
        _ => ("dockerfile", None),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_fn_and_none_of_func() {
        let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        let document = read(
            "schema_version: 20180708\nname: team/Hello_World\nversion: 0.0.4\nruntime: python3.11\nbuild_image: fnproject/python:3.11-dev\nrun_image: fnproject/python:3.11\nentrypoint: /python/bin/fdk /function/func.py handler\nmemory: 256\nidle_timeout: 60\nconfig: {RATE: 7}\ntriggers:\n- {name: hello, type: http, source: /hello}\n",
        );
        assert!(is_one(&document));
        let found = function(&document).unwrap();
        assert_eq!(found.name, "hello-world");
        assert_eq!(
            Value::from(found.entry),
            json!({
                "lang": "python3", "handler": ".", "timeout": "30s", "limits": {"memory": "256Mi"},
                "scale": {"min": 0, "idle": "60s"}, "environment": {"RATE": "7"},
            })
        );
        let notes = found.notes.join("\n");
        for part in ["def handle(req)", "/hello", "`run_image` has no word", "`entrypoint` has no word"] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(!is_one(&read("specVersion: 0.36.0\nname: f\nruntime: node\n")));
        assert!(!is_one(&read("name: f\nruntime: node\nregistry: r\n")));
    }
}
