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

/// Calls in a second of everything that has no quota of its own, and of GetFunction, which has one.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>
const RATE: u32 = 15;
const READS: u32 = 100;
/// How many seconds' calls may come at once. AWS says what an account may do in a second and not how much of that it saves up
/// while nothing is asked: one second's worth is what the quota promises.
const SAVED: u32 = 1;
/// Where GetFunction's names start.
const FUNCTIONS: &str = "/2015-03-31/functions/";
/// So long is a call tried again that AWS has no time for.
const PATIENCE: Duration = Duration::from_secs(100);
/// The first and the longest wait between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Tokens: the time at which the bucket is full again, and how many come in a second.
#[derive(Debug)]
struct Bucket {
    full: Mutex<Instant>,
    rate: u32,
}

impl Bucket {
    fn new(rate: u32) -> Self {
        Self { full: Mutex::new(Instant::now()), rate }
    }

    async fn take(&self) {
        tokio::time::sleep(self.reserve().await).await;
    }

    /// The time until an empty bucket is full.
    const fn whole() -> Duration {
        Duration::from_secs(SAVED as u64)
    }

    /// Takes a token that may still have to come; says in how long it does.
    async fn reserve(&self) -> Duration {
        let mut full = self.full.lock().await;
        let now = Instant::now();
        *full = (*full).max(now) + Duration::from_secs(1) / self.rate;
        full.duration_since(now).saturating_sub(Self::whole())
    }

    /// Nobody takes a token before this time has passed.
    async fn empty(&self, pause: Duration) {
        let mut full = self.full.lock().await;
        *full = (*full).max(Instant::now() + Self::whole() + pause);
    }
}

/// The account's quotas.
#[derive(Debug)]
struct Quotas {
    control: Bucket,
    reads: Bucket,
}

impl Quotas {
    /// The one that a request counts against; `None` for calls of functions, which have limits of their own, and 429
    /// means something else there.
    fn of(&self, method: &str, path: &str) -> Option<&Bucket> {
        if path.ends_with("/invocations") || path.ends_with("-invocations") {
            return None;
        }
        let path = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        let name = path.strip_prefix(FUNCTIONS).unwrap_or_default();
        let reads = method == "GET" && !name.is_empty() && !name.contains('/');
        Some(if reads { &self.reads } else { &self.control })
    }
}

/// A client whose connections keep to the rate.
#[derive(Debug)]
pub struct Paced {
    inner: SharedHttpClient,
    quotas: Arc<Quotas>,
}

impl Paced {
    /// Around another client.
    #[must_use]
    pub fn new(inner: SharedHttpClient) -> Self {
        let quotas = Quotas { control: Bucket::new(RATE), reads: Bucket::new(READS) };
        Self { inner, quotas: Arc::new(quotas) }
    }
}

impl HttpClient for Paced {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(PacedConnector { inner, quotas: self.quotas.clone() })
    }
}

#[derive(Debug)]
struct PacedConnector {
    inner: SharedHttpConnector,
    quotas: Arc<Quotas>,
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().split('?').next().unwrap_or_default().to_owned();
        let method = request.method().to_owned();
        let (inner, quotas) = (self.inner.clone(), self.quotas.clone());
        HttpConnectorFuture::new(async move {
            let Some(bucket) = quotas.of(&method, &path) else { return inner.call(request).await };
            let until = Instant::now() + PATIENCE;
            let mut pause = PAUSES.0;
            loop {
                bucket.take().await;
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
    async fn a_seconds_worth_goes_at_once_and_the_rest_at_the_rate() {
        let bucket = Bucket::new(RATE);
        for _ in 0..RATE {
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

    #[test]
    fn get_function_has_a_quota_of_its_own_and_calls_have_none_here() {
        let quotas = Quotas { control: Bucket::new(RATE), reads: Bucket::new(READS) };
        let rate = |method: &str, path: &str| {
            quotas
                .of(method, &format!("https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions{path}"))
                .map(|b| b.rate)
        };
        assert_eq!(rate("GET", "/tax"), Some(READS));
        assert_eq!(rate("GET", "/tax/aliases/live"), Some(RATE));
        assert_eq!(rate("GET", "/"), Some(RATE));
        assert_eq!(rate("DELETE", "/tax"), Some(RATE));
        assert_eq!(rate("POST", ""), Some(RATE));
        assert_eq!(rate("POST", "/tax/invocations"), None);
    }
}
