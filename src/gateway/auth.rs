//! The usher's door: who may ask, under which host name, and from which web page.
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};

use super::answer::{self, Answer, Refused};
use super::{USER, files};
use crate::error::{OrFault, Result};

/// Reads the token's file; makes it, with 256 random bits, when there is none.
pub(super) fn ensure_token(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).or_fault(|| format!("can't read the token in {}", path.display()));
        }
        _ => {}
    }
    let mut random = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .or_fault(|| "can't get random bytes for the token".into())?;
    let token = BASE64_URL_SAFE_NO_PAD.encode(random);
    files::private_file(path, token.as_bytes()).or_fault(|| format!("can't write the token to {}", path.display()))?;
    Ok(token)
}

/// Lets calls in, or says why not.
pub(super) struct Guard {
    credentials: blake3::Hash,
    listens: IpAddr,
    hosts: Vec<String>,
}

impl Guard {
    /// For a listener at `address`, whose calls may also name `hosts`.
    pub fn new(token: &str, address: SocketAddr, hosts: &[String]) -> Self {
        Self {
            credentials: blake3::hash(format!("{USER}:{token}").as_bytes()),
            listens: address.ip(),
            hosts: hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether the call comes with user and token. Digests are compared, in constant time.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, value)| BASE64_STANDARD.decode(value.trim()).ok())
            .is_some_and(|credentials| blake3::hash(&credentials) == self.credentials)
    }

    /// The answer to a call without them.
    pub fn unknown() -> Answer {
        let mut answer = answer::text(StatusCode::UNAUTHORIZED, "invalid credentials");
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Restricted\""));
        answer
    }

    /// Refuses a host name that is not this machine's: a web page may have pointed its own name here.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        // A function sees the header, too, where a whole address is the target.
        let named = headers.get_all(HOST).iter().filter_map(|value| value.to_str().ok());
        let named = uri.authority().map(|authority| authority.as_str()).into_iter().chain(named);
        let Some(host) = named.map(without_port).find(|host| !self.is_ours(host)) else { return Ok(()) };
        Err(Refused::new(
            StatusCode::FORBIDDEN,
            format_args!(
                "the embedded platform is not called `{host}`: ask for 127.0.0.1 or localhost, or allow the name with \
                 `faas local start --allow-host {host}`"
            ),
        ))
    }

    /// Refuses a web page of another origin.
    pub fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let authority = uri.authority().map(|a| a.as_str()).or_else(|| headers.get(HOST)?.to_str().ok());
        let same = origin
            .to_str()
            .ok()
            .and_then(|o| o.strip_prefix("http://").or_else(|| o.strip_prefix("https://")))
            .is_some_and(|o| Some(o) == authority);
        if same {
            return Ok(());
        }
        Err(Refused::new(StatusCode::FORBIDDEN, "web pages of another origin may not use this API (header Origin)"))
    }

    fn is_ours(&self, host: &str) -> bool {
        let loopback_name = host == "localhost" || host.ends_with(".localhost");
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        // An address can't be pointed elsewhere, as a name can; whoever listens everywhere is meant by each of them.
        let address = literal.is_ok_and(|ip| ip.is_loopback() || ip == self.listens || self.listens.is_unspecified());
        loopback_name || address || self.hosts.iter().any(|allowed| allowed == host)
    }
}

/// A host without its port, in lower case.
fn without_port(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str) -> Guard {
        Guard::new("secret", listen.parse().unwrap(), &["box.lan".into()])
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse::<http::HeaderName>().unwrap(), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn only_the_right_user_and_token_are_known() {
        let guard = guard("127.0.0.1:8080");
        let basic = |text: &str| headers(&[("authorization", &format!("Basic {}", BASE64_STANDARD.encode(text)))]);
        assert!(guard.knows(&basic("admin:secret")));
        for wrong in ["admin:", "admin:secret2", "root:secret", ""] {
            assert!(!guard.knows(&basic(wrong)), "{wrong}");
        }
        assert!(!guard.knows(&headers(&[])));
        assert!(!guard.knows(&headers(&[("authorization", "Bearer secret")])));
    }

    #[test]
    fn a_name_that_may_be_pointed_here_is_refused() {
        let uri = Uri::from_static("/system/functions");
        let asks = |listen: &str, host: &str| guard(listen).check_host(&uri, &headers(&[("host", host)])).is_ok();
        for good in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "box.lan:8080", "a.localhost"] {
            assert!(asks("127.0.0.1:8080", good), "{good}");
        }
        for bad in ["evil.example:8080", "10.0.0.1:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!asks("127.0.0.1:8080", bad), "{bad}");
        }
        assert!(asks("10.0.0.1:8080", "10.0.0.1:8080"));
        assert!(asks("0.0.0.0:8080", "10.0.0.1:8080"));
        assert!(!asks("0.0.0.0:8080", "evil.example:8080"));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let uri = Uri::from_static("/system/functions");
        let asks = |origin: &str| {
            let headers = headers(&[("host", "127.0.0.1:8080"), ("origin", origin)]);
            guard("127.0.0.1:8080").check_origin(&uri, &headers).is_ok()
        };
        assert!(asks("http://127.0.0.1:8080"));
        for bad in ["http://evil.example", "null", "http://127.0.0.1:9090"] {
            assert!(!asks(bad), "{bad}");
        }
    }

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = ensure_token(&path).unwrap();
        assert!(token.len() >= 43);
        assert_eq!(ensure_token(&path).unwrap(), token);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
