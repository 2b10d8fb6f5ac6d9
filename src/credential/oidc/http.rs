//! Requests to an identity provider: no redirects, no plain http beyond this machine, no endless answers.
use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::{Fault, OrFault, Result};
use crate::wire::client::{install_tls, trust};

/// The most bytes of an answer.
const MOST: usize = 1 << 20;

/// Makes the requests.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// With certificates that are trusted besides the system's; `verify` off trusts any.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(verify: bool, trusted: &[trust::Certificate]) -> Result<Self> {
        install_tls();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30));
        if !verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if !trusted.is_empty() {
            builder = builder.tls_backend_preconfigured(trust::config(trusted)?);
        }
        Ok(Self(builder.build().or_fault(|| "can't make an HTTP client".into())?))
    }

    /// A form, with the client's login in the header where there is one; the answer, whatever its status.
    pub(super) async fn post(
        &self,
        url: &str,
        login: Option<(String, SecretString)>,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Vec<u8>)> {
        let mut request = self.0.post(safe(url)?).header(http::header::ACCEPT, "application/json").form(form);
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        send(url, request).await
    }

    /// A document of JSON.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T> {
        let (status, bytes) = send(url, self.0.get(safe(url)?)).await?;
        let no_provider = |cause: String| {
            Fault::failed(format!("{url} is not what an OpenID provider says of itself"))
                .cause(cause)
                .hint("--authority is what comes before /.well-known/openid-configuration")
        };
        if status != StatusCode::OK {
            return Err(no_provider(format!("it answers {status}")));
        }
        serde_json::from_slice(&bytes).map_err(|e| no_provider(e.to_string()))
    }
}

async fn send(url: &str, request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>)> {
    let failed = |cause: &dyn std::fmt::Display| {
        Fault::failed(format!("can't reach {url}")).cause(cause).hint("look at --authority and the network")
    };
    let broken = |error: reqwest::Error| {
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        failed(&cause)
    };
    let mut answer = request.send().await.map_err(broken)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST {
            return Err(failed(&"the answer is too long"));
        }
    }
    Ok((answer.status(), bytes))
}

/// The address, when secrets may go there: https, or http on this machine.
pub(super) fn safe(url: &str) -> Result<String> {
    let parsed = Url::parse(url).map_err(|e| Fault::usage(format!("`{url}` is no address")).cause(e))?;
    let here = match parsed.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match parsed.scheme() {
        "https" => Ok(url.into()),
        "http" if here => Ok(url.into()),
        _ => Err(Fault::usage(format!("{url} is not encrypted: a sign-in there could be read on its way"))
            .hint("identity providers have https addresses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_nowhere_in_clear() {
        for good in ["https://id.example.com/x", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost:1"] {
            assert_eq!(safe(good).unwrap(), good);
        }
        for bad in ["http://id.example.com", "http://localhost.example.com", "ftp://127.0.0.1", "id.example.com"] {
            safe(bad).unwrap_err();
        }
    }
}
