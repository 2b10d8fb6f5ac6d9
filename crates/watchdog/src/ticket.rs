//! A call under way: counted from its arrival to the last byte of its answer, then measured and logged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri};

use crate::failure::Failure;
use crate::invoker::Shared;
use crate::link::Endpoint;
use crate::metrics;
use crate::supervisor::Phase;

/// A call under way. Dropped, the call has ended.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    pub(crate) since: Instant,
    /// The status it was answered with; 499 (as nginx says it) when the caller went away before.
    code: u16,
    /// Bytes of the answer's body so far.
    pub(crate) bytes: u64,
    method: &'static str,
    call_id: Option<HeaderValue>,
    /// When requests are logged.
    line: Option<(Method, Uri)>,
}

impl Ticket {
    pub(crate) fn admit(shared: &Arc<Shared>, parts: &Parts) -> Result<Self, Failure> {
        let before = shared.in_flight.fetch_add(1, Ordering::SeqCst);
        let config = &shared.config;
        let agent = parts.headers.get(http::header::USER_AGENT);
        // The kubelet's probes would drown everything else, as of-watchdog found.
        let probe = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe"));
        // Made before the checks: dropping it takes the count back and writes the figures.
        let mut ticket = Ticket {
            shared: shared.clone(),
            since: Instant::now(),
            code: 499,
            bytes: 0,
            method: metrics::label(&parts.method),
            call_id: call_id(parts).cloned(),
            line: (config.log_requests && !probe).then(|| (parts.method.clone(), parts.uri.clone())),
        };
        let limit = config.max_inflight;
        let refused = if shared.draining() {
            Failure::unavailable("the function is stopping")
        } else if limit > 0 && before >= limit as usize {
            let message = format!("Concurrent request limit exceeded. Max concurrent requests: {limit}");
            Failure::new(StatusCode::TOO_MANY_REQUESTS, message)
        } else {
            return Ok(ticket);
        };
        ticket.answered(refused.status, Some(refused.message.len() as u64 + 1));
        Err(refused)
    }

    /// The head of its answer is there; with it the whole body, of this many bytes, or one that is still to come.
    pub(crate) fn answered(&mut self, status: StatusCode, bytes: Option<u64>) {
        self.code = status.as_u16();
        self.bytes = bytes.unwrap_or(self.bytes);
    }

    /// No more calls for this child: they wait for the next one, or go to another replica.
    pub(crate) fn turn_away(&self, endpoint: &Endpoint) {
        self.shared.phase.send_if_modified(|phase| {
            let now = matches!(phase, Phase::Ready(ready) if std::ptr::eq(&raw const **ready, endpoint));
            if now {
                *phase = Phase::Starting(None);
            }
            now
        });
    }

    /// Words about this call for the log.
    pub(crate) fn note(&self, message: &str) {
        match self.call_id.as_ref().and_then(|id| id.to_str().ok()) {
            Some(id) => self.shared.logs.note_of(message, id),
            None => self.shared.logs.note(message),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.shared.metrics.observe(self.code, self.method, took);
        if let Some((method, target)) = &self.line {
            self.shared.logs.call(&CallLine {
                method,
                target,
                status: self.code,
                bytes: self.bytes,
                took,
                call_id: self.call_id.as_ref().and_then(|id| id.to_str().ok()),
                tagged: self.shared.config.log_call_id,
            });
        }
        if self.shared.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.shared.draining() {
            self.shared.quiet.notify_waiters();
        }
    }
}

/// What the gateway calls this call.
pub(crate) fn call_id(parts: &Parts) -> Option<&HeaderValue> {
    parts.headers.get("x-call-id").filter(|id| !id.is_empty())
}

/// A call that has ended, for the log. Shown, it is of-watchdog's line.
#[derive(Debug)]
pub struct CallLine<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Its path and query.
    pub target: &'a Uri,
    /// The answer's status; 499 when the caller went away before.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request's head to the answer's last byte.
    pub took: Duration,
    /// The request's `X-Call-Id`.
    pub call_id: Option<&'a str>,
    /// The call's id belongs at the end of the line, as `log_callid` wants it.
    pub tagged: bool,
}

impl std::fmt::Display for CallLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        write!(f, "{} {} - {}", self.method, self.target, self.status)?;
        if let Some(reason) = reason {
            write!(f, " {reason}")?;
        }
        write!(f, " - ContentLength: {} ({:.4}s)", size(self.bytes), self.took.as_secs_f64())?;
        if self.tagged {
            write!(f, " [{}]", self.call_id.unwrap_or("none"))?;
        }
        Ok(())
    }
}

/// Four digits and a decimal unit, as of-watchdog writes a size.
fn size(bytes: u64) -> String {
    let mut number = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].iter().peekable();
    let mut unit = *units.next().unwrap_or(&"B");
    while number >= 1000.0
        && let Some(next) = units.next()
    {
        (number, unit) = (number / 1000.0, next);
    }
    let decimals = if number < 10.0 {
        3
    } else if number < 100.0 {
        2
    } else {
        1
    };
    let digits = format!("{number:.decimals$}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_of_watchdog_writes_them() {
        for (bytes, text) in
            [(0, "0B"), (39, "39B"), (200, "200B"), (1500, "1.5kB"), (123_456, "123.5kB"), (200_000_000, "200MB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_line_as_of_watchdog_writes_it() {
        let target = Uri::from_static("/a?b=c");
        let mut line = CallLine {
            method: &Method::GET,
            target: &target,
            status: 301,
            bytes: 39,
            took: Duration::from_micros(4900),
            call_id: None,
            tagged: true,
        };
        assert_eq!(line.to_string(), "GET /a?b=c - 301 Moved Permanently - ContentLength: 39B (0.0049s) [none]");
        line.tagged = false;
        line.status = 499;
        assert_eq!(line.to_string(), "GET /a?b=c - 499 - ContentLength: 39B (0.0049s)");
    }
}
