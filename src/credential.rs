//! Logins: `config.yml` as faas-cli keeps it, the keyring, helper programs, and which of them holds a gateway's login.
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::context::{Dirs, Env};
use crate::error::{Fault, OrFault, Result};

mod config;
mod helper;
mod index;
#[cfg(feature = "openfaas")]
mod keyring;
pub mod login;
#[cfg(feature = "openfaas")]
pub mod oidc;

use helper::Helper;
use login::Login;

/// Where a login is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Store {
    /// By the credential helper where one is named, else in the keyring where one runs, else in the file.
    #[default]
    Auto,
    /// In `config.yml`, mode 0600, where faas-cli reads it too.
    File,
    /// In the keyring, or fail.
    Keyring,
    /// By the credential helper that FAAS_CREDENTIAL_HELPER or config.yml names, or fail.
    Helper,
}

/// Where a login was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In this file; the reason when the keyring was asked first.
    File(PathBuf, Option<String>),
    /// In the keyring.
    Keyring,
    /// By this program.
    Helper(String),
}

/// What was found for a gateway.
#[derive(Debug, Default)]
pub struct Found {
    /// The login; [`Login::None`] when there is none.
    pub login: Login,
    /// Where it is kept, for what takes its place.
    store: Store,
    /// What the user should know, as a file that others can read.
    pub warnings: Vec<String>,
}

/// The logins of this user.
#[derive(Debug, Clone)]
pub struct Logins {
    folder: PathBuf,
    bus: bool,
    helper: Option<Helper>,
}

impl Logins {
    /// In the folder `OPENFAAS_CONFIG`, else in `./.openfaas` in CI, else in `~/.openfaas`, as faas-cli has it.
    #[must_use]
    pub fn new(env: &Env, cwd: &Path, dirs: &Dirs) -> Self {
        let folder = match env.get("OPENFAAS_CONFIG") {
            Some(folder) => cwd.join(folder),
            None if env.is_ci() => cwd.join(".openfaas"),
            None => dirs.home.join(".openfaas"),
        };
        // Without a bus there is no keyring, and looking for one would only cost time.
        let bus = env.get("DBUS_SESSION_BUS_ADDRESS").is_some()
            || env.get("XDG_RUNTIME_DIR").is_some_and(|dir| Path::new(dir).join("bus").exists());
        Self { folder, bus, helper: env.get("FAAS_CREDENTIAL_HELPER").map(Helper::new) }
    }

    /// The file of logins, whether there is one or not.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        config::path(&self.folder)
    }

    /// The login for a gateway. A helper that is named is asked first; the keyring only when it is known to hold this one.
    ///
    /// # Errors
    /// When the file is damaged, or the helper or keyring that holds the login can't be asked.
    pub fn find(&self, gateway: &str) -> Result<Found> {
        let key = key(gateway);
        let (config, warnings) = config::read(&self.folder)?;
        if let Some(helper) = self.helper(&config, &key)
            && let Some((user, secret)) = helper.get(&key)?
        {
            return Ok(Found { login: Login::of_secret(user, secret), store: Store::Helper, warnings });
        }
        if index::names(&self.folder)?.contains(&key) {
            let (user, secret) = self.read_keyring(&key)?;
            return Ok(Found { login: Login::of_secret(user, secret), store: Store::Keyring, warnings: Vec::new() });
        }
        let login = match config.find(&key) {
            Some(entry) => entry.login().map_err(|why| damaged(&config::path(&self.folder), why))?,
            None => Login::None,
        };
        Ok(Found { login, store: Store::File, warnings })
    }

    /// Keeps a login; one that another place had is forgotten there.
    ///
    /// # Errors
    /// When no place takes it.
    pub fn save(&self, gateway: &str, login: &Login, store: Store) -> Result<Kept> {
        let _lock = self.lock()?;
        self.put(&key(gateway), login, store)
    }

    /// Lets `change` make another login of the one that is there, and keeps it in the same place. Nobody else changes it
    /// meanwhile: a token that renews another can be shown only once.
    ///
    /// # Errors
    /// Those of reading, of `change`, and of keeping.
    pub fn renew(&self, gateway: &str, change: impl FnOnce(&Login) -> Result<Option<Login>>) -> Result<Login> {
        let _lock = self.lock()?;
        let found = self.find(gateway)?;
        match change(&found.login)? {
            Some(login) => {
                self.put(&key(gateway), &login, found.store)?;
                Ok(login)
            }
            None => Ok(found.login),
        }
    }

    /// With the lock held.
    fn put(&self, key: &str, login: &Login, store: Store) -> Result<Kept> {
        let (user, secret) = login.as_secret();
        let (config, _) = config::read(&self.folder)?;
        let helper = self.helper(&config, key).filter(|_| matches!(store, Store::Auto | Store::Helper));
        if let Some(helper) = helper {
            helper.store(key, &user, &secret)?;
            self.forget_in_keyring(key)?;
            config::update(&self.folder, |config| config.remove(key))?;
            return Ok(Kept::Helper(helper.program()));
        }
        if store == Store::Helper {
            return Err(Fault::usage("no credential helper is named")
                .hint("set FAAS_CREDENTIAL_HELPER, as `pass` for docker-credential-pass"));
        }
        let mut refused = None;
        if store != Store::File {
            match self.put_in_keyring(key, &user, &secret) {
                Ok(()) => {
                    index::add(&self.folder, key)?;
                    config::update(&self.folder, |config| config.remove(key))?;
                    return Ok(Kept::Keyring);
                }
                Err(why) if store == Store::Keyring => {
                    return Err(Fault::failed("the keyring did not take the login")
                        .cause(why)
                        .hint("--store file keeps it in a file that only you can read"));
                }
                Err(why) => refused = Some(why),
            }
        }
        config::update(&self.folder, |config| config.set(key, login))?;
        self.forget_in_keyring(key)?;
        Ok(Kept::File(config::path(&self.folder), refused))
    }

    /// Forgets a login; whether there was one.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget(&self, gateway: &str) -> Result<bool> {
        let key = key(gateway);
        let (config, _) = config::read(&self.folder)?;
        let helper = self.helper(&config, &key);
        if helper.is_none() && !self.folder.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let in_helper = match &helper {
            Some(helper) if helper.get(&key)?.is_some() => helper.erase(&key).map(|()| true)?,
            _ => false,
        };
        let in_keyring = self.forget_in_keyring(&key)?;
        let in_file = config::update(&self.folder, |config| config.remove(&key))?;
        Ok(in_helper || in_keyring || in_file)
    }

    /// The environment's, else the file's.
    fn helper(&self, config: &config::Config, key: &str) -> Option<Helper> {
        self.helper.clone().or_else(|| config.helper(key).map(Helper::new))
    }

    /// One writer at a time; readers need no lock, since files are replaced whole.
    fn lock(&self) -> Result<std::fs::File> {
        let what = || format!("can't use the folder {}", self.folder.display());
        match std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e).or_fault(what),
            _ => {}
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(".lock"))
            .or_fault(what)?;
        file.lock().or_fault(what)?;
        Ok(file)
    }

    #[cfg(feature = "openfaas")]
    fn put_in_keyring(&self, key: &str, user: &str, password: &SecretString) -> Result<(), String> {
        self.bus.then_some(()).ok_or("no D-Bus session, so no keyring")?;
        keyring::put(key, user, password)
    }

    #[cfg(feature = "openfaas")]
    fn read_keyring(&self, key: &str) -> Result<(String, SecretString)> {
        let found = if self.bus { keyring::get(key) } else { Err("no D-Bus session, so no keyring".into()) };
        found.map_err(|why| {
            Fault::failed(format!("the login for {key} is in the keyring, which can't be read"))
                .cause(why)
                .hint(format!("unlock it, or run `faas login -g {key} --store file`"))
        })
    }

    #[cfg(feature = "openfaas")]
    fn forget_in_keyring(&self, key: &str) -> Result<bool> {
        let was_there = index::remove(&self.folder, key)?;
        if was_there && self.bus {
            // The index decides; an entry that stays behind is found by nobody.
            if let Err(why) = keyring::delete(key) {
                tracing::debug!(why, "the keyring kept an entry");
            }
        }
        Ok(was_there)
    }

    #[cfg(not(feature = "openfaas"))]
    #[allow(clippy::unused_self)]
    fn put_in_keyring(&self, _: &str, _: &str, _: &SecretString) -> Result<(), String> {
        Err("this build has no keyring".into())
    }

    #[cfg(not(feature = "openfaas"))]
    fn read_keyring(&self, key: &str) -> Result<(String, SecretString)> {
        Err(Fault::failed(format!(
            "the login for {key} is in the keyring, and this build has none (bus: {})",
            self.bus
        )))
    }

    #[cfg(not(feature = "openfaas"))]
    fn forget_in_keyring(&self, key: &str) -> Result<bool> {
        index::remove(&self.folder, key)
    }
}

/// The gateway's address as faas-cli writes it into its file: lower case, no slash at the end, a scheme in front. A user
/// and password in it are left out.
fn key(gateway: &str) -> String {
    let lower = gateway.trim().trim_end_matches('/').to_lowercase();
    let (scheme, rest) = lower.split_once("://").unwrap_or(("http", &lower));
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::failed(format!("{} can't be read", path.display()))
        .cause(why)
        .hint("mend it, or move it away and run `faas login` again")
}

/// Replaces a file in one step, mode 0600; a link is followed, not replaced.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let target = path.canonicalize().unwrap_or_else(|_| path.into());
    let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn logins(folder: &Path) -> Logins {
        Logins { folder: folder.into(), bus: false, helper: None }
    }

    fn basic(found: Found) -> (String, String) {
        match found.login {
            Login::Basic { user, password } => (user, password.expose_secret().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    fn admin(password: &str) -> Login {
        Login::Basic { user: "admin".into(), password: SecretString::from(password) }
    }

    #[test]
    fn the_folder_is_the_one_that_faas_cli_uses() {
        let dirs = Dirs { data: "/d".into(), cache: "/c".into(), home: "/home/me".into() };
        let folder = |pairs: &[(&str, &str)]| {
            let env = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Logins::new(&env, Path::new("/work"), &dirs).folder
        };
        assert_eq!(folder(&[]), Path::new("/home/me/.openfaas"));
        assert_eq!(folder(&[("CI", "true")]), Path::new("/work/.openfaas"));
        assert_eq!(folder(&[("CI", "1"), ("OPENFAAS_CONFIG", "/x")]), Path::new("/x"));
    }

    #[test]
    fn what_is_saved_is_found_again_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let logins = logins(&dir.path().join("new"));
        assert!(matches!(logins.find("http://h:1").unwrap().login, Login::None));
        let kept = logins.save("http://H:1/", &admin("p:w"), Store::Auto).unwrap();
        assert_eq!(kept, Kept::File(dir.path().join("new/config.yml"), Some("no D-Bus session, so no keyring".into())));
        assert_eq!(basic(logins.find("h:1").unwrap()), ("admin".into(), "p:w".into()));
        assert!(logins.forget("http://h:1").unwrap());
        assert!(!logins.forget("http://h:1").unwrap());
        assert!(matches!(logins.find("http://h:1").unwrap().login, Login::None));
    }

    #[test]
    fn keys_are_those_of_faas_cli() {
        assert_eq!(key(" HTTP://Gw:80/Of/ "), "http://gw:80/of");
        assert_eq!(key("gw:8080"), "http://gw:8080");
        assert_eq!(key("https://me:p@w@gw/a@b"), "https://gw/a@b");
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let logins = logins(dir.path());
                scope.spawn(move || {
                    logins.save(&format!("http://h:{n}"), &admin("pw"), Store::File).unwrap();
                });
            }
        });
        for n in 0..8 {
            assert_eq!(basic(logins(dir.path()).find(&format!("http://h:{n}")).unwrap()).1, "pw");
        }
    }

    #[test]
    fn asking_for_the_keyring_where_there_is_none_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let fault = logins(dir.path()).save("h", &admin("pw"), Store::Keyring).unwrap_err();
        assert!(fault.to_string().contains("D-Bus"), "{fault}");
        assert!(!dir.path().join("config.yml").exists());
    }
}
