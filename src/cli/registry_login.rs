//! `faas registry-login`: a login for a registry, in a file that builders and clusters take.
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{Global, password};
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::registry::login::HUB;

/// Write a login for a registry to ./credentials/config.json; pushes from this folder use it
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas registry-login --server registry.example.com -u me --password-stdin < token.txt\n  \
                  faas registry-login --ecr --account-id 123456789012 --region eu-west-1"
)]
pub struct RegistryLogin {
    /// The registry
    #[arg(long, default_value = HUB, value_name = "SERVER")]
    server: String,
    /// The user
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password; other users of this machine can see it while the command runs
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from stdin
    #[arg(short = 's', long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    password_stdin: bool,
    /// The registry is Amazon's ECR: docker-credential-ecr-login logs in
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    ecr: bool,
    /// With --ecr: the AWS account
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// With --ecr: the AWS region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl RegistryLogin {
    /// Writes it.
    ///
    /// # Errors
    /// When something is missing, or the file can't be written.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let path = context.cwd.join("credentials/config.json");
        let mut config = read(&path)?;
        let server = if self.ecr { self.ecr(&mut config)? } else { self.basic(&mut config, context)? };
        write(&path, &config)?;
        let shown = json!({ "server": server, "file": path.display().to_string() });
        context.out.result(&shown, || "Wrote ./credentials/config.json..OK\n".to_owned())?;
        context.out.note("keep ./credentials out of git: whoever has the file can log in with it");
        Ok(())
    }

    fn ecr(&self, config: &mut Map<String, Value>) -> Result<String> {
        let need = |value: &Option<String>, name: &str| {
            value.clone().filter(|value| !value.is_empty()).ok_or_else(|| Fault::usage(format!("--ecr needs --{name}")))
        };
        let (account, region) = (need(&self.account_id, "account-id")?, need(&self.region, "region")?);
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_plain(&account) || !is_plain(&region) {
            return Err(Fault::usage(format!("`{account}` in `{region}` is no AWS account and region")));
        }
        let server = format!("{account}.dkr.ecr.{region}.amazonaws.com");
        // With a store for all registries, docker looks at no login in the file.
        if !config.contains_key("auths") {
            config.insert("credsStore".into(), json!("ecr-login"));
        }
        entry(config, "credHelpers")?.insert(server.clone(), json!("ecr-login"));
        Ok(server)
    }

    fn basic(&self, config: &mut Map<String, Value>, context: &Context) -> Result<String> {
        let user = self.username.clone().filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| {
            Fault::usage("no user is given").hint("faas registry-login -u NAME --password-stdin < token.txt")
        })?;
        if user.contains(':') {
            return Err(Fault::usage("a user's name can't hold a `:`"));
        }
        if self.server.is_empty() {
            return Err(Fault::usage("--server is empty"));
        }
        let password = self.read_password(context, &user)?;
        let auth = SecretString::from(STANDARD.encode(format!("{user}:{}", password.expose_secret())));
        // Amazon's has a helper by name beside it, which goes on serving it.
        if config.get("credsStore").is_some_and(|store| store == "ecr-login") {
            config.remove("credsStore");
        }
        entry(config, "auths")?.insert(self.server.clone(), json!({ "auth": auth.expose_secret() }));
        Ok(self.server.clone())
    }

    fn read_password(&self, context: &Context, user: &str) -> Result<SecretString> {
        let prompt = format!("Password for {user} at {}", self.server);
        let example = "cat token.txt | faas registry-login -u NAME -s";
        password::read(context, self.password.as_deref(), self.password_stdin, &prompt, example)
    }
}

/// What the file holds already: other logins stay.
fn read(path: &Path) -> Result<Map<String, Value>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            Fault::usage(format!("{} is there and no file of logins", path.display()))
                .cause(error)
                .hint("move it away, and log in again")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(Fault::failed(format!("can't read {}", path.display())).cause(error)),
    }
}

fn entry<'m>(config: &'m mut Map<String, Value>, key: &str) -> Result<&'m mut Map<String, Value>> {
    let value = config.entry(key).or_insert_with(|| json!({}));
    value.as_object_mut().ok_or_else(|| Fault::usage(format!("`{key}` in ./credentials/config.json is no map")))
}

/// In one step, and for nobody else to read.
fn write(path: &Path, config: &Map<String, Value>) -> Result<()> {
    let fail = |error: std::io::Error| Fault::failed(format!("can't write {}", path.display())).cause(error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
    let new = folder.join(".config.json.new");
    let _ = std::fs::remove_file(&new);
    let text = serde_json::to_string_pretty(config).or_fault(|| "can't write the login".into())?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(fail)?;
    std::fs::rename(&new, path).map_err(fail)
}
