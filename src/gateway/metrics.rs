//! Counters of calls, and `GET /metrics`: Prometheus text with the names that OpenFaaS's dashboards ask for.
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the histogram's buckets in seconds: those of Prometheus's Go client, which OpenFaaS uses.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Status codes from 100 to 599.
const CODES: usize = 500;

/// A function's counters.
pub(super) struct Counters {
    started: AtomicU64,
    by_code: Box<[AtomicU64]>,
    buckets: [AtomicU64; BUCKETS.len()],
    nanoseconds: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: AtomicU64::new(0),
            by_code: (0..CODES).map(|_| AtomicU64::new(0)).collect(),
            buckets: Default::default(),
            nanoseconds: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A call came.
    pub fn start(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    /// Calls that came so far.
    pub fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// A call was answered.
    pub fn done(&self, status: http::StatusCode, took: Duration) {
        if let Some(counter) = usize::from(status.as_u16()).checked_sub(100).and_then(|at| self.by_code.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|end| seconds <= *end) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Calls answered so far.
    pub fn total(&self) -> u64 {
        self.by_code.iter().map(|c| c.load(Relaxed)).sum()
    }
}

/// What `/metrics` tells of one function.
pub(super) struct Sample<'a> {
    /// `NAME.NAMESPACE`.
    pub name: String,
    /// Its counters.
    pub counters: &'a Counters,
    /// Replicas wanted.
    pub replicas: u32,
    /// Calls in flight.
    pub in_flight: usize,
}

/// The text of `GET /metrics`.
pub(super) fn text(samples: &[Sample<'_>], queued: usize) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: &mut dyn FnMut(&mut String)| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        lines(&mut text);
    };
    family(
        "gateway_function_invocation_started",
        "counter",
        "The total number of function HTTP requests started.",
        &mut |t| {
            for s in samples {
                let _ = writeln!(
                    t,
                    "gateway_function_invocation_started{{function_name=\"{}\"}} {}",
                    s.name,
                    s.counters.started.load(Relaxed)
                );
            }
        },
    );
    family("gateway_function_invocation_total", "counter", "Function metrics", &mut |t| {
        for s in samples {
            for (at, counter) in s.counters.by_code.iter().enumerate() {
                let count = counter.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(
                        t,
                        "gateway_function_invocation_total{{code=\"{}\",function_name=\"{}\"}} {count}",
                        at + 100,
                        s.name
                    );
                }
            }
        }
    });
    family("gateway_functions_seconds", "histogram", "Function time taken", &mut |t| {
        for s in samples {
            let mut so_far = 0;
            for (end, bucket) in BUCKETS.iter().zip(&s.counters.buckets) {
                so_far += bucket.load(Relaxed);
                let _ = writeln!(
                    t,
                    "gateway_functions_seconds_bucket{{function_name=\"{}\",le=\"{end}\"}} {so_far}",
                    s.name
                );
            }
            let total = s.counters.total();
            let _ = writeln!(
                t,
                "gateway_functions_seconds_bucket{{function_name=\"{0}\",le=\"+Inf\"}} {total}\n\
                 gateway_functions_seconds_sum{{function_name=\"{0}\"}} {1}\n\
                 gateway_functions_seconds_count{{function_name=\"{0}\"}} {total}",
                s.name,
                Duration::from_nanos(s.counters.nanoseconds.load(Relaxed)).as_secs_f64()
            );
        }
    });
    family("gateway_service_count", "gauge", "Current count of replicas for function", &mut |t| {
        for s in samples {
            let _ = writeln!(t, "gateway_service_count{{function_name=\"{}\"}} {}", s.name, s.replicas);
        }
    });
    family("gateway_function_invocation_inflight", "gauge", "Calls in flight", &mut |t| {
        for s in samples {
            let _ = writeln!(t, "gateway_function_invocation_inflight{{function_name=\"{}\"}} {}", s.name, s.in_flight);
        }
    });
    family("gateway_async_queue_length", "gauge", "Accepted calls that are not done yet", &mut |t| {
        let _ = writeln!(t, "gateway_async_queue_length {queued}");
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_status_and_time() {
        let counters = Counters::default();
        for (status, millis) in [(200, 1), (200, 30), (502, 20_000)] {
            counters.start();
            counters.done(http::StatusCode::from_u16(status).unwrap(), Duration::from_millis(millis));
        }
        let sample = Sample { name: "tax.openfaas-fn".into(), counters: &counters, replicas: 2, in_flight: 0 };
        let text = text(&[sample], 5);
        for line in [
            "gateway_function_invocation_started{function_name=\"tax.openfaas-fn\"} 3",
            "gateway_function_invocation_total{code=\"200\",function_name=\"tax.openfaas-fn\"} 2",
            "gateway_function_invocation_total{code=\"502\",function_name=\"tax.openfaas-fn\"} 1",
            "gateway_functions_seconds_bucket{function_name=\"tax.openfaas-fn\",le=\"0.005\"} 1",
            "gateway_functions_seconds_bucket{function_name=\"tax.openfaas-fn\",le=\"10\"} 2",
            "gateway_functions_seconds_bucket{function_name=\"tax.openfaas-fn\",le=\"+Inf\"} 3",
            "gateway_service_count{function_name=\"tax.openfaas-fn\"} 2",
            "gateway_async_queue_length 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
