//! Credential helpers: programs that keep logins elsewhere (pass, a vault), in the protocol of Docker's:
//! `docker-credential-NAME get|store|erase`, the login on stdin and stdout and never among the arguments.
use std::io::Write;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, Result};

/// What a helper says when it has nothing for the server; every helper answers this text.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Serialize)]
struct Kept<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    user: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

#[derive(Deserialize)]
struct Got {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret")]
    secret: SecretString,
}

/// A helper: a name as `pass`, or the path of its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper(String);

impl Helper {
    /// By name or path.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// How it is called.
    pub fn program(&self) -> String {
        if self.0.contains('/') { self.0.clone() } else { format!("docker-credential-{}", self.0) }
    }

    /// The login for a gateway: user and secret.
    pub fn get(&self, key: &str) -> Result<Option<(String, SecretString)>> {
        let (ok, said) = self.ask("get", key.as_bytes())?;
        if !ok {
            let said = String::from_utf8_lossy(said.expose_secret().as_bytes()).into_owned();
            // Anything else may be a helper that is locked or broken, and "no login" would hide that.
            return if said.contains(NOT_FOUND) { Ok(None) } else { Err(self.failed("get", key, &said)) };
        }
        let got: Got = serde_json::from_str(said.expose_secret())
            // The parser's own words would show some of it.
            .map_err(|_| self.failed("get", key, "its answer is not the JSON that the protocol wants"))?;
        Ok(Some((got.user, got.secret)))
    }

    /// Keeps a login.
    pub fn store(&self, key: &str, user: &str, secret: &SecretString) -> Result<()> {
        let kept = Kept { server: key, user, secret: secret.expose_secret() };
        let text = SecretString::from(serde_json::to_string(&kept).unwrap_or_default());
        match self.ask("store", text.expose_secret().as_bytes())? {
            (true, _) => Ok(()),
            (false, said) => Err(self.failed("store", key, said.expose_secret())),
        }
    }

    /// Forgets a login.
    pub fn erase(&self, key: &str) -> Result<()> {
        match self.ask("erase", key.as_bytes())? {
            (false, said) if !said.expose_secret().contains(NOT_FOUND) => {
                Err(self.failed("erase", key, said.expose_secret()))
            }
            _ => Ok(()),
        }
    }

    /// Runs it; whether it said yes, and what it said on stdout.
    fn ask(&self, verb: &str, stdin: &[u8]) -> Result<(bool, SecretString)> {
        let program = self.program();
        let start = || -> std::io::Result<std::process::Output> {
            let mut child = Command::new(&program).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            if let Some(mut pipe) = child.stdin.take() {
                // One that answers without reading is no failure.
                let _ = pipe.write_all(stdin);
            }
            child.wait_with_output()
        };
        let output = start().map_err(|error| {
            Fault::failed(format!("can't run the credential helper {program}"))
                .cause(error)
                .hint("FAAS_CREDENTIAL_HELPER, or `credsStore` and `credHelpers` in config.yml, name it")
        })?;
        Ok((output.status.success(), SecretString::from(String::from_utf8_lossy(&output.stdout).into_owned())))
    }

    fn failed(&self, verb: &str, key: &str, said: &str) -> Fault {
        let first = said.lines().next().unwrap_or_default().trim();
        let cause = if first.is_empty() { "it said no, and not why" } else { first };
        Fault::failed(format!("the credential helper {} did not `{verb}` the login for {key}", self.program()))
            .cause(cause)
    }
}
