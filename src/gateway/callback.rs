//! Callbacks: a queued call's answer is posted where the caller asked for it.
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http_body_util::{BodyExt, Limited};

use super::answer::Answer;
use super::invoke::{CALL_ID, DURATION};
use super::record::QueuedCall;

const FUNCTION_NAME: HeaderName = HeaderName::from_static("x-function-name");
const FUNCTION_STATUS: HeaderName = HeaderName::from_static("x-function-status");
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a callback that can't be reached is tried.
const TRIES: u32 = 3;

/// Posts callbacks.
#[derive(Default)]
pub(super) struct Callbacks(OnceLock<reqwest::Client>);

impl Callbacks {
    /// Reads the answer to its end, and posts it when the call asked for that.
    pub async fn tell(&self, call: &QueuedCall, answer: Answer, took: Duration, limit: u64) {
        let (parts, body) = answer.into_parts();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Some(url) = &call.callback else {
            // Read all the same: only then has the function done its work.
            let mut body = body;
            while let Some(Ok(_)) = body.frame().await {}
            return;
        };
        let body = match Limited::new(body, limit).collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(e) => {
                tracing::warn!("the answer to async call {} was cut: {e}", call.call_id);
                Bytes::new()
            }
        };
        let mut headers = parts.headers;
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let mut set = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        set(CALL_ID, &call.call_id);
        set(DURATION, &format!("{:.6}", took.as_secs_f64()));
        set(FUNCTION_NAME, &call.called);
        set(FUNCTION_STATUS, parts.status.as_str());
        for attempt in 1..=TRIES {
            let post = self.client().post(url).headers(headers.clone()).body(body.clone()).timeout(TIMEOUT);
            let failure = match post.send().await {
                Ok(taken) if !taken.status().is_server_error() => return,
                Ok(refused) => format!("it answered {}", refused.status()),
                Err(e) => format!("{e}"),
            };
            tracing::warn!("callback of async call {} (try {attempt} of {TRIES}): {failure}", call.call_id);
            if attempt < TRIES {
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
            }
        }
    }

    fn client(&self) -> &reqwest::Client {
        self.0.get_or_init(|| {
            crate::wire::client::install_tls();
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(5)).build().unwrap_or_default()
        })
    }
}
