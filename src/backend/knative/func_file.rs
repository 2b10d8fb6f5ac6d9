//! A `func.yaml` of Knative's `func` as an entry of a stack file. Format: knative/func `pkg/functions/function.go`.
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::manifest::SECRETS_PATH;
use super::subscriptions::{self, Subscription};
use crate::error::{Fault, OrFault, Result};
use crate::imported::Imported;

/// The keys that are read; others are for building, which stays with `func`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    name: String,
    runtime: String,
    registry: String,
    image: String,
    namespace: String,
    domain: String,
    run: Run,
    deploy: Deploy,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Run {
    envs: Vec<Pair>,
    volumes: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Deploy {
    namespace: String,
    image: String,
    annotations: Map<String, Value>,
    labels: Vec<Label>,
    options: Options,
    health_endpoints: Health,
    service_account_name: String,
    image_pull_secret: String,
    subscriptions: Vec<Subscription>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pair {
    name: Option<String>,
    value: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Label {
    key: String,
    value: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    scale: Scale,
    resources: Resources,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Scale {
    min: Option<u64>,
    max: Option<u64>,
    metric: Option<String>,
    target: Option<f64>,
    utilization: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resources {
    requests: Map<String, Value>,
    limits: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Health {
    liveness: String,
    readiness: String,
}

/// Whether a document is a `func.yaml`.
pub fn is_one(document: &Value) -> bool {
    document.get("apiVersion").is_none()
        && document.get("schema_version").is_none()
        && document.get("runtime").is_some()
        && document.get("name").is_some()
}

/// The entry.
///
/// # Errors
/// When a key has another type than `func` writes, or neither image nor registry says what to run.
pub fn function(document: &Value) -> Result<Imported> {
    let file: File = serde_json::from_value(document.clone()).or_fault(|| "the func.yaml can't be read".into())?;
    let mut entry = Map::new();
    let mut notes = Vec::new();
    let first = |all: [&String; 2]| all.into_iter().find(|text| !text.is_empty()).cloned();
    let image = first([&file.deploy.image, &file.image]);
    let image = image.or_else(|| {
        let registry = file.registry.trim_end_matches('/');
        (!registry.is_empty()).then(|| format!("{registry}/{}:latest", file.name))
    });
    let Some(image) = image else {
        return Err(Fault::usage(format!("the func.yaml of `{}` names neither an image nor a registry", file.name))
            .hint("`func build` or `func deploy` writes one into it"));
    };
    // A handler of `func` needs what `func` builds around it.
    entry.insert("skip_build".into(), json!(true));
    entry.insert("image".into(), json!(image));
    notes.push(format!(
        "`func build --push` goes on building the image: handlers of its runtime `{}` are its own",
        file.runtime
    ));
    if let Some(namespace) = first([&file.deploy.namespace, &file.namespace]) {
        entry.insert("namespace".into(), json!(namespace));
    }
    let mut container = Map::new();
    let mut pod = Map::new();
    environment(&file.run.envs, &mut entry, &mut container, &mut notes);
    let mut secrets = Vec::new();
    volumes(&file.run.volumes, &mut secrets, &mut pod, &mut container);
    if !file.deploy.image_pull_secret.is_empty() {
        secrets.push(json!(file.deploy.image_pull_secret));
    }
    if !secrets.is_empty() {
        entry.insert("secrets".into(), Value::Array(secrets));
    }
    let mut annotations = file.deploy.annotations.clone();
    for (key, value) in [
        ("com.openfaas.health.http.path", &file.deploy.health_endpoints.liveness),
        ("com.openfaas.ready.http.path", &file.deploy.health_endpoints.readiness),
        ("com.openfaas.serviceaccount", &file.deploy.service_account_name),
    ] {
        if !value.is_empty() {
            annotations.insert(key.into(), json!(value));
        }
    }
    let labels = file.deploy.labels.iter();
    let labels = labels.map(|l| (l.key.clone(), json!(substituted(&text(l.value.as_ref()), &mut notes)))).collect();
    scale(&file.deploy.options, &mut entry, &mut annotations);
    put(&mut entry, "labels", labels);
    put(&mut entry, "annotations", annotations);
    subscriptions::topics(&file.deploy.subscriptions, &mut entry, &mut notes);
    if !file.domain.is_empty() {
        notes.push(format!(
            "`domain: {}` chooses among the cluster's domains: the label `func.domain` keeps it",
            file.domain
        ));
        let labels = entry.entry("labels").or_insert_with(|| json!({}));
        labels["func.domain"] = json!(file.domain);
    }
    if !container.is_empty() {
        pod.insert("containers".into(), json!([container]));
    }
    if !pod.is_empty() {
        entry.entry("knative").or_insert_with(|| json!({}))["spec"] = json!({ "template": { "spec": pod } });
    }
    Ok(Imported { name: file.name, entry, notes })
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn put(entry: &mut Map<String, Value>, key: &str, map: Map<String, Value>) {
    if !map.is_empty() {
        entry.insert(key.into(), Value::Object(map));
    }
}

/// What stands in `{{ … }}`, when that is the whole of it: `env:X`, `secret:name:key`, `configMap:name`.
fn reference(value: &str) -> Option<Vec<&str>> {
    let inner = value.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    Some(inner.split(':').map(str::trim).collect())
}

/// A value with `{{ env:X }}` as the stack writes it, `${X}`.
fn substituted(value: &str, notes: &mut Vec<String>) -> String {
    match reference(value).as_deref() {
        Some(["env", name]) => format!("${{{name}}}"),
        Some(_) => {
            notes.push(format!("`{value}` has no place here, and was kept as text"));
            value.replace('$', "$$")
        }
        None => value.replace('$', "$$"),
    }
}

fn environment(
    envs: &[Pair],
    entry: &mut Map<String, Value>,
    container: &mut Map<String, Value>,
    notes: &mut Vec<String>,
) {
    let (mut plain, mut by_key, mut whole) = (Map::new(), Vec::new(), Vec::new());
    for env in envs {
        let value = text(env.value.as_ref());
        match (&env.name, reference(&value).as_deref()) {
            (Some(name), Some(["secret", secret, key])) => {
                by_key.push(json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } }));
            }
            (Some(name), Some(["configMap", map, key])) => {
                by_key.push(json!({ "name": name, "valueFrom": { "configMapKeyRef": { "name": map, "key": key } } }));
            }
            (None, Some(["secret", secret])) => whole.push(json!({ "secretRef": { "name": secret } })),
            (None, Some(["configMap", map])) => whole.push(json!({ "configMapRef": { "name": map } })),
            (Some(name), _) => drop(plain.insert(name.clone(), json!(substituted(&value, notes)))),
            (None, _) => notes.push(format!("the variable `{value}` has no name, and was left out")),
        }
    }
    put(entry, "environment", plain);
    for (key, list) in [("env", by_key), ("envFrom", whole)] {
        if !list.is_empty() {
            container.insert(key.into(), Value::Array(list));
        }
    }
}

/// Secrets where functions of a stack have them; everything else as volumes of the pod.
fn volumes(all: &[Value], secrets: &mut Vec<Value>, pod: &mut Map<String, Value>, container: &mut Map<String, Value>) {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (number, volume) in all.iter().enumerate() {
        let path = volume.get("path").cloned().unwrap_or_default();
        let name = format!("volume-{number}");
        let source = if let Some(secret) = volume.get("secret") {
            if path.as_str().is_some_and(|p| p.trim_end_matches('/') == SECRETS_PATH) {
                secrets.push(secret.clone());
                continue;
            }
            json!({ "name": name, "secret": { "secretName": secret } })
        } else if let Some(map) = volume.get("configMap") {
            json!({ "name": name, "configMap": { "name": map } })
        } else if let Some(claim) = volume.get("persistentVolumeClaim") {
            json!({ "name": name, "persistentVolumeClaim": claim })
        } else {
            json!({ "name": name, "emptyDir": volume.get("emptyDir").cloned().unwrap_or_else(|| json!({})) })
        };
        volumes.push(source);
        mounts.push(json!({ "name": name, "mountPath": path }));
    }
    if !volumes.is_empty() {
        pod.insert("volumes".into(), Value::Array(volumes));
        container.insert("volumeMounts".into(), Value::Array(mounts));
    }
}

fn scale(options: &Options, entry: &mut Map<String, Value>, annotations: &mut Map<String, Value>) {
    let found = &options.scale;
    let mut scale = Map::new();
    let mut autoscaling = |key: &str, value: String| {
        annotations.insert(format!("autoscaling.knative.dev/{key}"), json!(value));
    };
    match found.target {
        // The stack takes whole numbers.
        Some(target) if target.fract() != 0.0 => autoscaling("target", target.to_string()),
        _ => {}
    }
    if let Some(metric) = &found.metric {
        autoscaling("metric", metric.clone());
    }
    if let Some(utilization) = found.utilization {
        autoscaling("target-utilization-percentage", utilization.to_string());
    }
    // Whole and not negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = found.target.filter(|target| target.fract() == 0.0 && *target >= 0.0).map(|target| target as u64);
    for (key, value) in [("min", found.min), ("max", found.max), ("target", whole)] {
        scale.extend(value.map(|n| (key.to_owned(), json!(n))));
    }
    put(entry, "scale", scale);
    let mut limits = options.resources.limits.clone();
    if let Some(most) = limits.shift_remove("concurrency") {
        entry.insert("concurrency".into(), most);
    }
    put(entry, "limits", limits);
    put(entry, "requests", options.resources.requests.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_func_yaml_is_one_entry() {
        let document = json!({
            "specVersion": "0.36.0", "name": "orders", "runtime": "go", "registry": "r.example.com/shop",
            "namespace": "old", "created": "2026-01-01T00:00:00Z",
            "run": {
                "envs": [{"name": "LEVEL", "value": "debug"}, {"name": "HOME_DIR", "value": "{{ env:HOME }}"},
                    {"name": "KEY", "value": "{{ secret:keys:api }}"}, {"value": "{{ configMap:settings }}"}],
                "volumes": [{"secret": "cert", "path": "/var/openfaas/secrets"}, {"configMap": "c", "path": "/c"}]},
            "deploy": {
                "namespace": "shop", "annotations": {"note": "x"}, "labels": [{"key": "team", "value": "a"}],
                "options": {"scale": {"min": 1, "max": 3, "target": 20.0, "metric": "rps"},
                    "resources": {"limits": {"memory": "128Mi", "concurrency": 7}}},
                "healthEndpoints": {"liveness": "/health/liveness", "readiness": "/health/readiness"},
                "imagePullSecret": "login",
                "subscriptions": [{"source": "default", "filters": {"type": "order"}},
                    {"source": "other", "filters": {"type": "a"}}]}
        });
        assert!(is_one(&document));
        let imported = function(&document).unwrap();
        assert_eq!(imported.name, "orders");
        assert_eq!(
            Value::Object(imported.entry),
            json!({
                "skip_build": true, "image": "r.example.com/shop/orders:latest", "namespace": "shop",
                "environment": {"LEVEL": "debug", "HOME_DIR": "${HOME}"},
                "secrets": ["cert", "login"],
                "scale": {"min": 1, "max": 3, "target": 20}, "concurrency": 7, "limits": {"memory": "128Mi"},
                "labels": {"team": "a"},
                "annotations": {"note": "x", "com.openfaas.health.http.path": "/health/liveness",
                    "com.openfaas.ready.http.path": "/health/readiness", "autoscaling.knative.dev/metric": "rps"},
                "topic": ["order"],
                "knative": {"spec": {"template": {"spec": {
                    "volumes": [{"name": "volume-1", "configMap": {"name": "c"}}],
                    "containers": [{
                        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}}],
                        "envFrom": [{"configMapRef": {"name": "settings"}}],
                        "volumeMounts": [{"name": "volume-1", "mountPath": "/c"}]}]}}}},
            })
        );
        assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
    }

    #[test]
    fn without_an_image_there_is_nothing_to_run() {
        let fault = function(&json!({"name": "a", "runtime": "go"})).unwrap_err();
        assert!(fault.to_string().contains("neither an image nor a registry"), "{fault}");
    }
}
