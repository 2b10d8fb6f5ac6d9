//! Image names: the stack's, with what `--tag` adds from git or from the handler's content.
use std::path::Path;
use std::process::Command;

use md5::{Digest, Md5};

use crate::error::{Fault, OrFault, Result};
use crate::function::Function;

/// What `--tag` adds to the image's tag, as faas-cli does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagMode {
    /// Nothing: `img:tag`, `latest` where the stack names no tag.
    #[default]
    Latest,
    /// `img:tag-<short commit>`.
    Sha,
    /// `img:tag-<branch>-<short commit>`.
    Branch,
    /// `img:tag-<git describe --tags --always>`.
    Describe,
    /// `img:<md5 of the handler's files>`.
    Digest,
}

impl std::str::FromStr for TagMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "" | "latest" | "default" => Ok(Self::Latest),
            "sha" => Ok(Self::Sha),
            "branch" => Ok(Self::Branch),
            "describe" => Ok(Self::Describe),
            "digest" => Ok(Self::Digest),
            _ => Err("use latest, sha, branch, describe or digest".into()),
        }
    }
}

/// The name of a function's image, tag included. `root` is the project's folder, which git is asked about.
///
/// # Errors
/// When git is asked for and is missing, or the project is in no git repository.
pub fn reference(function: &Function, mode: TagMode, root: &Path) -> Result<String> {
    let image = function.build.image.as_deref().filter(|image| !image.is_empty()).unwrap_or(&function.name);
    let (name, tag) = split(image);
    let added = match mode {
        TagMode::Latest => return Ok(format!("{name}:{tag}")),
        TagMode::Digest => return Ok(format!("{name}:{}", handler_digest(&function.build.handler)?)),
        TagMode::Sha => git(root, &["rev-parse", "--short", "HEAD"])?,
        TagMode::Branch => {
            let branch = git(root, &["rev-parse", "--symbolic-full-name", "--abbrev-ref", "HEAD"])?;
            format!("{branch}-{}", git(root, &["rev-parse", "--short", "HEAD"])?)
        }
        TagMode::Describe => git(root, &["describe", "--tags", "--always"])?,
    };
    // A branch may be called `feature/x`; a tag may not.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let added: String = added.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    Ok(format!("{name}:{tag}-{added}"))
}

/// An image's name and tag: the last `:` after the last `/` parts them, so that a registry's port stays.
#[must_use]
pub fn split(image: &str) -> (&str, &str) {
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[name..].rfind(':') {
        Some(colon) => (&image[..name + colon], &image[name + colon + 1..]),
        None => (image, "latest"),
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().map_err(|error| {
        Fault::failed("--tag needs git, which can't be started").cause(error).hint("install git, or use --tag latest")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !said.is_empty() {
        return Ok(said);
    }
    Err(Fault::failed(format!("--tag needs a git repository with a commit at {}", root.display()))
        .cause(String::from_utf8_lossy(&output.stderr).trim())
        .hint("make a commit, or use --tag latest or --tag digest"))
}

/// faas-cli's digest of a handler: the MD5 of the MD5s, in hex, of its regular files in the order of their paths.
fn handler_digest(handler: &Path) -> Result<String> {
    let mut digests = String::new();
    for entry in walkdir::WalkDir::new(handler).sort_by_file_name() {
        let entry = entry.or_fault(|| format!("can't read {}", handler.display()))?;
        if entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).or_fault(|| format!("can't read {}", entry.path().display()))?;
            digests += &hex(&Md5::digest(&bytes));
        }
    }
    Ok(hex(&Md5::digest(digests.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_with_a_port_keeps_it() {
        assert_eq!(split("127.0.0.1:5000/fn/tax"), ("127.0.0.1:5000/fn/tax", "latest"));
        assert_eq!(split("127.0.0.1:5000/fn/tax:0.1"), ("127.0.0.1:5000/fn/tax", "0.1"));
        assert_eq!(split("tax"), ("tax", "latest"));
    }

    #[test]
    fn outside_of_git_is_an_error_and_no_tag() {
        let dir = tempfile::tempdir().unwrap();
        let function = Function { name: "tax".into(), ..Function::default() };
        let fault = reference(&function, TagMode::Sha, dir.path()).unwrap_err();
        assert!(fault.to_string().contains("git repository"), "{fault}");
        assert_eq!(reference(&function, TagMode::Latest, dir.path()).unwrap(), "tax:latest");
    }

    #[test]
    fn the_digest_is_the_one_of_faas_cli() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join("a.txt"), "a").unwrap();
        std::fs::write(dir.path().join("b/c.txt"), "b").unwrap();
        // md5("a") and md5("b") in hex, one after the other, digested again: `printf … | md5sum`.
        let whole = hex(&Md5::digest(b"0cc175b9c0f1b6a831c399e26977266192eb5ffee6ae2fec3ad71c777531578f"));
        assert_eq!(handler_digest(dir.path()).unwrap(), whole);
    }
}
