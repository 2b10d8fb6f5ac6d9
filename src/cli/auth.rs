//! `faas auth`: signs in at an identity provider (OpenID Connect), and keeps the token for the gateway. What faas-cli's
//! plugin `pro` calls `pro auth`.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::session::{GatewayFlags, saved};
use super::values::duration;
use super::{Global, login, session};
use crate::context::Context;
use crate::credential::login::{Login, Provider, Renewal, Token};
use crate::credential::oidc::{self, Ask, Callback, Grant, Http};
use crate::credential::{Logins, Store};
use crate::error::{Fault, Kind, OrFault, Result};
use crate::wire::client::Client;

/// Sign in to a gateway at an identity provider (OpenID Connect)
///
/// The token is kept, and renewed when it ends. A gateway with OpenFaaS's IAM exchanges it for one of its own. Run again,
/// it needs no more than the gateway.
#[derive(Args)]
#[command(after_help = "Examples:
  faas auth -g https://gateway.example.com --authority https://id.example.com --client-id faas
  faas auth --grant device_code --authority https://id.example.com --client-id faas
  FAAS_CLIENT_SECRET=... faas auth --grant client_credentials --authority https://id.example.com --client-id ci
  faas auth --token-file token.jwt")]
pub struct Auth {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// The provider's address [default: that of the last sign-in]
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
    /// The client's name at the provider [default: that of the last sign-in]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The client's secret; other users of this machine can see it while the command runs [default: FAAS_CLIENT_SECRET]
    #[arg(long, value_name = "SECRET", conflicts_with = "client_secret_file")]
    client_secret: Option<String>,
    /// A file with the client's secret; `-` for stdin
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// How to sign in: in a browser here, in a browser anywhere, or by the client's secret
    #[arg(long, value_enum, default_value_t, value_name = "GRANT")]
    grant: Way,
    /// What to ask for, separated by spaces [default: openid profile]
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// For whom the token is to be, where the provider wants to be told
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// The port of this machine that the browser is led back to; 0 for any
    #[arg(long, default_value_t = 31111, value_name = "PORT")]
    listen_port: u16,
    /// The address of this machine that the browser is led back to
    #[arg(long, default_value = "http://127.0.0.1", value_name = "URL")]
    redirect_host: String,
    /// Open the browser
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = clap::ArgAction::Set, hide_default_value = true)]
    launch_browser: bool,
    /// Keep the provider's token, rather than what the gateway gives for it
    #[arg(long)]
    no_exchange: bool,
    /// A file with a token to use, as a CI system gives; `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "authority", "client_id"])]
    token_file: Option<PathBuf>,
    /// Print the token
    #[arg(long)]
    print_token: bool,
    /// With --print-token: print what it says
    #[arg(long, requires = "print_token")]
    pretty: bool,
    /// How long the sign-in may take
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    /// Where to keep the token; faas-cli reads `file`
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    store: Store,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Way {
    /// A browser on this machine (authorization code with PKCE)
    #[default]
    Code,
    /// A browser anywhere, and a code to enter there
    #[value(alias = "device")]
    DeviceCode,
    /// The client's own secret
    ClientCredentials,
    /// As faas-cli names what providers have given up; `code` takes its place
    #[value(hide = true, alias = "implicit-id")]
    Implicit,
}

impl Auth {
    /// Signs in, shows the token to the gateway, keeps it.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] when the provider or the gateway says no; nothing is kept then.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let gateway = session::gateway(context, global, &self.gateway)?;
        let logins = Logins::new(&context.env, &context.cwd, &context.dirs);
        let token = match self.handed_over(context)? {
            Some(token) => {
                let exchanged = saved::exchanged(context, &self.gateway, &gateway, &token, !self.no_exchange)?;
                Token { bearer: exchanged.map_or(token, |(bearer, _)| bearer), renewal: None }
            }
            None => self.sign_in(context, &gateway, &logins)?,
        };
        if self.print_token {
            return self.print(context, &token.bearer);
        }
        let ends = oidc::expires(token.bearer.expose_secret());
        let ends = token.renewal.as_ref().and_then(|renewal| renewal.expires).or(ends);
        let renews = token.renewal.as_ref().is_some_and(oidc::renews);
        let token = Login::Token(token);
        let options = session::tls(context, &self.gateway)?;
        let client = Client::new(&gateway, crate::wire::client::Options { auth: token.auth(), ..options })?;
        let address = client.address().to_owned();
        crate::runtime::block_on(client.functions(None)).map_err(|fault| match fault.kind {
            Kind::Unauthorized => Fault { hint: None, ..fault }
                .hint("the provider let you in, and the gateway did not: does it know this provider and this client?"),
            _ => fault,
        })?;
        let place = login::keep(context, &logins, &gateway, &token, self.store)?;
        let shown = json!({ "gateway": address, "store": place, "expires": ends, "renews": renews });
        context.out.result(&shown, || {
            let end = match ends {
                _ if renews => String::new(),
                Some(end) => format!(" until {end}"),
                None => String::new(),
            };
            format!("credentials saved for {address}{end}\n")
        })
    }

    /// A token that was had elsewhere.
    fn handed_over(&self, context: &Context) -> Result<Option<SecretString>> {
        let token = match (&self.gateway.token, &self.token_file) {
            (Some(token), _) => SecretString::from(token.trim()),
            (None, Some(file)) => login::secret_of_file(context, file)?,
            (None, None) => return Ok(None),
        };
        if token.expose_secret().is_empty() {
            return Err(Fault::usage("the token is empty"));
        }
        Ok(Some(token))
    }

    fn sign_in(&self, context: &Context, gateway: &str, logins: &Logins) -> Result<Token> {
        // That of last time is only looked at when something is missing: a damaged file must not be in the way.
        let before = match (&self.authority, &self.client_id) {
            (Some(_), Some(_)) => None,
            _ => match logins.find(gateway)?.login {
                Login::Token(Token { renewal: Some(renewal), .. }) => Some(renewal.provider),
                _ => None,
            },
        };
        let missing = |flag: &str| {
            Fault::usage(format!(
                "which {} to sign in with?",
                if flag == "--authority" { "provider" } else { "client" }
            ))
            .hint(format!("name it by {flag}; `faas login` is for a user and a password"))
        };
        let last = before.as_ref();
        let provider = Provider {
            authority: (self.authority.clone())
                .or_else(|| last.map(|last| last.authority.clone()))
                .ok_or_else(|| missing("--authority"))?,
            client_id: (self.client_id.clone())
                .or_else(|| last.map(|last| last.client_id.clone()))
                .ok_or_else(|| missing("--client-id"))?,
            client_secret: self.secret(context)?.or_else(|| last.and_then(|last| last.client_secret.clone())),
            scope: (self.scope.clone())
                .or_else(|| last.map(|last| last.scope.clone()))
                .unwrap_or_else(|| "openid profile".into()),
            audience: self.audience.clone().or_else(|| last.and_then(|last| last.audience.clone())),
        };
        let grant = match self.grant {
            Way::Code => Grant::Code(Callback { host: self.redirect_host.clone(), port: self.listen_port }),
            Way::DeviceCode => Grant::Device,
            Way::ClientCredentials if provider.client_secret.is_none() => {
                return Err(Fault::usage("--grant client_credentials needs the client's secret")
                    .hint("--client-secret-file, or FAAS_CLIENT_SECRET"));
            }
            Way::ClientCredentials => Grant::ClientCredentials,
            Way::Implicit => {
                return Err(Fault::unsupported(
                    "the implicit grants show the token to the browser, and are not spoken",
                )
                .hint("--grant code does the same, safely; with --client-secret-file for providers that want one"));
            }
        };
        let tls = session::tls(context, &self.gateway)?;
        let http = Http::new(tls.verify_tls, &tls.trusted)?;
        let ask = |ask: Ask<'_>| self.ask(context, &ask);
        let tokens = crate::runtime::block_on(oidc::sign_in(&provider, &grant, &http, self.timeout, &ask))?;
        let renewal = Renewal { provider, refresh: tokens.refresh.clone(), exchange: !self.no_exchange, expires: None };
        saved::token(context, &self.gateway, gateway, &tokens, renewal)
    }

    fn secret(&self, context: &Context) -> Result<Option<SecretString>> {
        let secret = match (&self.client_secret, &self.client_secret_file) {
            (Some(secret), _) => {
                context
                    .out
                    .warn("--client-secret can be seen by other users of this machine; --client-secret-file can't");
                Some(SecretString::from(secret.clone()))
            }
            (None, Some(file)) => Some(login::secret_of_file(context, file)?),
            (None, None) => context.env.get("FAAS_CLIENT_SECRET").map(SecretString::from),
        };
        match secret {
            Some(secret) if secret.expose_secret().is_empty() => Err(Fault::usage("the client's secret is empty")),
            secret => Ok(secret),
        }
    }

    /// On stderr, also when notes are not wanted: without it nobody can sign in.
    fn ask(&self, context: &Context, ask: &Ask<'_>) {
        let (said, url) = match ask {
            Ask::Open(url) => (format!("Sign in at {url}"), *url),
            Ask::Enter { url, code, whole } => {
                (format!("Sign in at {url} and enter the code {code}"), whole.unwrap_or(url))
            }
        };
        crate::output::Output { quiet: false, ..context.out.clone() }.note(crate::output::printable(&said));
        if self.launch_browser && context.out.may_ask() {
            browse(url);
        }
    }

    fn print(&self, context: &Context, token: &SecretString) -> Result<()> {
        let text = if self.pretty {
            serde_json::to_string_pretty(&oidc::readable(token)?).or_fault(|| "the token can't be shown".into())?
        } else {
            token.expose_secret().to_owned()
        };
        context.out.raw(format!("{text}\n").as_bytes())
    }
}

/// Opens an address in the browser, where there is a program that does; the address is on the screen in any case.
fn browse(url: &str) {
    use std::process::{Command, Stdio};
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        tracing::debug!("{program} can't be started: {error}");
    }
}
