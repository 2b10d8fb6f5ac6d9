//! Secrets: a private file each. A function sees its own through links in a private folder, so that a new value, which
//! replaces the file in one step, is seen by the running function at once.
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;

use super::answer::Refused;
use super::{DEFAULT_NAMESPACE, files};
use crate::wire::Secret;

/// Environment variable that names the folder of a function's secrets.
pub(super) const FOLDER_VARIABLE: &str = "FAAS_SECRETS_DIR";

/// All secrets.
pub(super) struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Kept below the platform's folder.
    pub fn new(platform: &Path) -> Self {
        Self { folder: platform.join("secrets") }
    }

    /// Names in a namespace, sorted.
    pub fn list(&self, namespace: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.folder.join(namespace)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Makes one, or gives it a new value.
    pub fn write(&self, secret: &Secret) -> Result<(), Refused> {
        let path = self.path(namespace(secret), &secret.name)?;
        let value = match (&secret.raw_value, &secret.value) {
            (Some(raw), _) if !raw.is_empty() => BASE64_STANDARD
                .decode(raw)
                .map_err(|e| Refused::bad(format_args!("rawValue of secret {} is not base64: {e}", secret.name)))?,
            (_, value) => value.clone().unwrap_or_default().into_bytes(),
        };
        let write = || {
            files::private_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            files::private_file(&path, &value)
        };
        write().map_err(|e| failed(&secret.name, &e))
    }

    /// Removes one.
    pub fn remove(&self, secret: &Secret) -> Result<(), Refused> {
        let path = self.path(namespace(secret), &secret.name)?;
        std::fs::remove_file(&path).map_err(|e| {
            let why =
                if e.kind() == io::ErrorKind::NotFound { "no such file or directory".into() } else { e.to_string() };
            // As OpenFaaS answers: clients take this status and text for "not there".
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format_args!("remove {}: {why}", path.display()))
        })
    }

    /// Removes all of a namespace.
    pub fn remove_all(&self, namespace: &str) -> io::Result<()> {
        files::remove(&self.folder.join(namespace))
    }

    /// The first of `names` that is not there.
    pub fn missing<'a>(&self, namespace: &str, names: &'a [String]) -> Option<&'a str> {
        names.iter().map(String::as_str).find(|name| !self.path(namespace, name).is_ok_and(|path| path.is_file()))
    }

    /// Fills a function's private folder.
    pub fn link(&self, namespace: &str, names: &[String], into: &Path) -> io::Result<()> {
        files::private_dir(into)?;
        for name in names {
            let path = self.path(namespace, name).map_err(|refused| io::Error::other(refused.text))?;
            std::os::unix::fs::symlink(path, into.join(name))?;
        }
        Ok(())
    }

    fn path(&self, namespace: &str, name: &str) -> Result<PathBuf, Refused> {
        if name.is_empty() {
            return Err(Refused::bad("non-empty name is required"));
        }
        if name.contains('/') || name.contains("..") {
            return Err(Refused::bad("directory traversal found in name"));
        }
        if name.starts_with('.') || name.contains('\0') || name.len() > 200 {
            return Err(Refused::bad(format_args!("`{}` is no name for a secret", name.escape_debug())));
        }
        Ok(self.folder.join(namespace).join(name))
    }
}

fn failed(name: &str, error: &io::Error) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format_args!("secret {name} can't be written: {error}"))
}

/// The namespace that a secret's call means.
pub(super) fn namespace(secret: &Secret) -> &str {
    secret.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_is_seen_through_the_functions_folder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let secret = |value: &str| Secret { name: "key".into(), value: Some(value.into()), ..Secret::default() };
        secrets.write(&secret("one")).unwrap();
        let names = ["key".to_owned()];
        let seen = folder.path().join("seen");
        secrets.link(DEFAULT_NAMESPACE, &names, &seen).unwrap();
        assert_eq!(std::fs::read(seen.join("key")).unwrap(), b"one");
        secrets.write(&secret("two")).unwrap();
        assert_eq!(std::fs::read(seen.join("key")).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&seen.join("key")), mode(&seen)), (0o600, 0o700));
        assert_eq!(secrets.list(DEFAULT_NAMESPACE).unwrap(), names);
        assert_eq!(secrets.missing(DEFAULT_NAMESPACE, &["key".into(), "other".into()]), Some("other"));
        secrets.remove(&secret("")).unwrap();
        assert_eq!(secrets.remove(&secret("")).unwrap_err().status, 500);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        let secrets = Secrets::new(Path::new("/nowhere"));
        for name in ["", "../x", "a/b", "..", ".hidden", "a\0b"] {
            let refused = secrets.write(&Secret { name: name.into(), ..Secret::default() }).unwrap_err();
            assert_eq!(refused.status, 400, "{name}");
        }
    }
}
