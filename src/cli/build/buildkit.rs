//! The flags of what only BuildKit does: caches in a registry, build secrets, ssh agents, attestations.
use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::build::{Agent, DEFAULT_AGENT, Options, Secret};
use crate::context::Context;
use crate::error::{Fault, Result};

/// Flags of every command that builds.
#[derive(Args, Clone, Default)]
pub struct BuildKitFlags {
    /// A registry's cache that BuildKit takes layers from: NAME, or type=registry,ref=NAME
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// A registry's cache that BuildKit puts layers into: NAME, or type=registry,ref=NAME,mode=max
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// A build secret, for `RUN --mount=type=secret,id=NAME`
    #[arg(long = "build-secret", value_name = "id=NAME,src=FILE|env=VARIABLE")]
    secrets: Vec<String>,
    /// An ssh agent for `RUN --mount=type=ssh`: `default`, or an id with an agent's socket or with key files
    #[arg(long, value_name = "ID[=SOCKET|KEY[,KEY]]")]
    ssh: Vec<String>,
    /// Attest what is in the image (BUILDKIT_HOST with --push): `generator=IMAGE` names the scanner
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "generator=IMAGE")]
    sbom: Option<String>,
    /// Attest how the image was made (BUILDKIT_HOST with --push): `mode=max` tells all, arguments too
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "mode=min|max")]
    provenance: Option<String>,
}

impl BuildKitFlags {
    /// Lays them over `options`.
    ///
    /// # Errors
    /// When one is not what it should be.
    pub fn lay_over(&self, options: Options, context: &Context) -> Result<Options> {
        let given = [("sbom", &self.sbom), ("provenance", &self.provenance)];
        let attested = given.into_iter().filter_map(|(kind, text)| {
            let text = text.as_deref()?;
            attestation(kind, text).transpose().map(|how| how.map(|how| (kind.to_owned(), how)))
        });
        Ok(Options {
            cache_from: self.cache_from.clone(),
            cache_to: self.cache_to.clone(),
            secrets: self.secrets.iter().map(|text| secret(text, context)).collect::<Result<_>>()?,
            ssh: self.ssh.iter().map(|text| agent(text, context)).collect::<Result<BTreeMap<_, _>>>()?,
            attestations: attested.collect::<Result<_>>()?,
            ..options
        })
    }
}

/// `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or `id=NAME` for the variable or file NAME, as docker reads it.
fn secret(text: &str, context: &Context) -> Result<(String, Secret)> {
    let wrong = |cause: String| {
        Fault::usage(format!("`--build-secret {text}` is no secret"))
            .cause(cause)
            .hint("write `--build-secret id=NAME,src=FILE` or `--build-secret id=NAME,env=VARIABLE`")
    };
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value),
            Some(("src" | "source", value)) => file = Some(value),
            Some(("env", value)) => variable = Some(value),
            Some(("type", "file" | "env")) => {}
            _ => return Err(wrong(format!("`{field}` is none of id, src and env"))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("it has no id".into()))?;
    let in_env = |name: &str| context.env.raw(name).map(|value| value.as_bytes().to_vec());
    let value = match (file, variable) {
        (Some(file), _) => Secret::File(context.absolute(Path::new(file))),
        (None, Some(name)) => {
            let value = in_env(name).ok_or_else(|| wrong(format!("the variable {name} is not set")))?;
            Secret::Value(value.into())
        }
        (None, None) => match in_env(id) {
            Some(value) => Secret::Value(value.into()),
            None => Secret::File(context.absolute(Path::new(id))),
        },
    };
    Ok((id.to_owned(), value))
}

/// `ID` for the agent that runs, `ID=SOCKET` for another, `ID=KEY,KEY` for one with these keys, as docker reads it.
fn agent(text: &str, context: &Context) -> Result<(String, Agent)> {
    let wrong = |cause: &dyn std::fmt::Display| {
        Fault::usage(format!("`--ssh {text}` is no ssh agent"))
            .cause(cause)
            .hint("write `--ssh default` for the agent that runs, or `--ssh ID=FILE` with a key or an agent's socket")
    };
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let id = if id.is_empty() { DEFAULT_AGENT } else { id };
    let absolute = |path: &str| match path.strip_prefix("~/") {
        Some(rest) => context.dirs.home.join(rest),
        None => context.absolute(Path::new(path)),
    };
    let paths: Vec<PathBuf> = match paths {
        "" => {
            let socket = context.env.get("SSH_AUTH_SOCK");
            vec![absolute(socket.ok_or_else(|| wrong(&"SSH_AUTH_SOCK is not set: no agent runs"))?)]
        }
        paths => paths.split(',').map(absolute).collect(),
    };
    let mut sockets = 0;
    for path in &paths {
        let metadata = std::fs::metadata(path).map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
        sockets += usize::from(metadata.file_type().is_socket());
    }
    match (paths.as_slice(), sockets) {
        ([socket], 1) => Ok((id.to_owned(), Agent::Socket(socket.clone()))),
        (_, 0) => Ok((id.to_owned(), Agent::Keys(paths))),
        _ => Err(wrong(&"a socket stands alone")),
    }
}

/// How `kind` is attested, in BuildKit's words; `None` when it is not.
fn attestation(kind: &str, text: &str) -> Result<Option<String>> {
    let wrong = |hint: &str| Err(Fault::usage(format!("`--{kind}={text}` is not known")).hint(hint));
    match (kind, text) {
        (_, "false" | "0") => Ok(None),
        ("sbom", "true" | "1") => Ok(Some(String::new())),
        ("sbom", text) if text.starts_with("generator=") => Ok(Some(text.to_owned())),
        ("sbom", _) => wrong("write `--sbom`, or `--sbom=generator=IMAGE`"),
        (_, "true" | "1" | "mode=min") => Ok(Some("mode=min".to_owned())),
        (_, "mode=max") => Ok(Some(text.to_owned())),
        _ => wrong("write `--provenance`, or `--provenance=mode=max`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_off_unless_asked_for() {
        assert_eq!(attestation("sbom", "false").unwrap(), None);
        assert_eq!(attestation("sbom", "true").unwrap().as_deref(), Some(""));
        assert_eq!(attestation("sbom", "generator=x/y").unwrap().as_deref(), Some("generator=x/y"));
        assert_eq!(attestation("provenance", "true").unwrap().as_deref(), Some("mode=min"));
        assert_eq!(attestation("provenance", "mode=max").unwrap().as_deref(), Some("mode=max"));
        assert!(attestation("provenance", "mode=some").is_err());
        assert!(attestation("sbom", "mode=max").is_err());
    }
}
