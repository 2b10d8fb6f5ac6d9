//! Lambda's API at the account's rate: a bucket of tokens that all calls of one run share, and patience where AWS says
//! that even that is too fast. The SDK's own retries are by the call: a hundred deploys at once use them up.
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Calls in a second: what AWS allows for all that neither call functions nor read them.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>
const RATE: u32 = 15;
/// Calls that may come at once. AWS tells how fast its own bucket fills, not how large it is: where it is smaller than this, a
/// 429 empties ours.
const BURST: u32 = 60;
/// So long is a call tried again that AWS has no time for.
const PATIENCE: Duration = Duration::from_secs(100);
/// The first and the longest wait between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Tokens: `Bucket` holds the time at which it is full again.
#[derive(Debug)]
struct Bucket(Mutex<Instant>);

impl Bucket {
    async fn take(&self) {
        tokio::time::sleep(self.reserve().await).await;
    }

    /// Takes a token that may still have to come; says in how long it does.
    async fn reserve(&self) -> Duration {
        let every = Duration::from_secs(1) / RATE;
        let mut full = self.0.lock().await;
        let now = Instant::now();
        *full = (*full).max(now) + every;
        full.duration_since(now).saturating_sub(every * BURST)
    }

    /// Nobody takes a token before this time has passed.
    async fn empty(&self, pause: Duration) {
        let mut full = self.0.lock().await;
        let every = Duration::from_secs(1) / RATE;
        *full = (*full).max(Instant::now() + every * BURST + pause);
    }
}

/// A client whose connections keep to the rate.
#[derive(Debug)]
pub struct Paced {
    inner: SharedHttpClient,
    bucket: Arc<Bucket>,
}

impl Paced {
    /// Around another client.
    #[must_use]
    pub fn new(inner: SharedHttpClient) -> Self {
        Self { inner, bucket: Arc::new(Bucket(Mutex::new(Instant::now()))) }
    }
}

impl HttpClient for Paced {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(PacedConnector { inner, bucket: self.bucket.clone() })
    }
}

#[derive(Debug)]
struct PacedConnector {
    inner: SharedHttpConnector,
    bucket: Arc<Bucket>,
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().split('?').next().unwrap_or_default();
        // Calls of functions have limits of their own, and 429 means something else there.
        if path.ends_with("/invocations") || path.ends_with("-invocations") {
            return self.inner.call(request);
        }
        let reads = request.method() == "GET";
        let (inner, bucket) = (self.inner.clone(), self.bucket.clone());
        HttpConnectorFuture::new(async move {
            let until = Instant::now() + PATIENCE;
            let mut pause = PAUSES.0;
            loop {
                if !reads {
                    bucket.take().await;
                }
                // A signature is good for five minutes: the same request can be sent again.
                let Some(again) = request.try_clone() else { return inner.call(request).await };
                let response = inner.call(again).await?;
                if response.status().as_u16() != 429 || Instant::now() + pause > until {
                    return Ok(response);
                }
                bucket.empty(pause).await;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let bucket = Bucket(Mutex::new(Instant::now()));
        for _ in 0..BURST {
            assert_eq!(bucket.reserve().await, Duration::ZERO);
        }
        let mut wait = Duration::ZERO;
        for _ in 0..RATE * 2 {
            wait = bucket.reserve().await;
        }
        assert!(wait > Duration::from_millis(1500) && wait <= Duration::from_secs(2), "{wait:?}");
        bucket.empty(Duration::from_secs(3)).await;
        assert!(bucket.reserve().await > Duration::from_millis(2900));
    }
}
