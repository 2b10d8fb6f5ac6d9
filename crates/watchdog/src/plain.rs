//! What hyper lets through of a request's head and another server on the way may understand in another way.

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, StatusCode, Version};

const HOSTS: &str = "a request needs one Host header, with a host and perhaps a port";

/// Why a request is not to be taken, and the status to refuse it with (RFC 9112 §3.2, §6.1); its connection is to be
/// closed after that.
pub fn ambiguous<B>(request: &Request<B>) -> Option<(StatusCode, &'static str)> {
    let bad = |why| Some((StatusCode::BAD_REQUEST, why));
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return bad("CONNECT is for proxies, and this is none");
    }
    if uri.scheme().is_none() && uri.authority().is_some() {
        return bad("the target must be a path that begins with /, or a whole address");
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match hosts.next() {
        None if request.version() == Version::HTTP_11 => return bad(HOSTS),
        None => {}
        Some(host) if hosts.next().is_some() || !is_host(host) => return bad(HOSTS),
        Some(_) => {}
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let understood = codings.next().is_none_or(chunked) && codings.next().is_none();
    (!understood).then_some((StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked is understood"))
}

/// `uri-host [":" port]`, of which any may be empty: what else there is in an address belongs nowhere else.
fn is_host(host: &HeaderValue) -> bool {
    host.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: http::request::Builder) -> Option<u16> {
        ambiguous(&request.body(()).unwrap()).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn what_is_plain_is_taken() {
        for (target, host) in [
            ("/", "x"),
            ("/a?b=http://c", "[::1]:8080"),
            ("*", ""),
            // Whose Host means nothing (RFC 9112 §3.2.2).
            ("http://other.example/a", "example.com"),
            ("/", "a_b.example:99"),
        ] {
            assert_eq!(status(Request::get(target).header(HOST, host)), None, "{target} {host}");
        }
        assert_eq!(status(Request::get("/").version(Version::HTTP_10)), None);
        assert_eq!(status(Request::get("http://x/").version(Version::HTTP_2)), None);
    }

    #[test]
    fn what_is_not_is_refused() {
        for (target, host) in [("foo", "foo"), ("foo:80", "foo:80"), ("/", "a b/c"), ("/", "a/b"), ("/", "me@x")] {
            assert_eq!(status(Request::get(target).header(HOST, host)), Some(400), "{target} {host}");
        }
        assert_eq!(status(Request::get("/")), Some(400));
        assert_eq!(status(Request::connect("a.b:80").header(HOST, "a.b:80")), Some(400));
        assert_eq!(status(Request::get("/").header(HOST, "x").header(HOST, "x")), Some(400));
    }
}
