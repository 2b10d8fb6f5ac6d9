//! Sign-in by OpenID Connect: what a provider says of itself, and the ways to a token of it.
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::login::{Provider, Renewal};
use crate::error::{Fault, Result};

mod claims;
mod grant;
mod http;
mod loopback;

pub use claims::expires;
pub use http::Http;

/// A way to a token.
#[derive(Debug, Clone)]
pub enum Grant {
    /// A person signs in in a browser on this machine, which is led back to this process.
    Code(Callback),
    /// A person signs in in a browser anywhere.
    Device,
    /// The client signs in by its own secret.
    ClientCredentials,
}

/// Where the browser is led back to.
#[derive(Debug, Clone)]
pub struct Callback {
    /// As `http://127.0.0.1`.
    pub host: String,
    /// 0 for any that is free.
    pub port: u16,
}

/// What a person is to do.
#[derive(Debug)]
pub enum Ask<'a> {
    /// Open this address on this machine.
    Open(&'a str),
    /// Open this address anywhere, and enter the code where it isn't in the address.
    Enter {
        /// The address.
        url: &'a str,
        /// The code.
        code: &'a str,
        /// The address with the code in it.
        whole: Option<&'a str>,
    },
}

/// Tokens that a provider gave.
#[derive(Debug)]
pub struct Tokens {
    access: SecretString,
    id: Option<SecretString>,
    /// What the next ones are had for.
    pub refresh: Option<SecretString>,
    expires: Option<Timestamp>,
}

/// What the provider says of itself.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

impl Metadata {
    /// Whether a client's secret goes into the header; where nothing is said, it does (RFC 8414).
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        methods.is_none_or(|all| all.iter().any(|method| method == "client_secret_basic"))
    }
}

impl Tokens {
    /// What a gateway can read: the ID token, else the access token.
    #[must_use]
    pub fn subject(&self) -> &SecretString {
        self.id.as_ref().unwrap_or(&self.access)
    }

    /// When that ends, where it is told.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        expires(self.subject().expose_secret()).or(self.expires)
    }
}

/// Signs in; `ask` tells the person what to do, `patience` is how long they may take.
///
/// # Errors
/// A provider that can't be reached, has no such grant, or says no.
pub async fn sign_in(
    provider: &Provider,
    grant: &Grant,
    http: &Http,
    patience: Duration,
    ask: &dyn Fn(Ask<'_>),
) -> Result<Tokens> {
    let metadata = discover(provider, http).await?;
    let work = async {
        match grant {
            Grant::Code(callback) => code(provider, &metadata, callback, http, ask).await,
            Grant::Device => device(provider, &metadata, http, ask).await,
            Grant::ClientCredentials => client_credentials(provider, &metadata, http).await,
        }
    };
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        Err(Fault::timed_out(format!("nobody signed in at {} in time", bare(provider))).hint("--timeout waits longer"))
    })
}

/// The next tokens: for the refresh token where there is one, else for the client's own secret.
///
/// # Errors
/// [`crate::error::Kind::Unauthorized`] when the provider wants somebody to sign in again.
pub async fn renew(renewal: &Renewal, http: &Http) -> Result<Tokens> {
    let provider = &renewal.provider;
    let metadata = discover(provider, http).await?;
    let Some(refresh) = &renewal.refresh else {
        return client_credentials(provider, &metadata, http).await;
    };
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())];
    let tokens = grant::tokens(provider, &metadata, http, &form).await?;
    if tokens.id.is_none() && provider.scope.split_whitespace().any(|scope| scope == "openid") {
        return Err(
            Fault::unauthorized(format!("{} renewed no ID token", bare(provider))).hint("`faas auth` signs in again")
        );
    }
    // One that isn't replaced goes on counting.
    let kept = tokens.refresh.is_none().then(|| refresh.clone());
    Ok(Tokens { refresh: tokens.refresh.or(kept), ..tokens })
}

/// Whether a new token can be had without a person.
#[must_use]
pub fn renews(renewal: &Renewal) -> bool {
    renewal.refresh.is_some() || renewal.provider.client_secret.is_some()
}

/// What a token says, for people.
///
/// # Errors
/// When it is no JWT.
pub fn readable(token: &SecretString) -> Result<Value> {
    claims::read(token.expose_secret())
}

async fn discover(provider: &Provider, http: &Http) -> Result<Metadata> {
    let authority = bare(provider);
    let url = format!("{authority}/.well-known/openid-configuration");
    let metadata: Metadata = http.json(&url).await?;
    if metadata.issuer.trim_end_matches('/') != authority {
        return Err(Fault::failed(format!("{url} speaks for another provider: {}", metadata.issuer))
            .hint(format!("--authority {} is who it speaks for", metadata.issuer)));
    }
    Ok(metadata)
}

/// What is asked for; a person's sign-in also asks for a token to renew by, where the provider has such.
fn scope(provider: &Provider, metadata: &Metadata, person: bool) -> String {
    let mut all: Vec<&str> = provider.scope.split_whitespace().collect();
    if person && !all.contains(&OFFLINE) && metadata.scopes_supported.iter().any(|scope| scope == OFFLINE) {
        all.push(OFFLINE);
    }
    if !person {
        // There is nobody whom an ID token could be about.
        all.retain(|scope| *scope != "openid");
    }
    all.join(" ")
}

const OFFLINE: &str = "offline_access";

async fn client_credentials(provider: &Provider, metadata: &Metadata, http: &Http) -> Result<Tokens> {
    let scope = scope(provider, metadata, false);
    let mut form = vec![("grant_type", "client_credentials"), ("scope", scope.as_str())];
    form.retain(|(_, value)| !value.is_empty());
    form.extend(provider.audience.as_deref().map(|audience| ("audience", audience)));
    let tokens = grant::tokens(provider, metadata, http, &form).await?;
    Ok(Tokens { refresh: None, ..tokens })
}

async fn code(
    provider: &Provider,
    metadata: &Metadata,
    callback: &Callback,
    http: &Http,
    ask: &dyn Fn(Ask<'_>),
) -> Result<Tokens> {
    let endpoint = metadata.authorization_endpoint.as_ref().ok_or_else(|| lacks(provider, "code"))?;
    let mut url = Url::parse(&http::safe(endpoint)?)
        .map_err(|e| Fault::failed(format!("`{endpoint}` is no address")).cause(e))?;
    let (listener, redirect) = loopback::listen(callback).await?;
    let (pkce, state, nonce) = (grant::Pkce::new()?, grant::random()?, grant::random()?);
    let scope = scope(provider, metadata, true);
    let asks_for_more = scope.split(' ').any(|scope| scope == OFFLINE);
    let mut query = vec![
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", &redirect),
        ("scope", &scope),
        ("state", &state),
        ("nonce", &nonce),
        ("code_challenge", &pkce.challenge),
        ("code_challenge_method", "S256"),
    ];
    // OpenID Connect gives a token to renew by only to who was asked for it.
    query.extend(asks_for_more.then_some(("prompt", "consent")));
    query.extend(provider.audience.as_deref().map(|audience| ("audience", audience)));
    url.query_pairs_mut().extend_pairs(query);
    ask(Ask::Open(url.as_str()));
    let code = loopback::code(listener, &state).await?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", &redirect),
        ("code_verifier", pkce.verifier.expose_secret()),
    ];
    let tokens = grant::tokens(provider, metadata, http, &form).await?;
    if let Some(id) = &tokens.id {
        let claims = claims::read(id.expose_secret())?;
        claims::meant_for(&claims, &metadata.issuer, &provider.client_id, Some(&nonce))?;
    }
    Ok(tokens)
}

async fn device(provider: &Provider, metadata: &Metadata, http: &Http, ask: &dyn Fn(Ask<'_>)) -> Result<Tokens> {
    let endpoint = metadata.device_authorization_endpoint.as_ref().ok_or_else(|| lacks(provider, "device_code"))?;
    let scope = scope(provider, metadata, true);
    let mut form = vec![("scope", scope.as_str())];
    form.extend(provider.audience.as_deref().map(|audience| ("audience", audience)));
    let device = grant::device(provider, metadata, http, endpoint, &form).await?;
    ask(Ask::Enter {
        url: &device.verification_uri,
        code: &device.user_code,
        whole: device.verification_uri_complete.as_deref(),
    });
    let tokens = grant::wait(provider, metadata, http, &device).await?;
    if let Some(id) = &tokens.id {
        claims::meant_for(&claims::read(id.expose_secret())?, &metadata.issuer, &provider.client_id, None)?;
    }
    Ok(tokens)
}

fn lacks(provider: &Provider, grant: &str) -> Fault {
    Fault::unsupported(format!("{} has no grant `{grant}`", bare(provider))).hint(
        "--grant code, device_code or client_credentials: it says which it has at /.well-known/openid-configuration",
    )
}

/// For sentences: the address without a slash at its end.
fn bare(provider: &Provider) -> &str {
    provider.authority.trim_end_matches('/')
}
