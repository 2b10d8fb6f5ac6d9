//! `template.lock`: which commits the templates in `template/` came from, so that everybody builds from the same.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Fault, OrFault, Result};

/// Its name, beside the stack file.
pub const FILE: &str = "template.lock";

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By the folder's name in `template/`.
    #[serde(default)]
    pub templates: BTreeMap<String, Pin>,
}

/// Where a template came from, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The repository's address.
    pub repository: String,
    /// The branch, tag or commit that was asked for; empty for the default branch.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// The template's name there.
    pub template: String,
    /// The commit.
    pub commit: String,
    /// The digest of its files.
    pub digest: String,
}

impl Lock {
    /// The lock of the project at `root`; an empty one when there is none.
    ///
    /// # Errors
    /// A usage fault when the file can't be read as one.
    pub fn read(root: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(root.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Fault::failed(format!("can't read {FILE}")).cause(error)),
        };
        let broken = |cause: String| {
            Fault::usage(format!("{FILE} can't be used"))
                .cause(cause)
                .hint("take it from git again, or delete it: the next `faas template pull` writes a new one")
        };
        let mut lock: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().map(|at| format!("line {}: ", at.line())).unwrap_or_default();
            let said = error.without_snippet().to_string();
            broken(format!("{place}{}", said.lines().next().unwrap_or_default()))
        })?;
        for pin in lock.templates.values_mut().filter(|pin| pin.repository.starts_with('.')) {
            let folder = root.join(&pin.repository);
            pin.repository = folder.canonicalize().unwrap_or(folder).to_string_lossy().into_owned();
        }
        match lock.version {
            1 => Ok(lock),
            version => Err(broken(format!("it is of version {version}, and this is known: 1"))),
        }
    }

    /// Changes the lock of the project at `root`; the file is written when that makes a difference.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn change(root: &Path, change: impl FnOnce(&mut BTreeMap<String, Pin>)) -> Result<()> {
        // Of two at once, the second reads what the first has written. Where a file system has no locks, work goes on.
        let folder = std::fs::File::open(root).ok();
        let _held = folder.as_ref().map(std::fs::File::lock);
        let before = Self::read(root)?;
        let mut after = before.clone();
        change(&mut after.templates);
        if before.templates == after.templates {
            return Ok(());
        }
        crate::fetch::replace(&root.join(FILE), after.text(root).as_bytes()).or_fault(|| format!("can't write {FILE}"))
    }

    fn text(&self, root: &Path) -> String {
        let mut text =
            "# The commits that the templates in template/ came from. Keep this file in git: builds with --frozen \
                        use these and\n# no others, and `faas template pull` moves them on.\nversion: 1\ntemplates:\n"
                .to_owned();
        for (name, pin) in &self.templates {
            // A string of JSON is one of YAML.
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            let _ = writeln!(text, "  {}:\n    repository: {}", quoted(name), quoted(&portable(&pin.repository, root)));
            if !pin.reference.is_empty() {
                let _ = writeln!(text, "    ref: {}", quoted(&pin.reference));
            }
            let _ = writeln!(text, "    template: {}", quoted(&pin.template));
            let _ = writeln!(text, "    commit: {}\n    digest: {}", quoted(&pin.commit), quoted(&pin.digest));
        }
        text
    }
}

/// A folder in the project, or beside it, by its way from there, so that the file means the same on other machines.
fn portable(repository: &str, root: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let way = root.ancestors().take(3).enumerate().find_map(|(up, folder)| {
        let rest = Path::new(repository).strip_prefix(folder).ok()?.to_str()?;
        Some(format!("{}{rest}", if up == 0 { "./".to_owned() } else { "../".repeat(up) }))
    });
    way.unwrap_or_else(|| repository.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(root.path()).unwrap(), Lock::default());
        let pin = Pin {
            repository: "git@host:\"odd\"".into(),
            reference: "1.0".into(),
            template: "go".into(),
            commit: "0".repeat(40),
            digest: "blake3:x".into(),
        };
        Lock::change(root.path(), |templates| drop(templates.insert("go@1.0".into(), pin.clone()))).unwrap();
        assert_eq!(Lock::read(root.path()).unwrap().templates["go@1.0"], pin);
        let here = root.path().canonicalize().unwrap().join("templates");
        std::fs::create_dir(&here).unwrap();
        let here = Pin { repository: here.to_string_lossy().into_owned(), ..pin.clone() };
        Lock::change(root.path(), |templates| drop(templates.insert("mine".into(), here.clone()))).unwrap();
        let text = std::fs::read_to_string(root.path().join(FILE)).unwrap();
        assert!(text.contains("repository: \"./templates\""), "{text}");
        assert_eq!(Lock::read(root.path()).unwrap().templates["mine"], here);
        std::fs::write(root.path().join(FILE), "version: 2\n").unwrap();
        assert!(Lock::read(root.path()).unwrap_err().to_string().contains("version 2"));
        std::fs::write(root.path().join(FILE), "version: 1\ntemplates: {a: {commit: 1}}\n").unwrap();
        assert!(Lock::read(root.path()).is_err());
    }
}
