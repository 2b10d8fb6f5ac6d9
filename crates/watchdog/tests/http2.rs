//! HTTP/2 by prior knowledge, as meshes and some gateways speak it to a container.

mod support;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::process::Watchdog;
use tokio::net::TcpStream;

const SERVER: &str = concat!("python3 -u ", env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");

async fn client(watchdog: &Watchdog) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(("127.0.0.1", watchdog.port)).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://fn.example{path}")).body(Full::new(body.into())).unwrap()
}

async fn call(sender: &SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (u16, Bytes) {
    let response = sender.clone().send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn the_function_sees_http_1_and_the_caller_http_2() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let sender = client(&watchdog).await;
    let mut asked = request("/request?a=1", "12345");
    asked.headers_mut().append("cookie", "a=1".parse().unwrap());
    asked.headers_mut().append("cookie", "b=2".parse().unwrap());
    asked.headers_mut().insert("te", "trailers".parse().unwrap());
    let (status, body) = call(&sender, asked).await;
    let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &seen["path"], &seen["length"]), (200, &"/request?a=1".into(), &5.into()));
    assert_eq!(seen["headers"]["host"], "fn.example");
    assert_eq!(seen["headers"]["cookie"], "a=1; b=2");
    assert!(seen["headers"].get("te").is_none());
    assert_eq!(call(&sender, request("/echo?status=418", "tea")).await, (418, Bytes::from("tea")));
    assert_eq!(call(&sender, request("/chunked", "")).await, (200, Bytes::from("onetwothree")));
    let large = Bytes::from(vec![b'z'; 5_000_000]);
    assert_eq!(call(&sender, request("/echo", large.clone())).await, (200, large));
}

#[tokio::test]
async fn calls_at_a_time_over_one_connection() {
    for mode in ["streaming", "serializing"] {
        let watchdog = Watchdog::ready(&[("fprocess", "cat"), ("mode", mode)]);
        let sender = client(&watchdog).await;
        let calls = (0..50).map(|n| {
            let sender = &sender;
            async move { call(sender, request("/", format!("call {n}"))).await == (200, format!("call {n}").into()) }
        });
        let right = futures_util::future::join_all(calls).await.into_iter().filter(|right| *right).count();
        assert_eq!(right, 50, "{mode}");
        // Whoever speaks HTTP/1.1 is heard on the same port.
        assert_eq!(watchdog.get("/_/health"), (200, "OK".into()));
        assert!(watchdog.get("/metrics").1.contains("http_requests_total{code=\"200\",method=\"post\"} 50\n"));
    }
}
