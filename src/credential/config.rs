//! `config.yml` as faas-cli reads and writes it (its config/config_file.go); what we don't know in it stays.
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::login::{Login, Renewal, Token};
use super::{damaged, replace};
use crate::error::{OrFault, Result};

/// The options that are ours.
const RENEWAL: &[&str] =
    &["authority", "client_id", "client_secret", "scope", "audience", "refresh_token", "exchange", "expires"];

/// The file's content.
#[derive(Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(default)]
    auths: Option<Vec<Entry>>,
    /// The credential helper of all gateways, and those of some, as Docker's config.json names them.
    #[serde(rename = "credsStore", default, skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    #[serde(rename = "credHelpers", default, skip_serializing_if = "BTreeMap::is_empty")]
    helpers: BTreeMap<String, String>,
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
    /// faas-cli keeps them and reads none: what renews the token is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    options: Vec<Pair>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Pair {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

impl Entry {
    /// The login in it.
    pub fn login(&self) -> Result<Login, String> {
        match self.auth.as_str() {
            "basic" => {
                let wrong = |why: &str| format!("the token of {} is {why}", self.gateway);
                let bytes = STANDARD.decode(self.token.trim()).map_err(|_| wrong("not base64"))?;
                let text = String::from_utf8(bytes).map_err(|_| wrong("not text"))?;
                let (user, password) = text.split_once(':').ok_or_else(|| wrong("not `user:password`"))?;
                Ok(Login::Basic { user: user.into(), password: SecretString::from(password) })
            }
            "oauth2" => {
                let option = |name: &str| self.options.iter().find(|o| o.name == name).map(|o| o.value.clone());
                let bearer = SecretString::from(self.token.clone());
                Ok(Login::Token(Token { bearer, renewal: Renewal::of(option) }))
            }
            "" if self.token.is_empty() => Ok(Login::None),
            other => Err(format!("the login of {} is of the unknown kind `{other}`", self.gateway)),
        }
    }
}

impl Config {
    /// The login for a key.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.auths.iter().flatten().find(|entry| super::key(&entry.gateway) == key)
    }

    /// The credential helper for a key.
    pub fn helper(&self, key: &str) -> Option<&str> {
        let own = self.helpers.iter().find(|(gateway, _)| super::key(gateway) == key).map(|(_, name)| name);
        own.or(self.helper.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Sets a login; says that the file changes.
    pub fn set(&mut self, key: &str, login: &Login) -> bool {
        let (auth, token, renewal) = match login {
            Login::None => return self.remove(key),
            Login::Basic { user, password } => {
                ("basic", STANDARD.encode(format!("{user}:{}", password.expose_secret())), None)
            }
            Login::Token(token) => ("oauth2", token.bearer.expose_secret().to_owned(), token.renewal.as_ref()),
        };
        let auths = self.auths.get_or_insert_default();
        let at = auths.iter().position(|entry| super::key(&entry.gateway) == key).unwrap_or_else(|| {
            auths.push(Entry {
                gateway: key.into(),
                auth: String::new(),
                token: String::new(),
                options: Vec::new(),
                rest: BTreeMap::new(),
            });
            auths.len() - 1
        });
        let entry = &mut auths[at];
        (entry.auth, entry.token) = (auth.into(), token);
        // What another login was renewed by must not stay; the options of others do.
        entry.options.retain(|option| !RENEWAL.contains(&option.name.as_str()));
        let pairs = renewal.map(Renewal::pairs).unwrap_or_default().into_iter();
        entry.options.extend(pairs.map(|(name, value)| Pair { name: name.into(), value, rest: BTreeMap::new() }));
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
    // Lists are indented as faas-cli's writer does it, and a long token stays on its line.
    let options =
        serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false, prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(&config, options).or_fault(what)?;
    replace(&path, &text).or_fault(what)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::login::tests::renewing;

    fn basic(user: &str) -> Login {
        Login::Basic { user: user.into(), password: SecretString::from("pw") }
    }

    #[test]
    fn what_renews_a_token_is_in_the_options_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = "auths:\n  - gateway: http://a\n    auth: oauth2\n    token: t\n    options:\n      - name: x\n        value: y\n";
        std::fs::write(path(dir.path()), theirs).unwrap();
        update(dir.path(), |c| c.set("http://a", &renewing("a.b.c"))).unwrap();
        let (config, _) = read(dir.path()).unwrap();
        let Ok(Login::Token(token)) = config.find("http://a").unwrap().login() else { panic!() };
        assert_eq!(token.renewal.unwrap().refresh.unwrap().expose_secret(), "again");
        update(dir.path(), |c| c.set("http://a", &basic("me"))).unwrap();
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        assert!(text.contains("name: x") && !text.contains("again"), "{text}");
    }

    #[test]
    fn the_helper_of_a_gateway_counts_before_that_of_all() {
        let config: Config = serde_saphyr::from_str("credsStore: pass\ncredHelpers:\n  http://A:1/: vault\n").unwrap();
        assert_eq!((config.helper("http://a:1"), config.helper("http://b")), (Some("vault"), Some("pass")));
    }

    #[test]
    fn it_is_written_as_faas_cli_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        update(dir.path(), |c| c.set("http://127.0.0.1:8080", &basic("admin"))).unwrap();
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
        update(dir.path(), |c| c.set("http://b", &basic("me"))).unwrap();
        let (config, _) = read(dir.path()).unwrap();
        assert!(matches!(config.find("http://a").unwrap().login(), Ok(Login::Token(_))));
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
        let (gateway, auth, token) = ("http://a".into(), "basic".into(), "%%%".into());
        let entry = Entry { gateway, auth, token, options: Vec::new(), rest: BTreeMap::new() };
        assert_eq!(entry.login().map(drop).unwrap_err(), "the token of http://a is not base64");
    }
}
