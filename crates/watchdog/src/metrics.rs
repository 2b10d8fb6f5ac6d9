//! Counts and durations of calls, in Prometheus' text format, under the names of-watchdog gives them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Method;

/// Upper bounds in seconds: the default buckets of Prometheus' Go client.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BUCKETS_NANOSECONDS: [u64; 11] = {
    let mut bounds = [0; 11];
    let mut n = 0;
    while n < 11 {
        bounds[n] = (BUCKETS[n] * 1e9) as u64;
        n += 1;
    }
    bounds
};

#[derive(Default)]
struct Series {
    /// One per bucket, each counted once (not cumulative); the last one is "over 10 s".
    buckets: [AtomicU64; 12],
    nanoseconds: AtomicU64,
}

/// The figures of one invoker.
#[derive(Default)]
pub struct Metrics {
    series: RwLock<BTreeMap<(u16, &'static str), Arc<Series>>>,
}

/// The method as a label, bounded so that callers can't make up new series.
pub(crate) fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::DELETE => "delete",
        Method::PATCH => "patch",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        Method::CONNECT => "connect",
        Method::TRACE => "trace",
        _ => "unknown",
    }
}

impl Metrics {
    /// Counts one call.
    pub(crate) fn observe(&self, code: u16, method: &'static str, took: Duration) {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&(code, method)).cloned();
        let series = known.unwrap_or_else(|| {
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            all.entry((code, method)).or_default().clone()
        });
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_NANOSECONDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BUCKETS.len());
        series.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        series.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The figures in Prometheus' text format, version 0.0.4.
    pub fn text(&self, in_flight: usize) -> String {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut durations = String::from(
            "# HELP http_request_duration_seconds Seconds spent serving HTTP requests.\n\
             # TYPE http_request_duration_seconds histogram\n",
        );
        let mut totals = String::from(
            "# HELP http_requests_total total HTTP requests processed\n# TYPE http_requests_total counter\n",
        );
        for ((code, method), series) in series.iter() {
            let labels = format!("code=\"{code}\",method=\"{method}\"");
            let mut sum = 0;
            for (n, bucket) in series.buckets.iter().enumerate() {
                sum += bucket.load(Ordering::Relaxed);
                let bound = BUCKETS.get(n).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                let _ = writeln!(durations, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}");
            }
            let seconds = series.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
            let _ = writeln!(durations, "http_request_duration_seconds_sum{{{labels}}} {seconds}");
            let _ = writeln!(durations, "http_request_duration_seconds_count{{{labels}}} {sum}");
            let _ = writeln!(totals, "http_requests_total{{{labels}}} {sum}");
        }
        format!(
            "{durations}# HELP http_requests_in_flight total HTTP requests in-flight\n\
             # TYPE http_requests_in_flight gauge\nhttp_requests_in_flight {in_flight}\n{totals}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labelled() {
        let metrics = Metrics::default();
        metrics.observe(200, "get", Duration::from_millis(1));
        metrics.observe(200, "get", Duration::from_millis(30));
        metrics.observe(200, "get", Duration::from_secs(60));
        metrics.observe(502, "post", Duration::from_millis(5));
        let text = metrics.text(3);
        for line in [
            "http_request_duration_seconds_bucket{code=\"200\",method=\"get\",le=\"0.005\"} 1",
            "http_request_duration_seconds_bucket{code=\"200\",method=\"get\",le=\"0.05\"} 2",
            "http_request_duration_seconds_bucket{code=\"200\",method=\"get\",le=\"10\"} 2",
            "http_request_duration_seconds_bucket{code=\"200\",method=\"get\",le=\"+Inf\"} 3",
            "http_request_duration_seconds_sum{code=\"200\",method=\"get\"} 60.031",
            "http_request_duration_seconds_bucket{code=\"502\",method=\"post\",le=\"0.005\"} 1",
            "http_requests_total{code=\"200\",method=\"get\"} 3",
            "http_requests_in_flight 3",
        ] {
            assert!(text.lines().any(|got| got == line), "{line}\nin\n{text}");
        }
    }

    #[test]
    fn made_up_methods_share_a_series() {
        assert_eq!(label(&Method::from_bytes(b"BREW").unwrap()), "unknown");
    }
}
