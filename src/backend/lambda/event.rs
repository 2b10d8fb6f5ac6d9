//! A call as an event that the function gets, and its answer as an HTTP reply: payload format 2.0, as function URLs and
//! HTTP APIs send it, so that a function sees the same whichever way it is called.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::error::{Fault, OrFault, Result};

/// The header that sends the body itself as the event: `X-Faas-Event: raw`.
pub const RAW: &str = "x-faas-event";

/// Whether the caller asked for its body to be the event.
#[must_use]
pub fn is_raw(headers: &HeaderMap) -> bool {
    headers.get(RAW).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"raw"))
}

/// The event for a call. `path` may hold a query; `now` is in milliseconds since 1970, `id` names the call.
///
/// # Errors
/// A body that is to be the event and is no JSON.
pub fn event(method: &Method, path: &str, headers: &HeaderMap, body: &[u8], now: i64, id: &str) -> Result<Vec<u8>> {
    if is_raw(headers) {
        serde_json::from_slice::<serde::de::IgnoredAny>(body).map_err(|error| {
            Fault::usage("the event is no JSON").cause(error).hint("Lambda takes nothing else; leave out the raw mode")
        })?;
        return Ok(body.to_vec());
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut fields = serde_json::Map::new();
    for name in headers.keys().filter(|name| **name != COOKIE) {
        let values: Vec<_> = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        fields.insert(name.as_str().to_owned(), values.join(",").into());
    }
    let cookies: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| {
            String::from_utf8_lossy(value.as_bytes()).split(';').map(|c| c.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": fields,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "faas",
            "domainName": headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("faas.invoke"),
            "domainPrefix": "faas",
            "http": {
                "method": method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get(http::header::USER_AGENT).and_then(|h| h.to_str().ok()).unwrap_or("faas"),
            },
            "requestId": id,
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": now,
        },
    });
    if !query.is_empty() {
        let mut parameters = serde_json::Map::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match parameters.get_mut(key.as_ref()) {
                Some(Value::String(have)) => have.push_str(&format!(",{value}")),
                _ => {
                    parameters.insert(key.into_owned(), value.into());
                }
            }
        }
        event["queryStringParameters"] = parameters.into();
    }
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    match std::str::from_utf8(body) {
        Ok("") => event["isBase64Encoded"] = false.into(),
        Ok(text) => {
            event["body"] = text.into();
            event["isBase64Encoded"] = false.into();
        }
        Err(_) => {
            event["body"] = STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    serde_json::to_vec(&event).or_fault(|| "the call can't be written as an event".into())
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The reply with this body in the place of its own.
    #[must_use]
    pub fn with(self, body: crate::backend::Body) -> crate::backend::Reply {
        crate::backend::Reply { status: self.status, headers: self.headers, body }
    }
}

/// Status and headers of a streamed answer, and where its body starts: they are JSON and end with eight zero bytes.
/// `None` as long as they are not all there.
///
/// # Errors
/// As [`answer`].
pub fn prelude(bytes: &[u8]) -> Result<Option<(Answer, usize)>> {
    let Some(at) = bytes.windows(8).position(|window| window == [0; 8]).filter(|_| bytes.first() == Some(&b'{')) else {
        return Ok(None);
    };
    match serde_json::from_slice::<Value>(&bytes[..at]) {
        Ok(head) if head.get("statusCode").is_some() => Ok(Some((answer(&bytes[..at], false)?, at + 8))),
        _ => Ok(None),
    }
}

/// The HTTP reply for what a function answered; what is no HTTP answer is a 200 with that as JSON, as for URLs.
///
/// # Errors
/// An HTTP answer with a status, header or body that can't be one.
pub fn answer(payload: &[u8], raw: bool) -> Result<Answer> {
    let plain = |headers: HeaderMap, body: &[u8]| Answer { status: StatusCode::OK, headers, body: body.to_vec() };
    let json = || HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if raw {
        return Ok(plain(json(), payload));
    }
    if let Some((mut head, from)) = prelude(payload)? {
        head.body = payload[from..].to_vec();
        return Ok(head);
    }
    let value: Value = match serde_json::from_slice(payload) {
        Ok(value) => value,
        Err(_) => return Ok(plain(HeaderMap::new(), payload)),
    };
    let Some(status) = value.get("statusCode") else {
        return match value {
            Value::String(text) => Ok(plain(json(), text.as_bytes())),
            _ => Ok(plain(json(), payload)),
        };
    };
    let wrong = |what: &str| Fault::failed(format!("the function answered with {what}"));
    let number = status.as_u64().or_else(|| status.as_str()?.parse().ok());
    let status = number
        .and_then(|number| StatusCode::from_u16(u16::try_from(number).ok()?).ok())
        .ok_or_else(|| wrong(&format!("the status {status}")))?;
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &Value| -> Result<()> {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let name = HeaderName::try_from(name).map_err(|_| wrong(&format!("a header named `{name}`")))?;
        let value = HeaderValue::try_from(text).map_err(|_| wrong(&format!("a header {name} that can't be sent")))?;
        headers.append(name, value);
        Ok(())
    };
    for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
        add(name, value)?;
    }
    for (name, values) in value.get("multiValueHeaders").and_then(Value::as_object).into_iter().flatten() {
        for value in values.as_array().into_iter().flatten() {
            add(name, value)?;
        }
    }
    for cookie in value.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        add(SET_COOKIE.as_str(), cookie)?;
    }
    let encoded = value.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = match value.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if encoded => {
            STANDARD.decode(text).map_err(|error| wrong("a body that is no base64").cause(error))?
        }
        Some(Value::String(text)) => text.as_bytes().to_vec(),
        Some(other) => other.to_string().into_bytes(),
    };
    if !headers.contains_key(CONTENT_TYPE) {
        headers.extend(json());
    }
    Ok(Answer { status, headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn made(method: &str, path: &str, list: &[(&str, &str)], body: &[u8]) -> Value {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        serde_json::from_slice(&event(&method, path, &headers(list), body, 7, "id").unwrap()).unwrap()
    }

    #[test]
    fn a_call_as_an_event() {
        let list = [("X-A", "1"), ("X-A", "2"), ("Cookie", "a=b; c=d"), ("Content-Type", "text/plain")];
        let event = made("PUT", "/x/y%20z?q=1&q=2&e=", &list, b"hello");
        assert_eq!(event["rawPath"], "/x/y%20z");
        assert_eq!(event["rawQueryString"], "q=1&q=2&e=");
        assert_eq!(event["queryStringParameters"], json!({"q": "1,2", "e": ""}));
        assert_eq!(event["headers"], json!({"x-a": "1,2", "content-type": "text/plain"}));
        assert_eq!(event["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(event["requestContext"]["http"]["method"], "PUT");
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("hello"), &json!(false)));
        let binary = made("POST", "/", &[], &[0xff, 0]);
        assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    }

    #[test]
    fn a_raw_event_is_the_body_and_must_be_json() {
        assert_eq!(made("POST", "/", &[("X-Faas-Event", "raw")], b"{\"a\":1}"), json!({"a": 1}));
        let list = headers(&[("x-faas-event", "raw")]);
        assert!(event(&Method::POST, "/", &list, b"nope", 0, "id").is_err());
    }

    #[test]
    fn an_answer_as_a_reply() {
        let payload = json!({
            "statusCode": 201, "headers": {"X-N": 7}, "multiValueHeaders": {"X-M": ["a", "b"]},
            "cookies": ["a=b; Path=/", "c=d"], "body": "/wA=", "isBase64Encoded": true,
        });
        let answer = answer(payload.to_string().as_bytes(), false).unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (201, &[0xff, 0][..]));
        assert_eq!(answer.headers["x-n"], "7");
        assert_eq!(answer.headers.get_all("x-m").iter().count(), 2);
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn a_streamed_answer_has_its_head_before_its_body() {
        let streamed = b"{\"statusCode\":201,\"headers\":{\"x-a\":\"1\"}}\0\0\0\0\0\0\0\0bo\0dy";
        let answer = answer(streamed, false).unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (201, &b"bo\0dy"[..]));
        assert_eq!(answer.headers["x-a"], "1");
        assert_eq!(prelude(&streamed[..45]).unwrap().map(|(_, from)| from), None);
        assert!(prelude(b"{\"a\":1}\0\0\0\0\0\0\0\0").unwrap().is_none());
    }

    #[test]
    fn what_is_no_http_answer_is_json() {
        let plain = |payload: &str| String::from_utf8(answer(payload.as_bytes(), false).unwrap().body).unwrap();
        assert_eq!(plain("{\"a\":1}"), "{\"a\":1}");
        assert_eq!(plain("\"text\""), "text");
        assert_eq!(plain("null"), "null");
        let raw = answer(b"{\"statusCode\":500}", true).unwrap();
        assert_eq!((raw.status, raw.body.as_slice()), (StatusCode::OK, &b"{\"statusCode\":500}"[..]));
        assert!(answer(b"{\"statusCode\":\"x\"}", false).is_err());
    }
}
