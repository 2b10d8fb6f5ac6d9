//! Headers on their way through: what belongs to one connection only is taken out.

use std::io::Write;
use std::time::Instant;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};

/// How long the function took, in seconds, as of-watchdog says it.
pub(crate) const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The value of [`DURATION`]: six decimals.
pub(crate) fn duration_value(since: Instant) -> HeaderValue {
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{:.6}", since.elapsed().as_secs_f64());
    let length = 32 - rest.len();
    HeaderValue::from_bytes(&text[..length]).unwrap_or(HeaderValue::from_static("0"))
}

/// Takes out what RFC 9110 §7.6.1 says must not be passed on: `Connection`, what it names, and its older relatives.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        // Names inside are rare (`keep-alive` and `close` mean no header), so the vector is mostly empty.
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|name| !name.eq_ignore_ascii_case("close"))
            .filter_map(|name| name.parse().ok())
            // `Connection: content-length` must not make a request's end ambiguous.
            .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, TE, TRAILER, UPGRADE] {
        headers.remove(name);
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
}

/// Makes a request ready for the child: hop-by-hop headers out, `Host` in, the path alone as target.
pub(crate) fn prepare_request(parts: &mut Parts, prefix: &str) {
    remove_hop_by_hop(&mut parts.headers);
    // The server in front has said `100 Continue` by the time the body is read.
    parts.headers.remove(EXPECT);
    if !parts.headers.contains_key(HOST) {
        let host = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        parts.headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
    }
    if !prefix.is_empty() || parts.uri.authority().is_some() {
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if target.starts_with('/') { format!("{prefix}{target}") } else { format!("{prefix}/{target}") };
        if let Ok(uri) = Uri::try_from(target) {
            parts.uri = uri;
        }
    }
    parts.version = http::Version::HTTP_11;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/plain"),
            ("proxy-connection", "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-type"]);
    }

    #[test]
    fn connection_can_not_drop_the_length() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("content-length, host"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        headers.insert(HOST, HeaderValue::from_static("a"));
        remove_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host"]);
    }

    #[test]
    fn the_target_is_the_path() {
        let request = Request::get("http://example.com:8080/a/b?c=d").version(http::Version::HTTP_2).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        prepare_request(&mut parts, "/base");
        assert_eq!(parts.uri.to_string(), "/base/a/b?c=d");
        assert_eq!(parts.headers[HOST], "example.com:8080");
        assert_eq!(parts.version, http::Version::HTTP_11);
    }

    #[test]
    fn seconds_have_six_decimals() {
        let value = duration_value(Instant::now());
        let (_, decimals) = value.to_str().unwrap().split_once('.').unwrap();
        assert_eq!(decimals.len(), 6);
    }
}
