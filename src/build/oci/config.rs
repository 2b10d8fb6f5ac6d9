//! What an image says of itself: configuration, and the index over several platforms.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::base::Base;
use super::layer::Packed;
use super::store::{Made, One, Store};
use crate::context::Env;
use crate::error::{Fault, Result};

/// Media types of one family.
pub struct Kinds {
    /// Of a manifest.
    pub manifest: &'static str,
    /// Of a configuration.
    pub config: &'static str,
    /// Of a layer.
    pub layer: &'static str,
    index: &'static str,
}

/// The OCI's.
pub const OCI: Kinds = Kinds {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
    index: "application/vnd.oci.image.index.v1+json",
};

/// Docker's, older, and the same in all else.
pub const DOCKER: Kinds = Kinds {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
};

/// The number of a user that is not root, as in the images that our Dockerfiles make.
const USER: &str = "10001:10001";
const PORT: &str = "8080/tcp";

/// When the image was made, the same whenever it is made: `SOURCE_DATE_EPOCH`, else when its base was.
///
/// # Errors
/// When `SOURCE_DATE_EPOCH` is no time.
pub fn created(env: &Env, base: &Value) -> Result<String> {
    let Some(given) = env.get("SOURCE_DATE_EPOCH") else {
        let base = base.get("created").and_then(Value::as_str).unwrap_or("1980-01-01T00:00:00Z");
        return Ok(base.to_owned());
    };
    let time = given.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time =
        time.ok_or_else(|| Fault::usage(format!("SOURCE_DATE_EPOCH is `{given}`, which is no number of seconds")))?;
    Ok(time.to_string())
}

/// The configuration of an image over `base`: <https://github.com/opencontainers/image-spec/blob/main/config.md>.
pub fn configuration(
    base: &Base,
    layers: &[Packed],
    environment: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
    created: &str,
) -> Value {
    let mut whole = base.config.clone();
    // What docker's builder notes of a container that is long gone.
    for key in ["container", "container_config", "docker_version", "id", "parent"] {
        remove(&mut whole, key);
    }
    whole["created"] = json!(created);
    let config = map(&mut whole, "config");
    let mut variables: Vec<Value> = config.get("Env").and_then(Value::as_array).cloned().unwrap_or_default();
    variables.retain(|variable| {
        let name = variable.as_str().and_then(|variable| variable.split('=').next());
        name.is_some_and(|name| !environment.contains_key(name))
    });
    variables.extend(environment.iter().map(|(name, value)| json!(format!("{name}={value}"))));
    config.insert("Env".into(), json!(variables));
    config.insert("Cmd".into(), json!([format!("/{}", super::INVOKER)]));
    config.insert("Entrypoint".into(), Value::Null);
    config.insert("User".into(), json!(USER));
    config.insert("WorkingDir".into(), json!(format!("/{}", super::HOME)));
    let mut all = config.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(labels.iter().map(|(label, value)| (label.clone(), json!(value))));
    config.insert("Labels".into(), Value::Object(all));
    let mut ports = config.get("ExposedPorts").and_then(Value::as_object).cloned().unwrap_or_default();
    ports.insert(PORT.into(), json!({}));
    config.insert("ExposedPorts".into(), Value::Object(ports));

    let files = map(&mut whole, "rootfs");
    files.insert("type".into(), json!("layers"));
    let mut diffs = files.get("diff_ids").and_then(Value::as_array).cloned().unwrap_or_default();
    diffs.extend(layers.iter().map(|layer| json!(layer.diff)));
    files.insert("diff_ids".into(), json!(diffs));
    let mut history = whole.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    history.extend(layers.iter().map(|layer| json!({ "created": created, "created_by": layer.what })));
    whole["history"] = json!(history);
    whole
}

fn map<'v>(whole: &'v mut Value, key: &str) -> &'v mut Map<String, Value> {
    if !whole.get(key).is_some_and(Value::is_object) {
        whole[key] = json!({});
    }
    whole[key].as_object_mut().expect("it was made one")
}

fn remove(whole: &mut Value, key: &str) {
    if let Some(map) = whole.as_object_mut() {
        map.remove(key);
    }
}

/// The image, or the index over the images of several platforms.
///
/// # Errors
/// When it can't be written.
pub fn together(store: &Store, reference: &str, fingerprint: String, images: Vec<One>) -> Result<Made> {
    let made = |digest: String, kind: String, images| Made {
        reference: reference.to_owned(),
        fingerprint,
        digest,
        kind,
        images,
    };
    if let [one] = images.as_slice() {
        return Ok(made(one.manifest.digest.clone(), one.kind.clone(), images));
    }
    let kinds = if images.iter().all(|one| one.kind == DOCKER.manifest) { &DOCKER } else { &OCI };
    let entries: Vec<Value> = images
        .iter()
        .map(|one| {
            let mut entry = one.manifest.described(&one.kind);
            let (os, architecture) = one.platform.split_once('/').unwrap_or(("linux", &one.platform));
            entry["platform"] = json!({ "architecture": architecture, "os": os });
            entry
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": kinds.index, "manifests": entries });
    let blob = store.put(serde_json::to_vec(&index).unwrap_or_default())?;
    Ok(made(blob.digest, kinds.index.to_owned(), images))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_base_says_stays_unless_it_is_ours() {
        let env: Env = [("SOURCE_DATE_EPOCH".to_owned(), "86400".to_owned())].into_iter().collect();
        assert_eq!(created(&env, &Value::Null).unwrap(), "1970-01-02T00:00:00Z");
        let base = json!({ "created": "2026-01-01T00:00:00Z" });
        assert_eq!(created(&Env::default(), &base).unwrap(), "2026-01-01T00:00:00Z");
        let wrong: Env = [("SOURCE_DATE_EPOCH".to_owned(), "now".to_owned())].into_iter().collect();
        assert!(created(&wrong, &base).is_err());
    }
}
