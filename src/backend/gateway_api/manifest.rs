//! A function as the resource that OpenFaaS's operator watches: kind `Function` of `openfaas.com/v1`, for GitOps.
use serde_json::{Map, Value, json};

use super::{deployment, marks};
use crate::artifact::Artifact;
use crate::backend::{Change, How};
use crate::function::Function;

/// The API of the resource.
pub const API: &str = "openfaas.com/v1";

/// The resource. It carries no marks of a deploy by `faas`: what applies it owns it.
#[must_use]
pub fn resource(function: &Function, image: &str, namespace: &str) -> Value {
    let artifact = Artifact::Image { reference: image.to_owned(), digest: None };
    let function = function.clone();
    let change = Change {
        function,
        artifact,
        spec: String::new(),
        stack: String::new(),
        how: How::Upsert,
        force: false,
        history: Vec::new(),
    };
    let wanted = deployment::of(&change, image.to_owned(), None);
    let mut environment = wanted.env_vars.unwrap_or_default();
    // The resource has no field for it that faas-cli writes; the invoker reads it here.
    if let Some(process) = wanted.env_process.filter(|process| !process.is_empty()) {
        environment.entry("fprocess".to_owned()).or_insert(process);
    }
    let mut annotations = wanted.annotations.unwrap_or_default();
    annotations.remove(marks::KEY);
    let mut spec = Map::new();
    spec.insert("name".into(), json!(wanted.service));
    spec.insert("image".into(), json!(wanted.image));
    let mut add = |key: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(is) => !is,
            _ => false,
        };
        if !is_empty {
            spec.insert(key.to_owned(), value);
        }
    };
    add("environment", json!(environment));
    add("labels", json!(wanted.labels));
    add("annotations", json!(annotations));
    add("limits", json!(wanted.limits));
    add("requests", json!(wanted.requests));
    add("constraints", json!(wanted.constraints));
    add("secrets", json!(wanted.secrets));
    add("readOnlyRootFilesystem", json!(wanted.read_only_root_filesystem));
    json!({
        "apiVersion": API,
        "kind": "Function",
        "metadata": { "name": change.function.name, "namespace": namespace },
        "spec": spec,
    })
}
