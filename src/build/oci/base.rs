//! The image that another starts from: its manifest and configuration, out of its registry, for one platform.
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::Project;
use super::super::architecture::lacking;
use super::layer::hex;
use super::store::{Blob, Store};
use super::{Platform, config};
use crate::error::{Fault, Result};
use crate::registry::{self, Talk};

/// No image at all, for programs that need nothing.
const SCRATCH: &str = "scratch";

/// A base image for one platform.
pub struct Base {
    /// As it was named.
    pub name: String,
    /// The digest of its manifest for this platform.
    pub digest: String,
    /// Its layers, as its manifest has them.
    pub layers: Vec<Value>,
    /// Its configuration.
    pub config: Value,
    docker: bool,
}

impl Base {
    /// The media types that images over it have: those of the base, OCI's or docker's.
    pub fn kinds(&self) -> &'static config::Kinds {
        if self.docker { &config::DOCKER } else { &config::OCI }
    }

    /// Its layers.
    ///
    /// # Errors
    /// When the manifest does not say what they are.
    pub fn blobs(&self) -> Result<Vec<Blob>> {
        let blob = |layer: &Value| -> Option<Blob> {
            let (digest, size) = (layer.get("digest")?.as_str()?, layer.get("size")?.as_u64()?);
            Some(Blob { digest: digest.to_owned(), size })
        };
        let blobs: Option<Vec<Blob>> = self.layers.iter().map(blob).collect();
        blobs.ok_or_else(|| Fault::failed(format!("the manifest of the base image {} is broken", self.name)))
    }

    /// A command line with `{NAME}` of the base's environment filled in; `None` when it has no such variable.
    pub fn fill(&self, line: &str) -> Option<String> {
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled += before;
            let name = from[1..].split('}').next().filter(|name| from.len() > name.len() + 1).unwrap_or_default();
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            };
            if is_name(name) {
                filled += &shell_words::quote(self.variable(name)?);
                rest = &from[name.len() + 2..];
            } else {
                filled.push('{');
                rest = &from[1..];
            }
        }
        Some(filled + rest)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.config.pointer("/config/Env")?.as_array()?;
        variables.iter().find_map(|variable| variable.as_str()?.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Finds the base image `name` for a platform. What was found before is taken again, unless it is asked `anew`.
///
/// # Errors
/// When it can't be had, or not for this platform.
pub async fn find(
    name: &str,
    platform: Platform,
    project: &Project<'_>,
    store: &Store,
    anew: bool,
    talk: Talk<'_>,
) -> Result<Base> {
    if name == SCRATCH {
        let config = json!({
            "architecture": platform.architecture(), "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [] }, "history": [],
        });
        return Ok(Base { name: name.into(), digest: SCRATCH.into(), layers: Vec::new(), config, docker: false });
    }
    let key = format!("{platform} {name}");
    if !anew && let Some(base) = store.base(&key).and_then(|known| kept(name, &known, store)) {
        return Ok(base);
    }
    talk.progress.step(talk.subject, &format!("looking up the base image {name}"));
    let image = registry::parse(talk.subject, name)?;
    let hint = |mut fault: Fault| {
        if fault.kind == crate::error::Kind::NotFound {
            fault.hint = Some("another base: `build_args: {BASE: …}` in the stack, or `-b BASE=…`".into());
        }
        // It is the base that is asked for, and not the function's image.
        fault.hint = fault.hint.map(|hint| hint.replace("`image:`", "`build_args: {BASE: …}` (or `-b BASE=…`)"));
        fault
    };
    let remote = project.registries.remote(&image, talk).await?;
    let (mut body, mut digest) = remote.manifest(&image, talk).await.map_err(hint)?;
    let mut manifest = parsed(name, &body)?;
    if let Some(entries) = manifest.get("manifests").and_then(Value::as_array) {
        let Some(entry) = entries.iter().find(|entry| is_for(entry.get("platform"), platform)) else {
            let have: Vec<String> = entries.iter().filter_map(|entry| shown(entry.get("platform")?)).collect();
            return Err(lacking(talk.subject, name, &platform.to_string(), &have.join(", ")));
        };
        let wanted = entry.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
        (body, digest) = remote.manifest(&image.clone_with_digest(wanted), talk).await.map_err(hint)?;
        manifest = parsed(name, &body)?;
    }
    // The digest that the registry says is not proof of what it sent.
    let is = hex(&Sha256::digest(&body));
    if is != digest {
        return Err(Fault::failed(format!("{}: the registry sent another manifest of {name}", talk.subject))
            .cause(format!("its digest is {is}, not {digest}")));
    }
    let wanted = manifest.pointer("/config/digest").and_then(Value::as_str).ok_or_else(|| {
        Fault::unsupported(format!("{}: the base image {name} is of a kind that can't be built on", talk.subject))
            .hint("push it again with a current engine")
    })?;
    let text = remote.blob(&image, wanted, talk).await.map_err(hint)?;
    let config = parsed(name, &text)?;
    if config.get("architecture").and_then(Value::as_str) != Some(platform.architecture()) {
        let have = shown(&config).unwrap_or_else(|| "something else".into());
        return Err(lacking(talk.subject, name, &platform.to_string(), &have));
    }
    store.put(&text)?;
    let blob = store.put(&body)?;
    store.keep_base(&key, &blob)?;
    Ok(base(name, digest, &manifest, config))
}

/// What the base image `name` is there for, as `linux/amd64`: asked, not kept.
///
/// # Errors
/// When its registry does not say.
pub async fn platforms(name: &str, project: &Project<'_>, talk: Talk<'_>) -> Result<Vec<String>> {
    let image = registry::parse(talk.subject, name)?;
    let remote = project.registries.remote(&image, talk).await?;
    let manifest = parsed(name, &remote.manifest(&image, talk).await?.0)?;
    if let Some(entries) = manifest.get("manifests").and_then(Value::as_array) {
        return Ok(entries.iter().filter_map(|entry| shown(entry.get("platform")?)).collect());
    }
    let Some(config) = manifest.pointer("/config/digest").and_then(Value::as_str) else { return Ok(Vec::new()) };
    Ok(shown(&parsed(name, &remote.blob(&image, config, talk).await?)?).into_iter().collect())
}

fn kept(name: &str, known: &Blob, store: &Store) -> Option<Base> {
    let manifest: Value = serde_json::from_slice(&store.read(&known.digest)?).ok()?;
    let config = store.read(manifest.pointer("/config/digest")?.as_str()?)?;
    Some(base(name, known.digest.clone(), &manifest, serde_json::from_slice(&config).ok()?))
}

fn base(name: &str, digest: String, manifest: &Value, config: Value) -> Base {
    let kind = manifest.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    let layers = manifest.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    Base { name: name.to_owned(), digest, layers, config, docker: kind == config::DOCKER.manifest }
}

fn parsed(name: &str, body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|error| {
        Fault::failed(format!("what the registry says of the base image {name} is no JSON"))
            .cause(error)
            .hint("what answers there may be no registry: check the host in `build_args: {BASE: …}` (or `-b BASE=…`)")
    })
}

fn is_for(found: Option<&Value>, platform: Platform) -> bool {
    let text = |key: &str| found.and_then(|found| found.get(key)?.as_str()).unwrap_or_default();
    text("os") == "linux" && text("architecture") == platform.architecture()
}

fn shown(platform: &Value) -> Option<String> {
    let text = |key: &str| platform.get(key)?.as_str();
    Some(format!("{}/{}", text("os")?, text("architecture")?)).filter(|shown| !shown.contains("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_environment_is_filled_in() {
        let config = json!({ "config": { "Env": ["PATH=/bin", "PYTHON_VERSION=3.13.1"] } });
        let base = Base { name: "x".into(), digest: "x".into(), layers: Vec::new(), config, docker: false };
        assert_eq!(
            base.fill("pip --python-version {PYTHON_VERSION} -r r.txt").unwrap(),
            "pip --python-version 3.13.1 -r r.txt"
        );
        assert_eq!(base.fill("go build -ldflags '{x}' {").unwrap(), "go build -ldflags '{x}' {");
        assert_eq!(base.fill("npm {NODE_VERSION}"), None);
    }

    #[test]
    fn platforms_of_an_index_are_told_apart() {
        let arm = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
        assert!(is_for(Some(&arm), Platform::Arm64) && !is_for(Some(&arm), Platform::Amd64));
        assert_eq!(shown(&json!({ "os": "unknown", "architecture": "unknown" })), None);
    }
}
