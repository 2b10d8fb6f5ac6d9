//! The end of a sign-in in the browser: it is led to an address of this machine (RFC 8252), with the code.
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Callback;
use crate::error::{Fault, OrFault, Result};

const PATH: &str = "/oauth/callback";
const LAST_PAGE: Duration = Duration::from_secs(1);

/// Listens on this machine only; the address to be led to.
pub async fn listen(callback: &Callback) -> Result<(TcpListener, String)> {
    let Callback { host, port } = callback;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).await.map_err(|error| {
        Fault::failed(format!("can't listen on port {port} of this machine, where the browser is to be led"))
            .cause(error)
            .hint("--listen-port takes another; the provider must know its address, too")
    })?;
    let port = listener.local_addr().or_fault(|| "can't tell the port".into())?.port();
    let scheme = if host.contains("://") { "" } else { "http://" };
    Ok((listener, format!("{scheme}{}:{port}{PATH}", host.trim_end_matches('/'))))
}

/// Waits for the browser; the code that it brings. What doesn't belong to this sign-in is not taken.
pub async fn code(listener: TcpListener, state: &str) -> Result<String> {
    let (sender, mut receiver) = mpsc::channel(1);
    let mut browsers = JoinSet::new();
    let came = loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let (sender, state) = (sender.clone(), state.to_owned());
                browsers.spawn(async move {
                    let service = service_fn(|request| answer(request, &state, &sender));
                    let mut http = hyper::server::conn::http1::Builder::new();
                    // One that has gone comes again, or the sign-in runs into its time limit.
                    let _ = http.keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(came) = receiver.recv() => break came,
        }
    };
    // The page that says so is still on its way; a browser may also hold connections that it says nothing on.
    let _ = tokio::time::timeout(LAST_PAGE, async { while browsers.join_next().await.is_some() {} }).await;
    came
}

async fn answer(
    request: http::Request<Incoming>,
    state: &str,
    sender: &mpsc::Sender<Result<String>>,
) -> Result<Response<String>, Infallible> {
    let page = |status: StatusCode, text: &str| {
        let mut page = Response::new(format!("<!doctype html><title>faas</title><p>{text}</p>\n"));
        *page.status_mut() = status;
        let html = http::HeaderValue::from_static("text/html; charset=utf-8");
        page.headers_mut().insert(http::header::CONTENT_TYPE, html);
        Ok(page)
    };
    if request.uri().path() != PATH {
        return page(StatusCode::NOT_FOUND, "Nothing is here.");
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let value = |name: &str| url::form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value);
    if value("state").as_deref() != Some(state) {
        return page(StatusCode::BAD_REQUEST, "This is not of the sign-in that is under way.");
    }
    match (value("code"), value("error")) {
        (Some(code), None) => {
            let _ = sender.try_send(Ok(code.into_owned()));
            page(StatusCode::OK, "You are signed in, and can close this window.")
        }
        (_, error) => {
            let why = value("error_description").or(error).unwrap_or("it brought no code".into());
            let fault = Fault::unauthorized("the provider ended the sign-in").cause(&why);
            let _ = sender.try_send(Err(fault));
            page(StatusCode::OK, "The sign-in was ended. You can close this window.")
        }
    }
}
