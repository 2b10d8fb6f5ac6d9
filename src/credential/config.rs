//! `config.yml` as faas-cli reads and writes it (its config/config_file.go); what we don't know in it stays.
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{damaged, replace};
use crate::error::{OrFault, Result};
use crate::wire::client::Auth;

/// The file's content.
#[derive(Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(default)]
    auths: Option<Vec<Entry>>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// One gateway's login. No `Debug`: the token is in clear.
#[derive(Serialize, Deserialize)]
pub struct Entry {
    #[serde(default)]
    gateway: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    token: String,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

impl Entry {
    /// What it lets a call show.
    pub fn auth(&self) -> Result<Auth, String> {
        match self.auth.as_str() {
            "basic" => {
                let wrong = |why: &str| format!("the token of {} is {why}", self.gateway);
                let bytes = STANDARD.decode(self.token.trim()).map_err(|_| wrong("not base64"))?;
                let text = String::from_utf8(bytes).map_err(|_| wrong("not text"))?;
                let (user, password) = text.split_once(':').ok_or_else(|| wrong("not `user:password`"))?;
                Ok(Auth::Basic { user: user.into(), password: SecretString::from(password) })
            }
            "oauth2" => Ok(Auth::Bearer(SecretString::from(self.token.clone()))),
            "" if self.token.is_empty() => Ok(Auth::None),
            other => Err(format!("the login of {} is of the unknown kind `{other}`", self.gateway)),
        }
    }
}

impl Config {
    /// The login for a key.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.auths.iter().flatten().find(|entry| super::key(&entry.gateway) == key)
    }

    /// Sets a basic login; says that the file changes.
    pub fn set(&mut self, key: &str, user: &str, password: &SecretString) -> bool {
        let token = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        let auths = self.auths.get_or_insert_default();
        match auths.iter_mut().find(|entry| super::key(&entry.gateway) == key) {
            Some(entry) => (entry.auth, entry.token) = ("basic".into(), token),
            None => auths.push(Entry { gateway: key.into(), auth: "basic".into(), token, rest: BTreeMap::new() }),
        }
        true
    }

    /// Removes a login; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let auths = self.auths.get_or_insert_default();
        let before = auths.len();
        auths.retain(|entry| super::key(&entry.gateway) != key);
        auths.len() < before
    }
}

/// Where it is.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("config.yml")
}

/// Reads it; a missing file is empty. Says when others can read it too.
pub fn read(folder: &Path) -> Result<(Config, Vec<String>)> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Default::default());
        }
        Err(e) => return Err(damaged(&path, e)),
    };
    let mode = std::fs::metadata(&path).or_fault(|| format!("can't look at {}", path.display()))?.permissions().mode();
    let mut warnings = Vec::new();
    if mode & 0o077 != 0 {
        warnings.push(format!(
            "{0} holds passwords, and others can read it (mode {1:03o}): chmod 600 {0}",
            path.display(),
            mode & 0o777
        ));
    }
    if text.trim().is_empty() {
        return Ok((Config::default(), warnings));
    }
    // The parser's own message would show the line, and with it a token.
    let config = serde_saphyr::from_str(&text).map_err(|e| {
        let place = e.location().map(|l| format!(" (line {})", l.line())).unwrap_or_default();
        damaged(&path, format!("it is not the YAML that faas-cli writes{place}"))
    })?;
    Ok((config, warnings))
}

/// Changes it in one step; `change` says whether there is anything to write. Called with the lock held.
pub fn update(folder: &Path, change: impl FnOnce(&mut Config) -> bool) -> Result<bool> {
    let (mut config, _) = read(folder)?;
    if !change(&mut config) {
        return Ok(false);
    }
    let path = path(folder);
    let what = || format!("can't write {}", path.display());
    // Lists are indented as faas-cli's writer does it.
    let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
    let text = serde_saphyr::to_string_with_options(&config, options).or_fault(what)?;
    replace(&path, &text).or_fault(what)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_faas_cli_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        update(dir.path(), |c| c.set("http://127.0.0.1:8080", "admin", &SecretString::from("pw"))).unwrap();
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        assert_eq!(text, "auths:\n  - gateway: http://127.0.0.1:8080\n    auth: basic\n    token: YWRtaW46cHc=\n");
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_faas_cli_keeps_beside_a_login_stays() {
        let dir = tempfile::tempdir().unwrap();
        let before = "auths:\n  - gateway: http://a\n    auth: oauth2\n    token: t.o.k\n    options:\n      - name: x\n        value: y\nother: 1\n";
        std::fs::write(path(dir.path()), before).unwrap();
        update(dir.path(), |c| c.set("http://b", "me", &SecretString::from("pw"))).unwrap();
        let (config, _) = read(dir.path()).unwrap();
        assert!(matches!(config.find("http://a").unwrap().auth(), Ok(Auth::Bearer(_))));
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        assert!(text.contains("name: x") && text.contains("other: 1"), "{text}");
    }

    #[test]
    fn a_damaged_file_is_named_and_none_of_it_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path()), "auths:\n  - gateway: [http://a\n    token: sEcReT\n").unwrap();
        let Err(fault) = read(dir.path()) else { panic!("it was read") };
        assert!(fault.to_string().contains("config.yml can't be read"), "{fault}");
        assert!(!format!("{fault:?}").contains("sEcReT"), "{fault:?}");
    }

    #[test]
    fn a_file_that_others_can_read_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path()), "auths: []\n").unwrap();
        std::fs::set_permissions(path(dir.path()), std::fs::Permissions::from_mode(0o644)).unwrap();
        let (_, warnings) = read(dir.path()).unwrap();
        assert!(warnings[0].contains("mode 644"), "{warnings:?}");
    }

    #[test]
    fn a_token_that_is_no_login_is_not_shown() {
        let entry =
            Entry { gateway: "http://a".into(), auth: "basic".into(), token: "%%%".into(), rest: BTreeMap::new() };
        assert_eq!(entry.auth().unwrap_err(), "the token of http://a is not base64");
    }
}
