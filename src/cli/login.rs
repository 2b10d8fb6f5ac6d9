//! `faas login`: checks a user and password with the gateway, then keeps them.
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::session::GatewayFlags;
use super::values::duration;
use super::{Global, password};
use crate::context::Context;
use crate::credential::login::Login as SavedLogin;
use crate::credential::{Kept, Logins, Store};
use crate::error::{Fault, Kind, OrFault, Result};
use crate::wire::client::{Auth, Client, Options};

/// Log in to a gateway: the login is checked, then kept
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cat password.txt | faas login --password-stdin\n  faas login -g https://gateway.example.com -u me"
)]
pub struct Login {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// The user
    #[arg(short, long, default_value = "admin", value_name = "NAME")]
    username: String,
    /// The password; other users of this machine can see it while the command runs
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from stdin
    #[arg(short = 's', long)]
    password_stdin: bool,
    /// How long the gateway may take to answer
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    /// Where to keep the login; faas-cli reads `file`
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    store: Store,
}

impl Login {
    /// Checks and keeps it.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] when the gateway refuses it; nothing is kept then.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        if self.username.is_empty() || self.username.contains(':') {
            return Err(Fault::usage("the user's name must not be empty, and not hold a `:`"));
        }
        let gateway = super::session::gateway(context, global, &self.gateway)?;
        let password = self.read_password(context)?;
        let auth = Auth::Basic { user: self.username.clone(), password: password.clone() };
        let options = Options { auth, timeout: self.timeout, ..super::session::tls(context, &self.gateway)? };
        let client = Client::new(&gateway, options)?;
        let address = client.address().to_owned();
        if address.starts_with("http://") && !is_local(&address) {
            context.out.warn(format!("{address} is not encrypted: the password can be read on its way"));
        }
        context.out.tell("Calling the OpenFaaS server to validate the credentials...", str::to_owned);
        crate::runtime::block_on(client.functions(None)).map_err(|fault| match fault.kind {
            Kind::Unauthorized => Fault { hint: None, ..fault }.hint("either the user or the password is wrong"),
            _ => fault,
        })?;
        let logins = Logins::new(&context.env, &context.cwd, &context.dirs);
        let login = SavedLogin::Basic { user: self.username.clone(), password };
        let place = keep(context, &logins, &gateway, &login, self.store)?;
        let shown = serde_json::json!({ "gateway": address, "username": self.username, "store": place });
        context.out.result(&shown, || format!("credentials saved for {} {address}\n", self.username))
    }

    fn read_password(&self, context: &Context) -> Result<SecretString> {
        let prompt = format!("Password for {}", self.username);
        let example = "cat password.txt | faas login --password-stdin";
        password::read(context, self.password.as_deref(), self.password_stdin, &prompt, example)
    }
}

/// Keeps a login, and says where.
///
/// # Errors
/// When no place takes it.
pub fn keep(context: &Context, logins: &Logins, gateway: &str, login: &SavedLogin, store: Store) -> Result<String> {
    let (place, note) = match logins.save(gateway, login, store)? {
        Kept::Keyring => {
            ("keyring".to_owned(), Some("faas-cli can't see it there: --store file is for both".to_owned()))
        }
        Kept::Helper(program) => (program, None),
        Kept::File(path, refused) => {
            let note = refused.map(|why| format!("not in the keyring ({why}), but in {}", path.display()));
            (path.display().to_string(), note)
        }
    };
    if let Some(note) = note {
        context.out.note(note);
    }
    Ok(place)
}

/// A secret in a file, or on stdin where the file is `-`, without white space around it.
///
/// # Errors
/// When it can't be read.
pub fn secret_of_file(context: &Context, file: &Path) -> Result<SecretString> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).or_fault(|| "can't read from stdin".into())?;
        return Ok(SecretString::from(text.trim()));
    }
    super::secret::file::text(&context.absolute(file), file).map(|text| SecretString::from(text.trim()))
}

fn is_local(address: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| address.starts_with(start))
}
