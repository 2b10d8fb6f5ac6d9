//! What a token (JWT) says. Its signature is the gateway's business: the provider itself sent it, over TLS, which is what
//! OpenID Connect asks of a client (Core 1.0, 3.1.3.7).
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use crate::error::{Fault, Result};

/// The claims.
///
/// # Errors
/// When it is no JWT.
pub fn read(token: &str) -> Result<Value> {
    let wrong = || Fault::failed("the token is no JWT").hint("it has three parts with dots between them");
    let payload = token.split('.').nth(1).ok_or_else(wrong)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map_err(|_| wrong())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

/// When a token ends, where it says so.
#[must_use]
pub fn expires(token: &str) -> Option<Timestamp> {
    let exp = read(token).ok()?.get("exp")?.as_f64()?;
    #[allow(clippy::cast_possible_truncation, reason = "seconds")]
    Timestamp::from_second(exp as i64).ok()
}

/// Whether an ID token was made by this provider, for this client, and for this very sign-in.
pub fn meant_for(claims: &Value, issuer: &str, client: &str, nonce: Option<&String>) -> Result<()> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let wrong = |cause: String| Fault::failed("the provider's ID token was refused").cause(cause);
    if text("iss") != issuer {
        return Err(wrong(format!("it is of {}, not of {issuer}", text("iss"))));
    }
    let for_client = match claims.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(all)) => all.iter().any(|one| one == client),
        _ => false,
    };
    if !for_client {
        return Err(wrong(format!("it is not for the client {client}")));
    }
    if nonce.is_some_and(|nonce| text("nonce") != nonce) {
        return Err(wrong("it is not of this sign-in (another nonce)".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn the_end_is_read() {
        assert_eq!(expires(&token(&json!({"exp": 1_800_000_000}))).unwrap().as_second(), 1_800_000_000);
        for none in [token(&json!({})), "opaque".into(), "a.%%%.c".into()] {
            assert_eq!(expires(&none), None, "{none}");
        }
    }

    #[test]
    fn a_token_for_somebody_else_is_refused() {
        let nonce = "n".to_owned();
        let good = json!({"iss": "https://id", "aud": ["x", "cli"], "nonce": "n"});
        meant_for(&good, "https://id", "cli", Some(&nonce)).unwrap();
        for (key, bad) in [("iss", json!("https://other")), ("aud", json!("x")), ("nonce", json!("m"))] {
            let mut claims = good.clone();
            claims[key] = bad;
            meant_for(&claims, "https://id", "cli", Some(&nonce)).unwrap_err();
        }
    }
}
