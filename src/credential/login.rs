//! A login as it is kept: a user and password, or a token and how the next one is had.
use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::wire::client::Auth;

/// The user that says "what follows is a token", as Docker's credential helpers have it.
const TOKEN_USER: &str = "<token>";
/// The key of the token where it is kept together with what renews it.
const TOKEN: &str = "token";

/// A login.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// There is none.
    #[default]
    None,
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Token(Token),
}

/// A token, and how the next one is had.
#[derive(Debug, Clone)]
pub struct Token {
    /// What the gateway is shown.
    pub bearer: SecretString,
    /// Who gives the next one; `None` for one that was handed over as it is.
    pub renewal: Option<Renewal>,
}

/// How the next token is had.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Who gives it.
    pub provider: Provider,
    /// What is shown for it; without one, the client's own secret.
    pub refresh: Option<SecretString>,
    /// Whether the gateway exchanges the provider's token for one of its own.
    pub exchange: bool,
    /// When the token at hand ends.
    pub expires: Option<Timestamp>,
}

/// An identity provider, and who asks it.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its address: what comes before `/.well-known/openid-configuration`.
    pub authority: String,
    /// The client's name there.
    pub client_id: String,
    /// The client's secret, where it has one.
    pub client_secret: Option<SecretString>,
    /// What is asked for, separated by spaces.
    pub scope: String,
    /// For whom the token is to be, where the provider wants to be told.
    pub audience: Option<String>,
}

impl Login {
    /// What a call shows.
    #[must_use]
    pub fn auth(&self) -> Auth {
        match self {
            Self::None => Auth::None,
            Self::Basic { user, password } => Auth::Basic { user: user.clone(), password: password.clone() },
            Self::Token(token) => Auth::Bearer(token.bearer.clone()),
        }
    }

    /// As a user and one secret, for places that keep no more than that.
    pub(super) fn as_secret(&self) -> (String, SecretString) {
        match self {
            Self::None => (String::new(), SecretString::from("")),
            Self::Basic { user, password } => (user.clone(), password.clone()),
            Self::Token(Token { bearer, renewal: None }) => (TOKEN_USER.into(), bearer.clone()),
            Self::Token(Token { bearer, renewal: Some(renewal) }) => {
                let mut all: BTreeMap<&str, String> = renewal.pairs().into_iter().collect();
                all.insert(TOKEN, bearer.expose_secret().to_owned());
                (TOKEN_USER.into(), SecretString::from(serde_json::json!(all).to_string()))
            }
        }
    }

    /// What [`Login::as_secret`] made; a token that another program put there is taken as it is.
    pub(super) fn of_secret(user: String, secret: SecretString) -> Self {
        if user != TOKEN_USER {
            return Self::Basic { user, password: secret };
        }
        let all: Option<BTreeMap<String, String>> = serde_json::from_str(secret.expose_secret()).ok();
        match all.as_ref().and_then(|all| Some((all, all.get(TOKEN)?))) {
            Some((all, bearer)) => Self::Token(Token {
                bearer: SecretString::from(bearer.clone()),
                renewal: Renewal::of(|name| all.get(name).cloned()),
            }),
            None => Self::Token(Token { bearer: secret, renewal: None }),
        }
    }
}

impl Renewal {
    /// By name, without what isn't there.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let Provider { authority, client_id, client_secret, scope, audience } = &self.provider;
        let open = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let all = [
            ("authority", Some(authority.clone())),
            ("client_id", Some(client_id.clone())),
            ("client_secret", open(client_secret)),
            ("scope", Some(scope.clone())),
            ("audience", audience.clone()),
            ("refresh_token", open(&self.refresh)),
            ("exchange", Some(self.exchange.to_string())),
            ("expires", self.expires.map(|at| at.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What [`Renewal::pairs`] made; `None` when who gives tokens is not among it.
    pub(super) fn of(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let provider = Provider {
            authority: get("authority")?,
            client_id: get("client_id")?,
            client_secret: get("client_secret").map(SecretString::from),
            scope: get("scope").unwrap_or_default(),
            audience: get("audience"),
        };
        Some(Self {
            provider,
            refresh: get("refresh_token").map(SecretString::from),
            exchange: get("exchange").is_some_and(|value| value == "true"),
            expires: get("expires").and_then(|at| at.parse().ok()),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn renewing(bearer: &str) -> Login {
        let provider = Provider {
            authority: "https://id.example.com".into(),
            client_id: "cli".into(),
            client_secret: None,
            scope: "openid profile".into(),
            audience: None,
        };
        let renewal = Renewal {
            provider,
            refresh: Some(SecretString::from("again")),
            exchange: true,
            expires: Some("2026-11-30T10:00:00Z".parse().unwrap()),
        };
        Login::Token(Token { bearer: SecretString::from(bearer), renewal: Some(renewal) })
    }

    #[test]
    fn a_login_comes_back_as_it_went() {
        let (user, secret) = renewing("a.b.c").as_secret();
        let Login::Token(Token { bearer, renewal: Some(renewal) }) = Login::of_secret(user, secret) else { panic!() };
        assert_eq!(bearer.expose_secret(), "a.b.c");
        assert_eq!(renewal.refresh.unwrap().expose_secret(), "again");
        assert_eq!((renewal.exchange, renewal.provider.scope.as_str()), (true, "openid profile"));
        assert_eq!(renewal.expires.unwrap().to_string(), "2026-11-30T10:00:00Z");
        assert!(renewal.provider.client_secret.is_none() && renewal.provider.audience.is_none());
    }

    #[test]
    fn a_token_of_another_program_is_one() {
        for secret in ["a.b.c", "{\"iss\": 1}"] {
            let Login::Token(token) = Login::of_secret("<token>".into(), secret.into()) else { panic!() };
            assert_eq!((token.bearer.expose_secret(), token.renewal.is_none()), (secret, true));
        }
    }

    #[test]
    fn nothing_of_it_is_in_debug() {
        let shown = format!("{:?}", renewing("sEcReT"));
        assert!(!shown.contains("sEcReT") && !shown.contains("again"), "{shown}");
    }
}
