//! The function, by a web server of its own.
use axum::routing::any;
use axum::Router;

/// Serves on 127.0.0.1, port $PORT, until it is ended.
pub async fn handle() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_default();
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, Router::new().fallback(any(answer))).await
}

/// What a request is answered with.
async fn answer(body: String) -> String {
    body
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn it_answers_what_it_is_sent() {
        let mut answer = pin!(answer("hello".into()));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => assert_eq!(answer, "hello"),
            Poll::Pending => panic!("it waits"),
        }
    }
}
