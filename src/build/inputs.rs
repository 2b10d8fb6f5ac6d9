//! What an image was built from, kept so that `--explain` can say what changed since.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::tree::Tree;
use super::{Options, Project};
use crate::error::Result;
use crate::function::Function;

/// How many files are named before the rest is only counted.
const NAMED: usize = 3;

/// Everything that went into an image; values as digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inputs {
    files: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    platforms: Vec<String>,
    attestations: BTreeMap<String, String>,
    /// Base images and their ids, empty where the engine has none under the name.
    bases: BTreeMap<String, String>,
}

impl Inputs {
    /// Those of a build that is about to be done.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn of(
        function: &Function,
        tree: &Tree,
        args: &BTreeMap<String, String>,
        options: &Options,
        bases: BTreeMap<String, String>,
    ) -> Result<Self> {
        let short = |hash: &blake3::Hash| hash.to_hex()[..16].to_owned();
        let values = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().map(|(key, value)| (key.clone(), short(&blake3::hash(value.as_bytes())))).collect()
        };
        let digests = tree.digests()?;
        let file = |(file, digest): (&crate::template::File, &blake3::Hash)| {
            let mode = if file.executable() { "+x" } else { "" };
            (file.path.to_string_lossy().into_owned(), short(digest) + mode)
        };
        Ok(Self {
            files: tree.files.iter().zip(digests).map(file).collect(),
            arguments: values(args),
            labels: values(&options.labels),
            platforms: function.build.platforms.clone(),
            attestations: options.attestations.clone(),
            bases,
        })
    }

    /// Those of the last build of the function; `None` when nothing is known of it.
    #[must_use]
    pub fn last(project: &Project<'_>, name: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(project, name)).ok()?).ok()
    }

    /// Keeps them. That they can't be kept costs an explanation and nothing else.
    pub fn keep(&self, project: &Project<'_>, name: &str) {
        let path = path(project, name);
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&file, self)?;
            file.persist(&path)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!("can't write {}: {error}", path.display());
        }
    }

    /// Why the image is built, in words; `otherwise` when nothing of it changed.
    #[must_use]
    pub fn why(&self, project: &Project<'_>, name: &str, options: &Options, otherwise: &str) -> String {
        let asked = [("--no-cache", options.no_cache), ("--pull", options.pull)];
        let mut said: Vec<String> =
            asked.iter().filter(|(_, given)| *given).map(|(flag, _)| format!("{flag} asks for it")).collect();
        match Self::last(project, name) {
            None => said.push("nothing is known of an earlier build".into()),
            Some(before) => said.extend(self.since(&before)),
        }
        if said.is_empty() {
            said.push(otherwise.to_owned());
        }
        said.join("; ")
    }

    /// What differs from what was there `before`, in words: `function/handler.py changed`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<String> {
        let mut said = Vec::new();
        let files = changes(&before.files, &self.files);
        said.extend(files.iter().take(NAMED).map(|(name, what)| format!("{name} {what}")));
        if files.len() > NAMED {
            let more = files.len() - NAMED;
            said.push(format!("{more} more file{} changed", if more == 1 { "" } else { "s" }));
        }
        for (kind, before, now) in [
            ("the build argument", &before.arguments, &self.arguments),
            ("the label", &before.labels, &self.labels),
            ("the attestation", &before.attestations, &self.attestations),
            ("the base image", &before.bases, &self.bases),
        ] {
            said.extend(changes(before, now).iter().map(|(name, what)| format!("{kind} {name} {what}")));
        }
        if self.platforms != before.platforms {
            let shown = |platforms: &[String]| match platforms {
                [] => "the engine's own".to_owned(),
                some => some.join(", "),
            };
            said.push(format!("the platform is {}, it was {}", shown(&self.platforms), shown(&before.platforms)));
        }
        said
    }
}

/// The keys that are not the same in both, and how.
fn changes<'m>(
    before: &'m BTreeMap<String, String>,
    now: &'m BTreeMap<String, String>,
) -> Vec<(&'m str, &'static str)> {
    let mut found: Vec<(&str, &str)> = now
        .iter()
        .filter_map(|(key, value)| match before.get(key) {
            None => Some((key.as_str(), "is new")),
            Some(old) if old != value => Some((key.as_str(), "changed")),
            Some(_) => None,
        })
        .collect();
    found.extend(before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.as_str(), "is gone")));
    found.sort_unstable();
    found
}

fn path(project: &Project<'_>, name: &str) -> PathBuf {
    let root = blake3::hash(project.root.as_os_str().as_encoded_bytes()).to_hex();
    project.cache.join("builds").join(&root[..16]).join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_changed_is_named() {
        let before = Inputs {
            files: map(&[("a", "1"), ("b", "1"), ("c", "1")]),
            arguments: map(&[("V", "1")]),
            bases: map(&[("debian", "x")]),
            ..Inputs::default()
        };
        assert!(before.since(&before).is_empty());
        let now = Inputs {
            files: map(&[("a", "2"), ("c", "1"), ("d", "1")]),
            arguments: map(&[("V", "2")]),
            bases: map(&[("debian", "y")]),
            platforms: vec!["linux/arm64".into()],
            ..Inputs::default()
        };
        assert_eq!(
            now.since(&before),
            [
                "a changed",
                "b is gone",
                "d is new",
                "the build argument V changed",
                "the base image debian changed",
                "the platform is linux/arm64, it was the engine's own",
            ]
        );
        let many = Inputs { files: map(&[("e", "1"), ("f", "1"), ("g", "1"), ("h", "1")]), ..Inputs::default() };
        assert_eq!(many.since(&Inputs::default()).last().unwrap(), "1 more file changed");
    }
}
