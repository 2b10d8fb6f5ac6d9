//! Gateway addresses: what the user wrote, and the URLs below it.
use secrecy::SecretString;
use url::Url;

use super::Auth;
use crate::error::{Fault, Result};

/// The address as a URL, its path kept and its case left alone, and the login written in it.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when it is no http or https address.
pub fn parse(address: &str) -> Result<(Url, Option<Auth>)> {
    let trimmed = address.trim();
    let full = if trimmed.contains("://") { trimmed.to_owned() } else { format!("http://{trimmed}") };
    let wrong = |why: String| {
        // The part before `@` may be a password.
        let shown = trimmed.rsplit_once('@').map_or(trimmed, |(_, host)| host);
        Fault::usage(format!("`{shown}` is no gateway address")).cause(why).hint("write it as http://127.0.0.1:8080")
    };
    let mut url = Url::parse(&full).map_err(|e| wrong(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("`{}` is neither http nor https", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment".into()));
    }
    let decode = |text: &str| {
        // `Url` leaves userinfo percent-encoded; the form decoder gives `+` and `&` a meaning that they lack here.
        let plain = text.replace('+', "%2B").replace('&', "%26");
        url::form_urlencoded::parse(plain.as_bytes()).next().map(|(key, _)| key.into_owned()).unwrap_or_default()
    };
    let auth = (!url.username().is_empty()).then(|| Auth::Basic {
        user: decode(url.username()),
        password: SecretString::from(decode(url.password().unwrap_or_default())),
    });
    if auth.is_some() || url.password().is_some() {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Ok((url, auth))
}

/// The URL of `path` below the gateway's own path; every segment is encoded.
///
/// # Errors
/// When a segment would lead somewhere else.
pub fn below(base: &Url, path: &[&str]) -> Result<Url> {
    if let Some(bad) = path.iter().find(|s| matches!(**s, "." | "..")) {
        return Err(Fault::usage(format!("`{bad}` is no name")));
    }
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Fault::usage(format!("`{base}` is no gateway address")))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

/// Whether the address is this machine's own.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn url(text: &str) -> String {
        parse(text).unwrap().0.to_string()
    }

    #[test]
    fn a_scheme_is_added_and_the_path_keeps_its_case() {
        assert_eq!(url("gw.example:8080"), "http://gw.example:8080/");
        assert_eq!(url(" https://gw.example/OpenFaaS/ "), "https://gw.example/OpenFaaS/");
    }

    #[test]
    fn calls_go_below_the_gateways_own_path() {
        let (base, _) = parse("https://h/of/").unwrap();
        assert_eq!(below(&base, &["system", "functions"]).unwrap().as_str(), "https://h/of/system/functions");
        assert_eq!(
            below(&base, &["system", "function", "a/b"]).unwrap().as_str(),
            "https://h/of/system/function/a%2Fb"
        );
        assert!(below(&base, &["system", ".."]).is_err());
    }

    #[test]
    fn a_login_in_the_address_is_taken_out_of_it() {
        let (base, auth) = parse("http://ad%40min:p%3Aw+&1@h:1").unwrap();
        assert_eq!(base.as_str(), "http://h:1/");
        let Some(Auth::Basic { user, password }) = auth else { panic!("no login") };
        assert_eq!((user.as_str(), password.expose_secret()), ("ad@min", "p:w+&1"));
    }

    #[test]
    fn other_schemes_are_refused_without_showing_a_password() {
        let fault = parse("ftp://me:secret@h").unwrap_err();
        assert_eq!(fault.kind, crate::error::Kind::Usage);
        assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
    }
}
