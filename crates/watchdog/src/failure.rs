//! A call that could not be answered by the function: status and one line for the caller, the reason for the log.

use std::time::Instant;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::Body;
use crate::headers::{DURATION, duration_value};

/// Says that the answer is the invoker's own, as of-watchdog's header of this name does.
pub(crate) const INTERNAL: &str = "x-openfaas-internal";

/// Why the caller gets an answer that isn't the function's.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// For the caller: one line, nothing about the inside.
    pub(crate) message: String,
    /// For the log.
    pub(crate) reason: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), reason: None }
    }

    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The process broke off.
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_GATEWAY, "the function's process broke off; see its log").because(reason)
    }

    /// The process answered, and not as HTTP says.
    pub(crate) fn no_http(reason: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_GATEWAY, "the function answered what is no HTTP; see its log").because(reason)
    }

    /// A time limit was reached.
    pub(crate) fn timeout(limit: &str) -> Self {
        Failure::new(StatusCode::GATEWAY_TIMEOUT, format!("the function did not answer within its {limit}"))
            .because(format!("{limit} reached"))
    }

    /// The function isn't there (yet, or any more).
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn response(self, since: Instant) -> Response<Body> {
        let mut response = Response::new(Body::full(format!("{}\n", self.message)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(INTERNAL, HeaderValue::from_static("faas-watchdog"));
        headers.insert(DURATION, duration_value(since));
        response
    }
}
