//! The probe of the portability matrix, by a web server of its own.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use futures_util::stream;
use serde_json::json;

type Fields = Query<BTreeMap<String, String>>;

pub async fn handle() -> std::io::Result<()> {
    let app = Router::new()
        .route("/echo", any(echo))
        .route("/inspect", any(|method, query, headers| inspect(None, method, query, headers)))
        .route("/inspect/*rest", any(|Path(rest): Path<String>, method, query, headers| inspect(Some(rest), method, query, headers)))
        .route("/status", any(status))
        .route("/redirect", any(|| async { (StatusCode::FOUND, [("location", "/elsewhere")]) }))
        .route("/cookies", any(|| async { (AppendHeaders([("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2")]), "set") }))
        .route("/json", any(|| async { Json(json!({"tax": 4.7, "of": ["grüß", null, true]})) }))
        .route("/text", any(|| async { "grüß" }))
        .route("/stream", any(words))
        .route("/error", any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no subtotal") }))
        .route("/slow", any(slow))
        .route("/environment", any(|| async { std::env::var("PROBE").unwrap_or_else(|_| "none".into()) }))
        .route("/secret", any(secret))
        .layer(DefaultBodyLimit::disable());
    let port = std::env::var("PORT").unwrap_or_default();
    axum::serve(tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?, app).await
}

async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("none").to_owned();
    ([("content-type", kind)], body).into_response()
}

async fn inspect(rest: Option<String>, method: Method, Query(query): Fields, headers: HeaderMap) -> Response {
    let text = |name: &str, between: &str| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(between)
    };
    let path = rest.map_or_else(|| "/inspect".to_owned(), |rest| format!("/inspect/{rest}"));
    let (two, cookie) = (text("x-two", ", "), text("cookie", "; "));
    Json(json!({"method": method.as_str(), "path": path, "query": query, "two": two, "cookie": cookie})).into_response()
}

async fn status(Query(query): Fields) -> Response {
    let code = query["code"].parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
    (code, format!("status {}", query["code"])).into_response()
}

async fn words() -> Response {
    let words = stream::unfold(["one\n", "two\n", "three\n"].iter(), |mut words| async {
        if words.len() < 3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let word = words.next()?;
        Some((Ok::<_, Infallible>(Bytes::from_static(word.as_bytes())), words))
    });
    ([("content-type", "text/plain; charset=utf-8")], Body::from_stream(words)).into_response()
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(500)).await;
    "slow"
}

async fn secret() -> Result<String, (StatusCode, String)> {
    let folder = std::env::var("FAAS_SECRETS_DIR").unwrap_or_else(|_| "/var/openfaas/secrets".into());
    let secret = std::fs::read_to_string(format!("{folder}/portability-key"));
    secret.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
