//! The function.
use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

/// Answers a request.
pub async fn handle(req: Request<Bytes>) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    Ok(Response::new(Full::new(req.into_body())))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn it_answers() {
        // A test of a handler that waits for something has a runtime, as by #[tokio::test].
        let mut answer = pin!(handle(Request::new(Bytes::from("hello"))));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => assert_eq!(answer.unwrap().status(), 200),
            Poll::Pending => panic!("it waits"),
        }
    }
}
