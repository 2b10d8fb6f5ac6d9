//! A Knative Service as an entry of a stack file: what the stack has a word for, the rest under `knative:`.
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::manifest::{IMAGE_KEY, OWNER_LABEL, SECRETS_PATH, VISIBILITY_LABEL, WATCHDOG};
use super::objects::GROUP;
use super::{func_file, manifest};
use crate::error::{Fault, Result};
use crate::imported::Imported;

/// Labels and annotations that tools write for themselves.
const OTHERS: [&str; 9] = [
    "serving.knative.dev/",
    "client.knative.dev/",
    "function.knative.dev/",
    "kubectl.kubernetes.io/",
    "faas.dev/",
    "boson.dev/",
    "app.kubernetes.io/managed-by",
    "networking.knative.dev/visibility",
    "func.domain",
];
/// What Knative itself fills in (knative/serving `pkg/apis/serving/v1/revision_defaults.go`).
const DEFAULT_TIMEOUT: u64 = 300;

/// Every function that a document describes: a Knative Service, a list of them, or a `func.yaml`.
///
/// # Errors
/// A document that is none of these.
pub fn document(document: &Value) -> Result<Vec<Imported>> {
    if func_file::is_one(document) {
        return Ok(vec![func_file::function(document)?]);
    }
    match document.get("items").and_then(Value::as_array) {
        Some(items) if document.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List")) => {
            items.iter().map(service).collect()
        }
        _ => Ok(vec![service(document)?]),
    }
}

/// A Service as `kubectl get -o yaml` or `kn service export` write it.
///
/// # Errors
/// When it is no Knative Service, or has no name or image.
pub fn service(object: &Value) -> Result<Imported> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split('/').next().unwrap_or_default();
    let name = text("/metadata/name").to_owned();
    if group.is_empty() && text("/kind").is_empty() {
        return Err(Fault::usage("this is no file that can be imported").hint(
            "it takes serverless.yml, a template of SAM or CloudFormation, func.yaml of Knative and of Fn, and Knative \
             Services",
        ));
    }
    if group != GROUP || text("/kind") != "Service" {
        return Err(Fault::usage(format!("`{name}` is no Knative Service, but a `{}`", text("/kind")))
            .hint(format!("its apiVersion has to be {GROUP}/v1, its kind Service")));
    }
    let mut spec = object.pointer("/spec/template/spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut containers = list(spec.shift_remove("containers"));
    let position = containers.iter().position(|c| c.get("ports").is_some()).unwrap_or(0);
    if name.is_empty() || containers.is_empty() {
        return Err(Fault::usage("the Knative Service has no name or no container"));
    }
    let Value::Object(mut main) = containers.remove(position) else {
        return Err(Fault::usage(format!("the container of `{name}` is no mapping")));
    };
    let mut entry = Map::new();
    let mut notes = Vec::new();
    let annotations = merged(object, "annotations");
    let image = main.shift_remove("image").and_then(|i| i.as_str().map(str::to_owned)).unwrap_or_default();
    if image.is_empty() {
        return Err(Fault::usage(format!("the container of `{name}` has no image")));
    }
    entry.insert("skip_build".into(), json!(true));
    entry.insert("image".into(), json!(image));
    if let Some(tag) = annotations.get(IMAGE_KEY).and_then(Value::as_str).filter(|_| image.contains('@')) {
        notes.push(format!("the image is the one that runs; it was deployed as {tag}"));
    }
    if let Some(namespace) = object.pointer("/metadata/namespace") {
        entry.insert("namespace".into(), namespace.clone());
    }

    let rest = environment(&mut main, &mut entry);
    let mut hatch = Map::new();
    if !rest.is_empty() {
        notes.push("variables that come from secrets or config maps stand under `knative:`".into());
        hatch.insert("env".into(), Value::Array(rest));
    }
    secrets(&mut spec, &mut main, &mut entry);
    for part in ["limits", "requests"] {
        let resources = main.get("resources").and_then(|r| r.get(part)).and_then(Value::as_object);
        let known: Map<_, _> = resources
            .into_iter()
            .flatten()
            .filter(|(key, _)| ["cpu", "memory"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), json!(plain(value))))
            .collect();
        put(&mut entry, part, known);
    }
    main.shift_remove("resources");
    security(&mut spec, &mut main, &mut entry);
    numbers(&mut spec, &mut entry);
    scale(&annotations, &mut entry);
    if let Some(account) = spec.shift_remove("serviceAccountName") {
        annotate(&mut entry, "com.openfaas.serviceaccount", account);
    }
    probes(&mut main, &mut entry);
    own("labels", object, &mut entry);
    own("annotations", object, &mut entry);
    if object.pointer("/metadata/labels").and_then(|l| l.get(VISIBILITY_LABEL.0)) == Some(&json!(VISIBILITY_LABEL.1)) {
        entry.insert("url".into(), json!("none"));
    }

    // What the stack has no word for stays as it is.
    spec.retain(|key, value| !(is_default(key, value)));
    main.retain(|key, value| key != "name" && !is_default(key, value));
    main.extend(hatch);
    if !main.is_empty() || !containers.is_empty() {
        let mut all = vec![Value::Object(main)];
        all.extend(containers);
        spec.insert("containers".into(), Value::Array(all));
    }
    if !spec.is_empty() {
        entry.insert("knative".into(), json!({ "spec": { "template": { "spec": spec } } }));
    }
    let traffic = list(object.pointer("/spec/traffic").cloned());
    if traffic.iter().any(|t| t.get("revisionName").is_some()) {
        notes.push("shares of traffic are no part of a stack file: `faas rollout` moves them".into());
    }
    Ok(Imported { name, entry, notes })
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn put(entry: &mut Map<String, Value>, key: &str, map: Map<String, Value>) {
    if !map.is_empty() {
        entry.insert(key.into(), Value::Object(map));
    }
}

fn annotate(entry: &mut Map<String, Value>, key: &str, value: Value) {
    let map = entry.entry("annotations").or_insert_with(|| json!({}));
    map[key] = value;
}

/// Those of the Service over those of its pods.
fn merged(object: &Value, what: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for path in [format!("/spec/template/metadata/{what}"), format!("/metadata/{what}")] {
        all.extend(object.pointer(&path).and_then(Value::as_object).cloned().unwrap_or_default());
    }
    all
}

/// Labels or annotations that people wrote.
fn own(what: &str, object: &Value, entry: &mut Map<String, Value>) {
    for (key, value) in merged(object, what) {
        let scales = ["min-scale", "minScale", "max-scale", "maxScale", "target", "scale-to-zero-pod-retention-period"];
        let scales = key.strip_prefix("autoscaling.knative.dev/").is_some_and(|name| scales.contains(&name));
        let ours = key == OWNER_LABEL.0 || OTHERS.iter().any(|prefix| key.starts_with(prefix));
        if scales || (ours && key != "serving.knative.dev/rollout-duration") {
            continue;
        }
        let map = entry.entry(what).or_insert_with(|| json!({}));
        map[key] = json!(plain(&value));
    }
}

/// Plain variables; what is left has values from elsewhere.
fn environment(main: &mut Map<String, Value>, entry: &mut Map<String, Value>) -> Vec<Value> {
    let (mut known, mut rest) = (Map::new(), Vec::new());
    for variable in list(main.shift_remove("env")) {
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        match variable.get("value") {
            Some(value) if name == "fprocess" => drop(entry.insert(name, json!(literal(&plain(value))))),
            Some(value) => drop(known.insert(name, json!(literal(&plain(value))))),
            None if variable.get("valueFrom").is_some() => rest.push(variable),
            None => drop(known.insert(name, json!(""))),
        }
    }
    put(entry, "environment", known);
    rest
}

/// A stack file replaces `${V}` and `$V`; a dollar sign that is meant is written twice.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

/// Secrets that are mounted as the stack does it, and registries' logins.
fn secrets(spec: &mut Map<String, Value>, main: &mut Map<String, Value>, entry: &mut Map<String, Value>) {
    let mut names: Vec<Value> = Vec::new();
    let mounts = list(main.shift_remove("volumeMounts"));
    let at = |mount: &Value| mount.get("mountPath").and_then(Value::as_str).map(|p| p.trim_end_matches('/').to_owned());
    let volume_of = |mount: &Value| mount.get("name").and_then(Value::as_str).map(str::to_owned);
    let found = mounts.iter().find(|mount| at(mount).as_deref() == Some(SECRETS_PATH)).and_then(volume_of);
    let (mut volumes, mut kept) = (list(spec.shift_remove("volumes")), mounts);
    if let Some(name) = found
        && let Some(index) = volumes.iter().position(|v| v.get("name").and_then(Value::as_str) == Some(&name))
    {
        let sources = list(volumes[index].pointer("/projected/sources").cloned());
        let whole = |source: &Value| source.get("secret").is_some_and(|secret| secret.get("items").is_none());
        if !sources.is_empty() && sources.iter().all(whole) {
            names.extend(sources.iter().filter_map(|s| s.pointer("/secret/name").cloned()));
            volumes.remove(index);
            kept.retain(|mount| volume_of(mount).as_deref() != Some(&name));
        }
    }
    if !volumes.is_empty() {
        spec.insert("volumes".into(), Value::Array(volumes));
    }
    if !kept.is_empty() {
        main.insert("volumeMounts".into(), Value::Array(kept));
    }
    let logins = list(spec.shift_remove("imagePullSecrets"));
    names.extend(logins.iter().filter_map(|login| login.get("name").cloned()));
    if !names.is_empty() {
        entry.insert("secrets".into(), Value::Array(names));
    }
}

/// What the stack says of it itself: the root file system; a `/tmp` to write to belongs to that.
fn security(spec: &mut Map<String, Value>, main: &mut Map<String, Value>, entry: &mut Map<String, Value>) {
    let Some(Value::Object(mut security)) = main.shift_remove("securityContext") else { return };
    if security.shift_remove("readOnlyRootFilesystem") == Some(json!(true)) {
        entry.insert("readonly_root_filesystem".into(), json!(true));
        let is_tmp = |v: &Value| *v == json!({ "name": "tmp", "emptyDir": {} });
        let mounts = |m: &Value| m.get("name") == Some(&json!("tmp")) && m.get("mountPath") == Some(&json!("/tmp"));
        let volumes = list(spec.get("volumes").cloned());
        if volumes.iter().any(is_tmp) {
            let rest: Vec<_> = volumes.into_iter().filter(|v| !is_tmp(v)).collect();
            spec.insert("volumes".into(), Value::Array(rest));
            let rest: Vec<_> = list(main.get("volumeMounts").cloned()).into_iter().filter(|m| !mounts(m)).collect();
            main.insert("volumeMounts".into(), Value::Array(rest));
        }
    }
    let ours = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" } });
    let own: Map<_, _> = security.into_iter().filter(|(key, value)| ours.get(key) != Some(value)).collect();
    put(main, "securityContext", own);
}

fn numbers(spec: &mut Map<String, Value>, entry: &mut Map<String, Value>) {
    if let Some(most) = spec.shift_remove("containerConcurrency").and_then(|v| v.as_u64()).filter(|n| *n > 0) {
        entry.insert("concurrency".into(), json!(most));
    }
    let timeout = spec.shift_remove("timeoutSeconds").and_then(|v| v.as_u64());
    spec.shift_remove("responseStartTimeoutSeconds");
    if let Some(own) = timeout.and_then(|seconds| derived(entry, seconds)) {
        entry.insert("timeout".into(), json!(own));
        return;
    }
    if let Some(seconds) = timeout.filter(|seconds| *seconds != DEFAULT_TIMEOUT) {
        // Of ours Knative has one second more, so that the watchdog's answer comes first.
        let ours = entry.get("environment").is_some_and(|e| e.get("exec_timeout").is_some());
        entry.insert("timeout".into(), json!(format!("{}s", seconds.saturating_sub(u64::from(ours)))));
    }
}

/// The timeout that the watchdog's variables were made of; they go, since it makes them again.
fn derived(entry: &mut Map<String, Value>, seconds: u64) -> Option<String> {
    let environment = entry.get_mut("environment")?.as_object_mut()?;
    let own = |value: &Value| {
        let time = Duration::from_millis(value.as_str()?.strip_suffix("ms")?.parse().ok()?);
        (manifest::seconds(time) == seconds).then_some(time)
    };
    let time = WATCHDOG.iter().find_map(|name| own(environment.get(*name)?))?;
    environment.retain(|name, value| !(WATCHDOG.contains(&name.as_str()) && own(value) == Some(time)));
    if environment.is_empty() {
        entry.shift_remove("environment");
    }
    Some(match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    })
}

fn scale(annotations: &Map<String, Value>, entry: &mut Map<String, Value>) {
    let find = |names: [&str; 2]| {
        names.iter().find_map(|name| annotations.get(&format!("autoscaling.knative.dev/{name}"))).map(plain)
    };
    let number = |names: [&str; 2]| find(names).and_then(|text| text.parse::<f64>().ok()).filter(|n| n.fract() == 0.0);
    let mut scale = Map::new();
    for (key, names) in
        [("min", ["min-scale", "minScale"]), ("max", ["max-scale", "maxScale"]), ("target", ["target", "target"])]
    {
        // Whole and not negative: that is what the stack takes, and what Knative's webhook let through.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        if let Some(n) = number(names).filter(|n| *n >= 0.0) {
            scale.insert(key.into(), json!(n as u64));
        }
    }
    if let Some(idle) = find(["scale-to-zero-pod-retention-period"; 2]) {
        scale.insert("idle".into(), json!(idle));
    }
    put(entry, "scale", scale);
}

/// Probes of a path on the function's own port; others stay under `knative:`.
fn probes(main: &mut Map<String, Value>, entry: &mut Map<String, Value>) {
    for (key, annotation) in
        [("livenessProbe", "com.openfaas.health.http.path"), ("readinessProbe", "com.openfaas.ready.http.path")]
    {
        let Some(probe) = main.get(key) else { continue };
        let port = probe.pointer("/httpGet/port").and_then(Value::as_u64).unwrap_or(0);
        if let Some(path) = probe.pointer("/httpGet/path").cloned().filter(|_| [0, 8080].contains(&port)) {
            annotate(entry, annotation, path);
            main.shift_remove(key);
        }
    }
}

/// What the webhook writes by itself, or what we write ourselves.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "enableServiceLinks" => *value == json!(false),
        "terminationMessagePolicy" => *value == json!("FallbackToLogsOnError"),
        "readinessProbe" => value.pointer("/tcpSocket/port").and_then(Value::as_u64) == Some(0),
        "volumes" | "volumeMounts" => value.as_array().is_some_and(Vec::is_empty),
        _ => value.is_null(),
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
