//! Ways to BuildKit: through an engine's API, upgraded to gRPC, or to a daemon of its own.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::ListWorkersRequest;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use crate::build::engine::chain;
use crate::build::engine::dial::{Address, Line, Stream};

/// How long it may take to answer.
const WAIT: Duration = Duration::from_secs(60);

/// A BuildKit that answers.
pub struct BuildKit {
    /// gRPC to it.
    pub(super) channel: Channel,
    pub(super) address: Address,
    /// Whether it is inside an engine.
    pub(super) inside: bool,
    /// Where it is, for messages.
    pub(super) shown: String,
}

impl BuildKit {
    /// The one inside the engine at `address`.
    ///
    /// # Errors
    /// When the engine has none: its words.
    pub async fn in_engine(address: &Address) -> Result<Self, String> {
        Self::connect(address, true).await
    }

    /// A daemon of its own.
    ///
    /// # Errors
    /// When none answers: why.
    pub async fn daemon(address: &Address) -> Result<Self, String> {
        let daemon = Self::connect(address, false).await?;
        // Only an answer tells a builder from anything else that takes connections.
        let mut control = daemon.control();
        let workers = control.list_workers(ListWorkersRequest::default());
        let answer = tokio::time::timeout(WAIT, workers).await.map_err(|_| "no answer within 60 s".to_owned())?;
        answer.map_err(|status| super::chain(&status))?;
        Ok(daemon)
    }

    async fn connect(address: &Address, inside: bool) -> Result<Self, String> {
        let connector = Connector { address: address.clone(), inside };
        // The name is for the protocol alone: the connector knows where to.
        let endpoint = Endpoint::from_static("http://buildkit").connect_timeout(WAIT);
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| chain(&error))?;
        Ok(Self { channel, address: address.clone(), inside, shown: address.shown.clone() })
    }
}

#[derive(Clone)]
struct Connector {
    address: Address,
    inside: bool,
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = Line;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let Self { address, inside } = self.clone();
        Box::pin(async move {
            let stream = if inside { upgraded(&address, "/grpc", &[]).await? } else { address.dial().await? };
            Ok(Line::new(stream))
        })
    }
}

/// A connection to the engine that is given over to gRPC, as `POST /grpc` and `POST /session` of its API do.
pub(super) async fn upgraded(address: &Address, path: &str, headers: &[(&str, String)]) -> std::io::Result<Stream> {
    let line = Line::new(address.dial().await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(line).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection.with_upgrades());
    let mut request = http::Request::post(path)
        .header("host", "docker")
        .header("connection", "Upgrade")
        .header("upgrade", "h2c")
        .header("content-length", "0");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(std::io::Error::other)?;
    let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(std::io::Error::other(format!("the engine answers {path} with {}", response.status())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(std::io::Error::other)?;
    Ok(Stream::new(TokioIo::new(upgraded)))
}
