//! OpenFaaS's token exchange (`/oauth/token`): a token of an identity provider for one of the gateway, or that one for a
//! token that a function takes.
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Client, address};
use crate::error::{OrFault, Result};

/// What came for a token.
#[derive(Debug, Deserialize)]
pub struct Exchanged {
    /// The new one.
    pub access_token: SecretString,
    /// For how many seconds it is good.
    #[serde(default)]
    pub expires_in: Option<f64>,
}

/// Sends it; with an audience (`NAMESPACE:FUNCTION`), for a token to call with. The fields are in faas-cli's order.
pub async fn send(client: &Client, token: &SecretString, audience: Option<&str>, what: &str) -> Result<Exchanged> {
    let mut form = Vec::new();
    form.extend(audience.map(|audience| ("audience", audience)));
    form.push(("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"));
    form.extend(audience.map(|_| ("scope", "function")));
    form.push(("subject_token", token.expose_secret()));
    form.push(("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"));
    let url = address::below(&client.base, &["oauth", "token"])?;
    let request = client.system()?.request(Method::POST, url).timeout(client.options.timeout).form(&form);
    client.send(request, what).await?.accept(what)?.json()
}

/// As the value of `Authorization`.
pub fn header(exchanged: &Exchanged, what: String) -> Result<http::HeaderValue> {
    let text = format!("Bearer {}", exchanged.access_token.expose_secret());
    let mut value = http::HeaderValue::from_str(&text).or_fault(|| what)?;
    value.set_sensitive(true);
    Ok(value)
}
