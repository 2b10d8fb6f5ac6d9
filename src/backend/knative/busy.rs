//! An API server that has too much to do, or that starts or ends, is asked again: for as long as somebody at a prompt
//! waits without a word, and no longer. What the kube crate does by itself takes up to eight minutes.
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::time::{Instant, Sleep};
use tower::BoxError;
use tower::buffer::BufferLayer;
use tower::retry::{Policy, RetryLayer};
use tower::util::MapErrLayer;

use crate::wire::retry_after;

/// The wait before the first repetition; each is twice the one before.
const FIRST: Duration = Duration::from_millis(100);
/// The longest of those waits.
const LONGEST: Duration = Duration::from_secs(4);
/// How long a call is repeated, all in all.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many calls may wait to be sent.
const WAITING: usize = 1024;

/// A client whose calls are repeated when the API server says that it can't just now.
///
/// # Errors
/// A configuration that no client can be made of; a credential plugin that fails.
pub fn client(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let plain = ClientBuilder::try_from(config)?;
    let repeated = RetryLayer::new(Patience::default());
    let addressed = MapErrLayer::new(move |error: BoxError| match error.is::<kube::Error>() {
        true => error,
        false => Unanswered { address: address.clone(), why: error }.into(),
    });
    Ok(plain.with_layer(&BufferLayer::new(WAITING)).with_layer(&repeated).with_layer(&addressed).build())
}

/// What kept a call from being answered, with the address that was called.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
struct Unanswered {
    address: String,
    #[source]
    why: BoxError,
}

/// How far the patience with one call has come.
#[derive(Debug, Clone, Copy, Default)]
struct Patience {
    end: Option<Instant>,
    repeated: u32,
}

impl Patience {
    /// How long to wait before the call is sent again; `None` when that is no use, or was tried for long enough.
    fn wait(&mut self, now: Instant, method: &Method, status: StatusCode, after: Option<Duration>) -> Option<Duration> {
        let may_pass = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => true,
            // Who makes something may have made it.
            StatusCode::GATEWAY_TIMEOUT => method != Method::POST,
            _ => false,
        };
        if !may_pass {
            return None;
        }
        let end = *self.end.get_or_insert(now + PATIENCE);
        let own = FIRST.saturating_mul(1 << self.repeated.min(16)).min(LONGEST);
        self.repeated += 1;
        let wait = after.map_or(own, |after| after.max(own));
        (now + wait <= end).then_some(wait)
    }
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Patience {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let answer = result.as_ref().ok()?;
        let wait = self.wait(Instant::now(), request.method(), answer.status(), retry_after(answer.headers()))?;
        tracing::info!("the API server says {}: asking again in {wait:?}", answer.status());
        Some(tokio::time::sleep(wait))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut copy = Request::new(request.body().try_clone()?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        let (mut now, mut waits) = (start, Vec::new());
        while let Some(wait) = patience.wait(now, &Method::PATCH, StatusCode::SERVICE_UNAVAILABLE, None) {
            waits.push(wait);
            now += wait;
        }
        assert!(waits.len() > 5 && waits[0] == FIRST && waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert!(now - start <= PATIENCE && now - start > PATIENCE - LONGEST, "{waits:?}");
    }

    fn ask(method: &Method, status: StatusCode, after: Option<u64>) -> Option<Duration> {
        Patience::default().wait(Instant::now(), method, status, after.map(Duration::from_secs))
    }

    #[test]
    fn what_the_server_asks_for_is_waited_unless_that_is_too_long() {
        let busy = |after| ask(&Method::GET, StatusCode::TOO_MANY_REQUESTS, Some(after));
        assert_eq!(busy(3), Some(Duration::from_secs(3)));
        assert_eq!(busy(0), Some(FIRST));
        assert_eq!(busy(3600), None);
    }

    #[test]
    fn only_what_may_pass_and_was_not_done_is_repeated() {
        let asked = |method, status| ask(&method, status, None).is_some();
        assert!(asked(Method::POST, StatusCode::SERVICE_UNAVAILABLE));
        assert!(asked(Method::GET, StatusCode::GATEWAY_TIMEOUT));
        assert!(!asked(Method::POST, StatusCode::GATEWAY_TIMEOUT));
        assert!(!asked(Method::GET, StatusCode::INTERNAL_SERVER_ERROR));
        assert!(!asked(Method::GET, StatusCode::NOT_FOUND));
    }
}
