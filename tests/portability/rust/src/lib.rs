//! The probe of the portability matrix.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{json, Value};

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub async fn handle(req: Request<Bytes>) -> Result<Response<Body>, String> {
    let text = |name: &str| {
        let values = req.headers().get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(if name == "cookie" { "; " } else { ", " })
    };
    let query = fields(req.uri().query().unwrap_or_default());
    let path = decoded(req.uri().path());
    if path.starts_with("/inspect") {
        let method = req.method().as_str();
        return data(json!({
            "method": method, "path": path, "query": query, "two": text("x-two"), "cookie": text("cookie"),
        }));
    }
    match path.as_str() {
        "/echo" => {
            let kind = Some(text("content-type")).filter(|kind| !kind.is_empty()).unwrap_or_else(|| "none".into());
            made(Response::builder().header("content-type", kind), req.into_body())
        }
        "/status" => made(Response::builder().status(query["code"].as_str()), format!("status {}", query["code"])),
        "/answer" => match query.get("value") {
            Some(value) => made(Response::builder().header("x-value", value), "b"),
            None => made(Response::builder(), "b"),
        },
        "/redirect" => made(Response::builder().status(302).header("location", "/elsewhere"), ""),
        "/cookies" => {
            made(Response::builder().header("set-cookie", "a=1; Path=/").header("set-cookie", "b=2"), "set")
        }
        "/json" => data(json!({"tax": 4.7, "of": ["grüß", null, true]})),
        "/text" => made(Response::builder(), "grüß"),
        "/stream" => {
            let words = stream::unfold(["one\n", "two\n", "three\n"].iter(), |mut words| async {
                if words.len() < 3 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                let word = words.next()?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(word.as_bytes()))), words))
            });
            Ok(Response::new(StreamBody::new(words).boxed_unsync()))
        }
        "/error" => Err("no subtotal".into()),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            made(Response::builder(), "slow")
        }
        "/environment" => made(Response::builder(), std::env::var("PROBE").unwrap_or_else(|_| "none".into())),
        "/secret" => {
            let folder = std::env::var("FAAS_SECRETS_DIR").unwrap_or_else(|_| "/var/openfaas/secrets".into());
            let secret = std::fs::read_to_string(format!("{folder}/portability-key"));
            made(Response::builder(), secret.map_err(|error| error.to_string())?)
        }
        _ => made(Response::builder().status(404), "no such path"),
    }
}

fn made(builder: http::response::Builder, body: impl Into<Bytes>) -> Result<Response<Body>, String> {
    builder.body(Full::new(body.into()).boxed_unsync()).map_err(|error| error.to_string())
}

fn data(value: Value) -> Result<Response<Body>, String> {
    made(Response::builder().header("content-type", "application/json"), value.to_string())
}

fn fields(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decoded(k), decoded(v))).collect()
}

fn decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        match text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
