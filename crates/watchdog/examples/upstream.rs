//! The upstream of the bench: the fastest plausible function, a hyper server that answers with the request's length.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let length = request.into_body().collect().await?.to_bytes().len();
    Ok(Response::new(Full::new(Bytes::from(format!("{length} bytes\n")))))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Like a function: on the port it is told. of-watchdog tells none, its bench does.
    let port: u16 = std::env::var("PORT").or_else(|_| std::env::var("port"))?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
        tokio::spawn(async move { Ok::<_, Infallible>(connection.await) });
    }
}
