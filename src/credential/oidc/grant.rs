//! The requests of OAuth 2.0 at a provider's token endpoint. By hand, since the crate for it is tied to older releases of
//! what this program is made of (reqwest, rand, sha2): each request is one form.
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto_box::aead::OsRng;
use crypto_box::aead::rand_core::RngCore;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Http, Metadata, Tokens, bare};
use crate::credential::login::Provider;
use crate::error::{Fault, OrFault, Result};

/// How often a device's code is asked for where the provider doesn't say (RFC 8628).
const INTERVAL: u64 = 5;

#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    id_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    expires_in: Option<f64>,
}

/// What a provider says when it says no.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// What a person is to enter, and what is asked with meanwhile.
#[derive(Deserialize)]
pub struct Device {
    device_code: SecretString,
    pub user_code: String,
    #[serde(alias = "verification_url")]
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    interval: Option<u64>,
    expires_in: Option<u64>,
}

/// PKCE (RFC 7636): what is sent ahead, and what proves later that it was sent from here.
pub struct Pkce {
    pub challenge: String,
    pub verifier: SecretString,
}

impl Pkce {
    pub fn new() -> Result<Self> {
        Ok(Self::of(random()?))
    }

    fn of(verifier: String) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { challenge, verifier: SecretString::from(verifier) }
    }
}

/// 256 bits that nobody can guess, for addresses.
pub fn random() -> Result<String> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).or_fault(|| "the system gives no random bytes".into())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Asks for tokens by what `grant` says.
///
/// # Errors
/// When the provider can't be reached, says no, or something else than OAuth.
pub async fn tokens(provider: &Provider, metadata: &Metadata, http: &Http, grant: &[(&str, &str)]) -> Result<Tokens> {
    let answer = ask(provider, metadata, http, &metadata.token_endpoint, grant).await?;
    read(provider, answer)?.map_err(|refusal| refused(provider, &refusal))
}

/// Asks for a code that a person enters.
///
/// # Errors
/// The same.
pub async fn device(
    provider: &Provider,
    metadata: &Metadata,
    http: &Http,
    endpoint: &str,
    form: &[(&str, &str)],
) -> Result<Device> {
    let (status, bytes) = ask(provider, metadata, http, endpoint, form).await?;
    if !status.is_success()
        && let Ok(refusal) = serde_json::from_slice::<Refusal>(&bytes)
    {
        return Err(refused(provider, &refusal));
    }
    serde_json::from_slice(&bytes).map_err(|error| strange(provider, status, &error))
}

/// Asks, until the person has entered the code.
///
/// # Errors
/// The same, and when the code has come to its end.
pub async fn wait(provider: &Provider, metadata: &Metadata, http: &Http, device: &Device) -> Result<Tokens> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device.device_code.expose_secret()),
    ];
    let mut pause = Duration::from_secs(device.interval.unwrap_or(INTERVAL).clamp(1, 60));
    let asking = async {
        loop {
            tokio::time::sleep(pause).await;
            let answer = ask(provider, metadata, http, &metadata.token_endpoint, &form).await?;
            match read(provider, answer)? {
                Ok(tokens) => return Ok(tokens),
                Err(refusal) if refusal.error == "authorization_pending" => {}
                Err(refusal) if refusal.error == "slow_down" => pause += Duration::from_secs(5),
                Err(refusal) => return Err(refused(provider, &refusal)),
            }
        }
    };
    let end = Duration::from_secs(device.expires_in.unwrap_or(u64::from(u16::MAX)));
    tokio::time::timeout(end, asking).await.unwrap_or_else(|_| {
        Err(Fault::timed_out("the code was not entered before its end").hint("`faas auth` gets another"))
    })
}

/// One form, with what shows who asks: in the header where the provider takes that, else in the form.
async fn ask(
    provider: &Provider,
    metadata: &Metadata,
    http: &Http,
    endpoint: &str,
    form: &[(&str, &str)],
) -> Result<(http::StatusCode, Vec<u8>)> {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut form = form.to_vec();
    let secret = provider.client_secret.as_ref().map(ExposeSecret::expose_secret);
    let login = match secret {
        // Both are encoded before they are put together (RFC 6749, 2.3.1).
        Some(secret) if metadata.takes_basic() => {
            Some((encoded(&provider.client_id), SecretString::from(encoded(secret))))
        }
        Some(secret) => {
            form.extend([("client_id", provider.client_id.as_str()), ("client_secret", secret)]);
            None
        }
        None => {
            form.push(("client_id", &provider.client_id));
            None
        }
    };
    http.post(endpoint, login, &form).await
}

fn read(
    provider: &Provider,
    (status, bytes): (http::StatusCode, Vec<u8>),
) -> Result<std::result::Result<Tokens, Refusal>> {
    if !status.is_success()
        && let Ok(refusal) = serde_json::from_slice::<Refusal>(&bytes)
    {
        return Ok(Err(refusal));
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| strange(provider, status, &error))?;
    let lasts = answer.expires_in.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
    Ok(Ok(Tokens {
        access: answer.access_token,
        id: answer.id_token,
        refresh: answer.refresh_token,
        expires: lasts.and_then(|lasts| Timestamp::now().checked_add(lasts).ok()),
    }))
}

/// The parser's own words would show some of the answer; its place doesn't.
fn strange(provider: &Provider, status: http::StatusCode, error: &serde_json::Error) -> Fault {
    Fault::failed(format!("the answer of {} is not OAuth's", bare(provider))).cause(format!(
        "it answers {status}, and what is no token at line {} column {}",
        error.line(),
        error.column()
    ))
}

fn refused(provider: &Provider, refusal: &Refusal) -> Fault {
    let Refusal { error, error_description } = refusal;
    let said = match error_description {
        Some(description) => format!("{error}: {}", crate::output::printable(description)),
        None => error.clone(),
    };
    let fault = Fault::unauthorized(format!("{} gives no token", bare(provider))).cause(said);
    match error.as_str() {
        "invalid_grant" | "expired_token" => fault.hint("`faas auth` signs in again"),
        "invalid_client" => fault.hint("look at --client-id, and at the client's secret"),
        "access_denied" => fault.hint("the sign-in was turned down in the browser"),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636, appendix B.
        let pkce = Pkce::of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(pkce.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn what_is_random_is_another_each_time() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(one != other && one.len() == 43, "{one} {other}");
    }
}
