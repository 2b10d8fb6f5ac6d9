//! The login that is kept for a gateway; a token that is about to end is renewed first.
#[cfg(feature = "openfaas")]
use std::sync::Arc;

use secrecy::ExposeSecret;

use super::GatewayFlags;
use crate::context::Context;
use crate::credential::Logins;
use crate::error::Result;
#[cfg(feature = "openfaas")]
use crate::wire::client::EARLY;
use crate::wire::client::{Auth, Renewal as Again};

/// What calls of this gateway show, and how that is renewed when it ends within the command.
///
/// # Errors
/// When the login can't be read, or its provider wants somebody to sign in again.
pub fn auth(context: &Context, flags: &GatewayFlags, gateway: &str) -> Result<(Auth, Option<Again>)> {
    let logins = Logins::new(&context.env, &context.cwd, &context.dirs);
    let found = logins.find(gateway)?;
    found.warnings.iter().for_each(|warning| context.out.warn(warning));
    let login = renewed(context, flags, gateway, &logins, found.login)?;
    let again = again(context, flags, gateway, &login);
    Ok((login.auth(), again))
}

#[cfg(feature = "openfaas")]
use crate::credential::login::{Login, Renewal, Token};

#[cfg(feature = "openfaas")]
fn renewed(context: &Context, flags: &GatewayFlags, gateway: &str, logins: &Logins, login: Login) -> Result<Login> {
    use crate::credential::oidc;
    let due = |login: &Login| match login {
        Login::Token(Token { renewal: Some(renewal), .. }) => {
            renewal.expires.is_some_and(|at| at < jiff::Timestamp::now() + EARLY) && oidc::renews(renewal)
        }
        _ => false,
    };
    if !due(&login) {
        tell_when_over(context, &login);
        return Ok(login);
    }
    logins.renew(gateway, |login| {
        // Another command may have been first.
        let Login::Token(Token { renewal: Some(renewal), .. }) = login else { return Ok(None) };
        if !due(login) {
            return Ok(None);
        }
        tracing::info!("renewing the token for {gateway} at {}", renewal.provider.authority);
        let tls = super::tls(context, flags)?;
        let http = oidc::Http::new(tls.verify_tls, &tls.trusted)?;
        let tokens = crate::runtime::block_on(oidc::renew(renewal, &http));
        match tokens {
            Ok(tokens) => {
                let renewal = Renewal { refresh: tokens.refresh.clone(), ..renewal.clone() };
                token(context, flags, gateway, &tokens, renewal).map(|token| Some(Login::Token(token)))
            }
            // What is there may do for this one command.
            Err(fault) if renewal.expires.is_some_and(|at| at > jiff::Timestamp::now()) => {
                context.out.warn(format_args!("the token for {gateway} can't be renewed: {fault}"));
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    })
}

/// How to get the next token, when this one ends within the command.
#[cfg(feature = "openfaas")]
fn again(context: &Context, flags: &GatewayFlags, gateway: &str, login: &Login) -> Option<Again> {
    let ends = |login: &Login| match login {
        Login::Token(Token { renewal: Some(renewal), .. }) if crate::credential::oidc::renews(renewal) => {
            renewal.expires
        }
        _ => None,
    };
    let (context, flags, gateway) = (context.clone(), flags.clone(), gateway.to_owned());
    let next = move || {
        let logins = Logins::new(&context.env, &context.cwd, &context.dirs);
        let login = renewed(&context, &flags, &gateway, &logins, logins.find(&gateway)?.login)?;
        Ok((login.auth(), ends(&login)))
    };
    Some(Again { ends: ends(login)?, again: Arc::new(next) })
}

#[cfg(not(feature = "openfaas"))]
fn again(_: &Context, _: &GatewayFlags, _: &str, _: &crate::credential::login::Login) -> Option<Again> {
    None
}

#[cfg(feature = "openfaas")]
fn tell_when_over(context: &Context, login: &Login) {
    if let Login::Token(token) = login {
        let written = token.renewal.as_ref().and_then(|renewal| renewal.expires);
        let end = written.or_else(|| crate::credential::oidc::expires(token.bearer.expose_secret()));
        if let Some(end) = end.filter(|end| *end < jiff::Timestamp::now()) {
            context.out.warn(format_args!("the login's token ended at {end}: `faas auth` gets another"));
        }
    }
}

/// The token to keep: the provider's, or what the gateway gives for it.
///
/// # Errors
/// When the gateway doesn't take it.
#[cfg(feature = "openfaas")]
pub fn token(
    context: &Context,
    flags: &GatewayFlags,
    gateway: &str,
    tokens: &crate::credential::oidc::Tokens,
    renewal: Renewal,
) -> Result<Token> {
    let (bearer, expires, exchanged) = exchanged(context, flags, gateway, tokens.subject(), renewal.exchange)?
        .map_or_else(
            || (tokens.subject().clone(), tokens.expires(), false),
            |(bearer, expires)| (bearer, expires, true),
        );
    Ok(Token { bearer, renewal: Some(Renewal { expires, exchange: exchanged, ..renewal }) })
}

/// The gateway's token for another, and its end; `None` when none is wanted, or the gateway has no such thing.
///
/// # Errors
/// When the gateway doesn't take it.
#[cfg(feature = "openfaas")]
pub fn exchanged(
    context: &Context,
    flags: &GatewayFlags,
    gateway: &str,
    subject: &secrecy::SecretString,
    wanted: bool,
) -> Result<Option<(secrecy::SecretString, Option<jiff::Timestamp>)>> {
    if !wanted {
        return Ok(None);
    }
    let client = crate::wire::client::Client::new(gateway, super::tls(context, flags)?)?;
    let Some(exchanged) = crate::runtime::block_on(client.exchange(subject))? else {
        context.out.note("this gateway exchanges no tokens: it is shown the provider's own");
        return Ok(None);
    };
    let lasts = exchanged.expires_in.and_then(|seconds| jiff::SignedDuration::try_from_secs_f64(seconds).ok());
    let told = lasts.and_then(|lasts| jiff::Timestamp::now().checked_add(lasts).ok());
    let end = crate::credential::oidc::expires(exchanged.access_token.expose_secret()).or(told);
    Ok(Some((exchanged.access_token, end)))
}

#[cfg(not(feature = "openfaas"))]
#[allow(clippy::unnecessary_wraps, reason = "the other one fails")]
fn renewed(
    _: &Context,
    _: &GatewayFlags,
    _: &str,
    _: &Logins,
    login: crate::credential::login::Login,
) -> Result<crate::credential::login::Login> {
    Ok(login)
}
