//! Logins for registries: docker's config.json and its helper programs, and the file that `registry-login` writes.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use secrecy::SecretString;

use crate::backend::RegistryLogin;
use crate::error::{Fault, Result};

/// Docker Hub's name in docker's configuration.
pub const HUB: &str = "https://index.docker.io/v1/";

/// Where logins are looked for; the first file that has one counts.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    /// In docker's format.
    pub files: Vec<PathBuf>,
    /// Those that a platform gave for its own registry; they come first. Shared by clones.
    given: Arc<Mutex<Vec<RegistryLogin>>>,
}

/// A login.
#[derive(Debug, Clone)]
pub enum Login {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token that the registry changes for others.
    Token(SecretString),
}

impl Logins {
    /// Those in files, the first one that has a login counts.
    #[must_use]
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self { files, given: Arc::default() }
    }

    /// Takes a login that a platform gave, in the place of one before.
    pub fn give(&self, login: RegistryLogin) {
        if let Ok(mut given) = self.given.lock() {
            given.retain(|known| known.registry != login.registry);
            given.push(login);
        }
    }

    /// The login for a registry, as [`server`] names it, perhaps through a helper program.
    ///
    /// # Errors
    /// When a file can't be used, or a helper fails.
    pub fn find(&self, server: &str) -> Result<Option<Login>> {
        let given = self.given.lock().ok().and_then(|all| all.iter().find(|l| l.registry == server).cloned());
        if let Some(RegistryLogin { user, password, .. }) = given {
            return Ok(Some(Login::Basic { user, password }));
        }
        for file in &self.files {
            if let Some(login) = read(file, server)? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }
}

fn read(path: &Path, server: &str) -> Result<Option<Login>> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
    match docker_credential::get_credential_from_reader(std::io::BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Login::Basic { user, password: password.into() }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Login::Token(token.into()))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // Helpers fail this way for registries they know nothing of.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => Ok(None),
        Err(error) => {
            let hint = match &error {
                CredentialRetrievalError::HelperCommunicationError => {
                    "the helper program docker-credential-… that it names is not in PATH, or ends before it is asked"
                }
                CredentialRetrievalError::HelperFailure { .. } | CredentialRetrievalError::MalformedHelperResponse => {
                    "the helper program that it names is at fault: try it with `docker login`"
                }
                _ => "log in again: `docker login`, or `faas registry-login`",
            };
            let cause = match &error {
                CredentialRetrievalError::HelperFailure { helper, stdout, stderr } => {
                    let said = [stderr.trim(), stdout.trim()].into_iter().find(|said| !said.is_empty());
                    format!("{helper}: {}", said.unwrap_or("it failed and said nothing"))
                }
                error => error.to_string(),
            };
            let shown = path.display();
            Err(Fault::failed(format!("can't get the login for {server} from {shown}")).cause(cause).hint(hint))
        }
    }
}

/// The registry in an image's name, as docker's configuration names it.
#[must_use]
pub fn server(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let is_host = first.contains('.') || first.contains(':') || first == "localhost";
    match first {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        _ if is_host => first.to_owned(),
        _ => HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_named_as_in_dockers_configuration() {
        assert_eq!(server("127.0.0.1:5000/fn/tax"), "127.0.0.1:5000");
        assert_eq!(server("localhost/tax"), "localhost");
        assert_eq!(server("me/tax"), HUB);
        assert_eq!(server("tax"), HUB);
        assert_eq!(server("docker.io/me/tax"), HUB);
    }

    #[test]
    fn the_first_file_with_a_login_counts_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let files = vec![
            dir.path().join("none"),
            at("empty.json", "{}"),
            at("one.json", r#"{"auths": {"r.example": {"auth": "bWU6b25l"}}}"#),
            at("two.json", r#"{"auths": {"r.example": {"auth": "bWU6dHdv"}, "s.example": {"auth": "bWU6dHdv"}}}"#),
        ];
        let logins = Logins::of(files);
        use secrecy::ExposeSecret;
        let password = |server: &str| match logins.find(server).unwrap() {
            Some(Login::Basic { password, .. }) => password.expose_secret().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!((password("r.example"), password("s.example")), ("one".to_owned(), "two".to_owned()));
        assert!(logins.find("other.example").unwrap().is_none());
        let given =
            RegistryLogin { registry: "r.example".into(), user: "AWS".into(), password: "given".to_owned().into() };
        logins.clone().give(given);
        assert_eq!(password("r.example"), "given");
        assert!(!format!("{:?}", logins.find("s.example").unwrap()).contains("two"));
        let broken = Logins::of(vec![at("broken.json", "{")]);
        assert!(broken.find("r.example").unwrap_err().to_string().contains("broken.json"));
    }
}
