//! What registries answer when they don't do as asked: whether it may pass, and what the user can do.
use std::error::Error;

use oci_client::errors::{DigestError, OciDistributionError as OciError, OciEnvelope, OciErrorCode};

use super::login::{HUB, server};
use crate::error::{Fault, Kind};

/// The HTTP status behind an error, where one is known.
fn status(error: &OciError) -> Option<u16> {
    match error {
        OciError::ServerError { code, .. } => Some(*code),
        OciError::UnauthorizedError { .. } | OciError::AuthenticationFailure(_) => Some(401),
        OciError::ImageManifestNotFoundError(_) => Some(404),
        OciError::RequestError(error) => error.status().map(|status| status.as_u16()),
        OciError::RegistryError { envelope, .. } => envelope.errors.first().and_then(|error| match error.code {
            OciErrorCode::Unauthorized => Some(401),
            OciErrorCode::Denied => Some(403),
            OciErrorCode::Toomanyrequests => Some(429),
            OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound
            | OciErrorCode::BlobUnknown => Some(404),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether it may go well the next time.
pub fn may_pass(error: &OciError) -> bool {
    match status(error) {
        Some(code) => code >= 500 || code == 429 || code == 408,
        None => match error {
            OciError::RequestError(error) => !error.is_builder() && !is_tls(error),
            OciError::IoError(_) => true,
            _ => false,
        },
    }
}

/// Whether a registry may be refusing that a blob comes in several pieces.
pub fn is_about_pieces(error: &OciError) -> bool {
    matches!(error, OciError::ServerError { code: 400 | 404 | 405 | 411 | 416 | 501, .. })
}

fn is_tls(error: &dyn Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.to_string().contains("certificate") {
            return true;
        }
        source = inner.source();
    }
    false
}

/// Whether something came that has another digest.
fn is_another(error: &OciError) -> bool {
    match error {
        OciError::DigestError(_) => true,
        // What comes as a stream is checked as it is read.
        OciError::IoError(error) => error.get_ref().is_some_and(|inner| inner.is::<DigestError>()),
        _ => false,
    }
}

/// Whether the thing asked for is not there.
pub fn is_missing(error: &OciError) -> bool {
    status(error) == Some(404)
}

/// The registry's own words, on one line and not longer than one can read.
pub fn said(error: &OciError) -> String {
    let text = match error {
        OciError::ServerError { code, .. } if *code < 400 => {
            format!("{}, where no registry answers so", answered(*code, ""))
        }
        OciError::ServerError { code, message, .. } => match envelope(message) {
            Some(envelope) => answered(*code, &words(&envelope)),
            None if message.trim_start().starts_with('<') => answered(*code, ""),
            None => answered(*code, message.trim()),
        },
        OciError::RegistryError { envelope, .. } => match status(error) {
            Some(code) => answered(code, &words(envelope)),
            None => words(envelope),
        },
        OciError::RequestError(error) => {
            let error: &dyn Error = error;
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text
        }
        other => other.to_string(),
    };
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    crate::wire::page::squeeze(&plain)
}

/// `500 Internal Server Error`, and what came with it.
fn answered(code: u16, words: &str) -> String {
    let reason = http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default();
    let colon = if words.is_empty() { "" } else { ": " };
    format!("{code} {reason}{colon}{words}")
}

/// The errors in an answer to an upload, which the client leaves as they came.
fn envelope(body: &str) -> Option<OciEnvelope> {
    serde_json::from_str(body).ok().filter(|envelope: &OciEnvelope| !envelope.errors.is_empty())
}

fn words(envelope: &OciEnvelope) -> String {
    let one = |error: &oci_client::errors::OciError| {
        let code = serde_json::to_value(&error.code).ok();
        let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or_default().to_lowercase();
        format!("{code}: {}", error.message)
    };
    envelope.errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The fault for the user.
pub fn fault(message: String, host: &str, known: bool, error: &OciError) -> Fault {
    let cause = said(error);
    let hub = server(host) == HUB;
    let login = if hub { "docker login".to_owned() } else { format!("docker login {host}") };
    let (kind, hint) = match status(error) {
        Some(401) if known => {
            (Kind::Unauthorized, format!("the login that is kept was refused: log in again by `{login}`"))
        }
        Some(401) => (Kind::Unauthorized, format!("no login is kept for it: `{login}`, or `faas registry-login`")),
        Some(403) => (Kind::Unauthorized, "the login has no right to do this: check the path in `image:`".to_owned()),
        Some(404) => (Kind::NotFound, "check the registry and the path in `image:`".to_owned()),
        Some(..=399) => (
            Kind::Failed,
            "what answers there is no registry: check the host in `image:`, and what stands before it".to_owned(),
        ),
        Some(413) => (
            Kind::Failed,
            "it is too large for the registry or for a proxy before it: raise the limit there \
             (nginx: `client_max_body_size`), or make the layer smaller"
                .to_owned(),
        ),
        Some(429) => {
            (Kind::Failed, "the registry takes no more for now: log in, or wait and use a smaller --parallel".into())
        }
        Some(500..) => (Kind::Failed, "the registry is in trouble: try again later".to_owned()),
        _ => match error {
            _ if is_another(error) => (
                Kind::Failed,
                "what came is not what was asked for: a proxy or the registry's storage is broken".to_owned(),
            ),
            OciError::RequestError(error) if is_tls(error) => (
                Kind::Failed,
                format!(
                    "put the certificate of its CA in /etc/docker/certs.d/{host}/ca.crt, or name it in FAAS_REGISTRY_CA"
                ),
            ),
            OciError::RequestError(error) if error.is_timeout() => {
                (Kind::TimedOut, "FAAS_REGISTRY_TIMEOUT=2m waits longer".to_owned())
            }
            OciError::RequestError(error) if error.is_connect() => {
                (Kind::Failed, "is the registry running, and the name in `image:` right?".to_owned())
            }
            _ => return Fault::failed(message).cause(cause),
        },
    };
    Fault::new(kind, message).cause(cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> OciError {
        OciError::ServerError { code, url: "https://r.example/v2/".into(), message: message.into() }
    }

    #[test]
    fn trouble_that_may_pass_is_told_from_refusals() {
        for (code, passes) in [(500, true), (503, true), (429, true), (408, true), (403, false), (404, false)] {
            assert_eq!(may_pass(&answer(code, "")), passes, "{code}");
        }
        assert!(!may_pass(&OciError::UnauthorizedError { url: String::new() }));
    }

    #[test]
    fn words_are_plain_and_short() {
        assert_eq!(said(&answer(503, "<html>…")), "503 Service Unavailable");
        let envelope = r#"{"errors": [{"code": "DENIED", "message": "not yours"}]}"#;
        assert_eq!(said(&answer(403, envelope)), "403 Forbidden: denied: not yours");
        assert_eq!(said(&answer(500, "a\u{1b}[31m\nb")), "500 Internal Server Error: a [31m b");
        assert!(said(&answer(500, &"x".repeat(5000))).len() < 450);
    }

    #[test]
    fn each_refusal_has_a_way_out() {
        let hint = |known, error: &OciError| fault("x".into(), "r.example", known, error).hint.unwrap();
        let refused = OciError::UnauthorizedError { url: String::new() };
        assert!(hint(false, &refused).contains("docker login r.example"));
        assert!(hint(true, &refused).contains("log in again"));
        assert_eq!(fault("x".into(), "r.example", true, &answer(403, "")).kind, Kind::Unauthorized);
        assert_eq!(fault("x".into(), "r.example", true, &answer(404, "")).kind, Kind::NotFound);
        assert!(hint(true, &answer(413, "")).contains("client_max_body_size"));
        assert!(hint(true, &answer(200, "<html>")).contains("no registry"));
        assert_eq!(said(&answer(200, "<html>")), "200 OK, where no registry answers so");
    }
}
