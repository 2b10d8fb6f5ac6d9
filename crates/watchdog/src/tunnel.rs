//! WebSocket: a connection of its own to the child, which turns into a tunnel when the child agrees.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Body;
use crate::body::{Deadline, Exchange, RequestBody, Stalled};
use crate::failure::Failure;
use crate::headers::{prepare_request, remove_hop_by_hop};
use crate::link::Endpoint;
use crate::ticket::Ticket;
use crate::upstream::{explain, overran};

/// Whether a request asks for a WebSocket. Other upgrades (`h2c`, which some clients offer with every request) are
/// declined by leaving them out, as HTTP allows.
pub(crate) fn asked_for(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Passes the request on. On 101 the ticket lives until the tunnel ends, however long that is.
pub(crate) async fn open(
    endpoint: Arc<Endpoint>,
    mut parts: Parts,
    ticket: &mut Option<Ticket>,
    deadline: Deadline,
) -> Result<Response<Body>, Failure> {
    let caller = parts.extensions.remove::<OnUpgrade>();
    prepare_request(&mut parts, &endpoint.prefix);
    ask_for_websocket(&mut parts.headers);
    let ask = async {
        let stream = TcpStream::connect(endpoint.address)
            .await
            .map_err(|error| Failure::broken(format!("can't connect to {}: {error}", endpoint.address)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| explain(&error))?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(Request::from_parts(parts, RequestBody::Empty)).await.map_err(|error| explain(&error))
    };
    let mut response = deadline.limit(ask).await.map_err(|expired| overran(&endpoint, ticket, &expired))??;
    let mut ticket = ticket.take();
    if let Some(ticket) = &mut ticket {
        ticket.answered(response.status(), None);
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (mut head, incoming) = response.into_parts();
        remove_hop_by_hop(&mut head.headers);
        // No link: the connection has a task of its own, and ends with this response.
        let (stalled, heard) = (Stalled::default(), Instant::now());
        let exchange = Exchange { incoming, link: None, endpoint, ticket, deadline, stalled, heard, broken: None };
        return Ok(Response::from_parts(head, Body::child(exchange)));
    }
    let child = hyper::upgrade::on(&mut response);
    let Some(caller) = caller else {
        return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "this connection can't become a WebSocket"));
    };
    tokio::spawn(async move {
        if let Ok((caller, child)) = tokio::try_join!(caller, child) {
            // Either side may just go away: that is how most of these end.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(child)).await;
        }
        drop(ticket);
    });
    let (mut head, _) = response.into_parts();
    remove_hop_by_hop(&mut head.headers);
    ask_for_websocket(&mut head.headers);
    Ok(Response::from_parts(head, Body::full(Bytes::new())))
}

fn ask_for_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
