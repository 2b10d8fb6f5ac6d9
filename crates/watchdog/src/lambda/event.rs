//! Events as HTTP requests and replies as answers: function URLs and HTTP APIs (payload 2.0), REST APIs (payload 1.0),
//! load balancers; anything else is POSTed to `/` as it is.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Map, Value, json};

/// Where an event comes from, which says how its answer must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// A function URL or an HTTP API.
    Version2,
    /// A REST API.
    Version1,
    /// A load balancer; whether it wants lists of header values.
    LoadBalancer { lists: bool },
    /// No HTTP.
    Raw,
}

/// A call as an HTTP request.
#[derive(Debug, Clone)]
pub struct Event {
    from: From,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What the caller's side says about the call, as JSON.
    pub context: Option<String>,
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer, as JSON.
    Answer(Bytes),
    /// It failed: retried, when it was asynchronous.
    Error {
        /// What sort of error.
        of: String,
        /// Its message.
        message: String,
    },
}

impl Event {
    /// Reads an event. What is no HTTP call becomes a POST of the event itself.
    pub fn read(payload: &Bytes) -> Self {
        let value: Value = serde_json::from_slice(payload).unwrap_or_default();
        http_event(&value).unwrap_or_else(|| {
            let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let raw = (HeaderName::from_static("x-faas-event"), HeaderValue::from_static("raw"));
            Event {
                from: From::Raw,
                method: Method::POST,
                target: Uri::from_static("/"),
                headers: HeaderMap::from_iter([json, raw]),
                body: payload.clone(),
                context: None,
            }
        })
    }

    /// Whether whoever called takes its answer piece by piece: only function URLs do, and what calls as they do.
    pub fn can_stream(&self) -> bool {
        self.from == From::Version2
    }

    /// What stands before a streamed answer: status and headers, and eight zero bytes.
    pub fn prelude(&self, status: StatusCode, headers: &HeaderMap) -> Bytes {
        let mut head = self.answer(status, headers, &Bytes::new());
        if let Some(head) = head.as_object_mut() {
            head.remove("body");
            head.remove("isBase64Encoded");
        }
        let mut bytes = head.to_string().into_bytes();
        bytes.extend_from_slice(&[0; 8]);
        bytes.into()
    }

    /// The answer for a reply.
    pub fn outcome(&self, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Outcome {
        if self.from != From::Raw {
            return Outcome::Answer(self.answer(status, headers, body).to_string().into());
        }
        let text = String::from_utf8_lossy(body);
        if status.is_server_error() {
            let message = text.trim().to_owned();
            let message = if message.is_empty() { status.to_string() } else { message };
            return Outcome::Error { of: format!("HTTP{}", status.as_u16()), message };
        }
        if body.is_empty() {
            return Outcome::Answer(Bytes::from_static(b"null"));
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(_) => Outcome::Answer(body.clone()),
            Err(_) => match std::str::from_utf8(body) {
                Ok(text) => Outcome::Answer(Value::from(text).to_string().into()),
                Err(_) => Outcome::Answer(Value::from(STANDARD.encode(body)).to_string().into()),
            },
        }
    }

    fn answer(&self, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Value {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let own = |name: &&HeaderName| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
        let all = |name: &HeaderName| headers.get_all(name).iter().map(text).collect::<Vec<String>>();
        let (content, encoded) = match as_text(headers, body) {
            Some(text) => (text.to_owned(), false),
            None => (STANDARD.encode(body), true),
        };
        let mut answer = json!({"statusCode": status.as_u16(), "body": content, "isBase64Encoded": encoded});
        match self.from {
            From::Version2 | From::Raw => {
                let names = headers.keys().filter(own).filter(|name| **name != SET_COOKIE);
                let joined: Map<String, Value> =
                    names.map(|name| (name.to_string(), all(name).join(", ").into())).collect();
                answer["headers"] = joined.into();
                if headers.contains_key(SET_COOKIE) {
                    answer["cookies"] = all(&SET_COOKIE).into();
                }
            }
            From::Version1 | From::LoadBalancer { lists: true } => {
                let lists: Map<String, Value> =
                    headers.keys().filter(own).map(|name| (name.to_string(), all(name).into())).collect();
                answer["multiValueHeaders"] = lists.into();
            }
            From::LoadBalancer { lists: false } => {
                let last: Map<String, Value> = headers
                    .keys()
                    .filter(own)
                    .map(|name| (name.to_string(), all(name).pop().unwrap_or_default().into()))
                    .collect();
                answer["headers"] = last.into();
            }
        }
        if matches!(self.from, From::LoadBalancer { .. }) {
            let reason = status.canonical_reason().unwrap_or_default();
            answer["statusDescription"] = format!("{} {reason}", status.as_u16()).trim_end().into();
        }
        answer
    }
}

/// The body as it can stand in JSON; `None` when it must be encoded: text that is declared as something else may be
/// changed on its way by whoever handles it as text.
fn as_text<'b>(headers: &HeaderMap, body: &'b [u8]) -> Option<&'b str> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded"]
            .contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml");
    let packed = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    (is_text && !packed).then(|| std::str::from_utf8(body).ok()).flatten()
}

fn http_event(event: &Value) -> Option<Event> {
    let context = event.get("requestContext")?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    };
    let lists = event.get("multiValueHeaders").and_then(Value::as_object);
    match lists {
        Some(lists) => {
            for (name, values) in lists {
                values.as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|value| add(name, value));
            }
        }
        None => {
            for (name, value) in event.get("headers").and_then(Value::as_object).into_iter().flatten() {
                add(name, value.as_str().unwrap_or_default());
            }
        }
    }
    let (from, method, target) = match (text(event, "rawPath"), text(event, "httpMethod")) {
        (Some(path), _) => {
            let cookies: Vec<&str> = event
                .get("cookies")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if !cookies.is_empty() {
                headers.remove(COOKIE);
                headers.insert(COOKIE, HeaderValue::try_from(cookies.join("; ")).ok()?);
            }
            let query = text(event, "rawQueryString").unwrap_or_default();
            (From::Version2, text(context.get("http")?, "method")?, target(&path, &query)?)
        }
        (None, Some(method)) => {
            let from = match context.get("elb") {
                Some(_) => From::LoadBalancer { lists: lists.is_some() },
                None => From::Version1,
            };
            let path = text(event, "path").unwrap_or_else(|| "/".into());
            // A load balancer hands the query on as it came, a REST API decodes it.
            let query = query(event, from == From::Version1);
            (from, method, target(&path, &query)?)
        }
        (None, None) => return None,
    };
    let body = text(event, "body").unwrap_or_default();
    let body = match event.get("isBase64Encoded").and_then(Value::as_bool) {
        Some(true) => STANDARD.decode(body).ok()?,
        _ => body.into_bytes(),
    };
    // The connection's own fields are for whoever made it; and what comes by HTTP is no other event, whatever it says.
    let raw = HeaderName::from_static("x-faas-event");
    for name in [TRANSFER_ENCODING, http::header::CONNECTION, http::header::UPGRADE, raw] {
        headers.remove(name);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some(Event { from, method, target, headers, body: body.into(), context: Some(context.to_string()) })
}

fn query(event: &Value, encode: bool) -> String {
    let mut pairs: Vec<String> = Vec::new();
    let said = |text: &str| if encode { encoded(text) } else { text.to_owned() };
    if let Some(lists) = event.get("multiValueQueryStringParameters").and_then(Value::as_object) {
        for (key, values) in lists {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            pairs.extend(values.map(|value| format!("{}={}", said(key), said(value))));
        }
    } else if let Some(single) = event.get("queryStringParameters").and_then(Value::as_object) {
        let value = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pairs.extend(single.iter().map(|(key, v)| format!("{}={}", said(key), said(&value(v)))));
    }
    pairs.join("&")
}

/// Percent-encoded, apart from RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn target(path: &str, query: &str) -> Option<Uri> {
    // REST APIs decode paths; what can't stand in one is encoded again.
    let mut clean = String::with_capacity(path.len() + query.len() + 1);
    for c in path.chars() {
        match c {
            '!'..='~' if !matches!(c, '"' | '<' | '>' | '?' | '#' | '`' | '{' | '}' | '\\' | '^' | '|') => {
                clean.push(c)
            }
            other => clean.push_str(&encoded(other.encode_utf8(&mut [0; 4]))),
        }
    }
    if !clean.starts_with('/') {
        clean.insert(0, '/');
    }
    if !query.is_empty() {
        clean.push('?');
        clean.push_str(query);
    }
    clean.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &Value) -> Event {
        Event::read(&event.to_string().into())
    }

    fn answered(event: &Event, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Value {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        match event.outcome(status, &map, &Bytes::copy_from_slice(body)) {
            Outcome::Answer(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Outcome::Error { of, message } => json!({"of": of, "message": message}),
        }
    }

    fn url(body: &str, encoded: bool) -> Value {
        json!({
            "version": "2.0", "rawPath": "/a%20b", "rawQueryString": "x=1&y=%20", "cookies": ["a=1", "b=2"],
            "headers": {"x-many": "1,2", "content-type": "text/plain", "connection": "close", "x-faas-event": "raw"},
            "requestContext": {"http": {"method": "PUT"}}, "body": body, "isBase64Encoded": encoded,
        })
    }

    #[test]
    fn a_url_call_is_an_http_request() {
        let event = read(&url("/wA=", true));
        assert_eq!((event.method.as_str(), event.target.to_string().as_str()), ("PUT", "/a%20b?x=1&y=%20"));
        assert_eq!(&event.body[..], [0xff, 0]);
        assert_eq!(event.headers["cookie"], "a=1; b=2");
        assert_eq!(event.headers["content-length"], "2");
        assert!(!event.headers.contains_key("connection") && !event.headers.contains_key("x-faas-event"));
        assert_eq!(&read(&url("plain", false)).body[..], b"plain");
    }

    #[test]
    fn a_reply_to_a_url_call() {
        let event = read(&url("", false));
        let headers =
            [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-A", "1"), ("X-A", "2"), ("Content-Length", "3")];
        assert_eq!(
            answered(&event, 201, &headers, b"yes"),
            json!({
                "statusCode": 201, "body": "yes", "isBase64Encoded": false,
                "headers": {"x-a": "1, 2"}, "cookies": ["a=1", "b=2"],
            })
        );
        let binary = answered(&event, 200, &[("Content-Type", "application/octet-stream")], b"text");
        assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("dGV4dA=="), &json!(true)));
        let packed = answered(&event, 200, &[("Content-Type", "text/html"), ("Content-Encoding", "br")], b"x");
        assert_eq!(packed["isBase64Encoded"], true);
        assert_eq!(answered(&event, 200, &[], &[0xff])["isBase64Encoded"], true);
    }

    #[test]
    fn rest_apis_and_load_balancers() {
        let mut event = json!({
            "httpMethod": "GET", "path": "/a b", "requestContext": {},
            "multiValueHeaders": {"X-A": ["1", "2"]}, "multiValueQueryStringParameters": {"q": ["a b", "c&d"]},
        });
        let rest = read(&event);
        assert_eq!(rest.target.to_string(), "/a%20b?q=a%20b&q=c%26d");
        assert_eq!(rest.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(answered(&rest, 200, &[("X", "1")], b"")["multiValueHeaders"], json!({"x": ["1"]}));

        event["requestContext"] = json!({"elb": {}});
        event["multiValueQueryStringParameters"] = json!({"q": ["a%20b"]});
        let balancer = read(&event);
        assert_eq!(balancer.target.to_string(), "/a%20b?q=a%20b");
        assert_eq!(answered(&balancer, 404, &[], b"")["statusDescription"], "404 Not Found");
    }

    #[test]
    fn other_events_are_posted_and_answered_as_they_are() {
        for payload in [&b"{\"Records\":[1]}"[..], b"7", b"\"x\"", b"{\"requestContext\":{}}"] {
            let event = Event::read(&Bytes::copy_from_slice(payload));
            assert_eq!((event.method.as_str(), event.target.path(), &event.body[..]), ("POST", "/", payload));
            assert_eq!(event.headers["x-faas-event"], "raw");
        }
        let event = read(&json!([]));
        assert_eq!(answered(&event, 200, &[], b"{\"a\":1}"), json!({"a": 1}));
        assert_eq!(answered(&event, 200, &[], b"text"), json!("text"));
        assert_eq!(answered(&event, 204, &[], b""), json!(null));
        assert_eq!(answered(&event, 404, &[], b"no"), json!("no"));
        assert_eq!(answered(&event, 502, &[], b"broken\n"), json!({"of": "HTTP502", "message": "broken"}));
    }
}
