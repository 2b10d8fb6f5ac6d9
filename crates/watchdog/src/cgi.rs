//! The request as environment variables, for processes started per request: of-watchdog's `Http_*` and the two more
//! that the classic watchdog gives (`Http_Host`, `Http_ContentLength`).

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;

/// The variables of a request whose body has this many bytes (-1: not known), as the classic watchdog counts.
pub(crate) fn variables(parts: &Parts, length: i64) -> Vec<(String, String)> {
    let mut variables = Vec::with_capacity(parts.headers.len() + 7);
    let mut add = |name: &str, value: String| {
        // The environment can't hold a zero byte.
        if !value.contains('\0') {
            variables.push((name.to_owned(), value));
        }
    };
    for name in parts.headers.keys() {
        // Go keeps these three out of the header map.
        if *name == HOST || *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING {
            continue;
        }
        if let Some(value) = parts.headers.get(name) {
            add(&variable_name(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    add("Http_Method", parts.method.as_str().to_owned());
    add("Http_ContentLength", length.to_string());
    add("Http_Content_Length", length.to_string());
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        add("Http_Transfer_Encoding", "chunked".to_owned());
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        add("Http_Query", query.to_owned());
    }
    if !parts.uri.path().is_empty() {
        add("Http_Path", decoded(parts.uri.path()));
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    if let Some(host) = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str())) {
        add("Http_Host", host.to_owned());
    }
    variables
}

/// `content-type` is `Http_Content_Type`: Go's canonical form with underscores.
fn variable_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len() + 5);
    name.push_str("Http_");
    let mut first = true;
    for character in header.chars() {
        name.push(if character == '-' {
            '_'
        } else if first {
            character.to_ascii_uppercase()
        } else {
            character
        });
        first = character == '-';
    }
    name
}

/// The path with its percent-escapes resolved, as Go's `URL.Path` has it; escapes that are none stay.
fn decoded(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        plain.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn get(variables: &[(String, String)], name: &str) -> Option<String> {
        variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn as_the_watchdogs_name_them() {
        let request = Request::post("/a%20b/%zz?q=1&r")
            .header("host", "fn.example")
            .header("content-type", "text/plain")
            .header("x-call-id", "one")
            .header("x-call-id", "two")
            .header("transfer-encoding", "chunked")
            .body(())
            .unwrap();
        let variables = variables(&request.into_parts().0, -1);
        for (name, value) in [
            ("Http_Content_Type", "text/plain"),
            ("Http_X_Call_Id", "one"),
            ("Http_Method", "POST"),
            ("Http_Path", "/a b/%zz"),
            ("Http_Query", "q=1&r"),
            ("Http_Host", "fn.example"),
            ("Http_ContentLength", "-1"),
            ("Http_Transfer_Encoding", "chunked"),
        ] {
            assert_eq!(get(&variables, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(variables.iter().filter(|(name, _)| name == "Http_Host").count(), 1);
    }

    #[test]
    fn a_zero_byte_can_not_get_in() {
        let request = Request::get("/a%00b").body(()).unwrap();
        assert_eq!(get(&variables(&request.into_parts().0, 0), "Http_Path"), None);
    }
}
