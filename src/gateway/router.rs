//! The usher: looks at a call's path, checks who asks, and hands it on.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, StatusCode, Version};
use hyper::body::Incoming;

use super::answer::{self, Answer, Body, Refused};
use super::auth::Guard;
use super::controller::Controller;
use super::metrics::{self, Sample};
use super::queue::Queue;
use super::{calls, handlers, invoke};

/// The Prometheus text format's content type.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that a call may need.
pub(super) struct Gateway {
    /// Who may ask.
    pub guard: Guard,
    /// Functions.
    pub controller: Arc<Controller>,
    /// Queued calls.
    pub queue: Arc<Queue>,
}

impl Gateway {
    /// Answers a call from `peer`.
    pub async fn serve(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Result<Answer, Infallible> {
        if let Some((status, why)) = faas_watchdog::ambiguous(&request) {
            let mut answer = Refused::new(status, why).answer();
            if request.version() < Version::HTTP_2 {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Ok(answer);
        }
        if let Err(refused) = self.guard.check_host(request.uri(), request.headers()) {
            return Ok(refused.answer());
        }
        let path = request.uri().path();
        Ok(if path.starts_with("/function/") {
            invoke::serve(&self.controller, request, peer).await
        } else if path.starts_with("/async-function/") {
            calls::serve(&self.queue, request, peer).await
        } else {
            self.manage(request).await.unwrap_or_else(Refused::answer)
        })
    }

    async fn manage(&self, request: Request<Incoming>) -> Result<Answer, Refused> {
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/healthz" if reads => Ok(answer::empty(StatusCode::OK)),
            "/metrics" if reads => Ok(self.metrics()),
            "/healthz" | "/metrics" => Err(Refused::method()),
            _ if handlers::knows(path) => {
                self.guard.check_origin(request.uri(), request.headers())?;
                if !self.guard.knows(request.headers()) {
                    return Ok(Guard::unknown());
                }
                handlers::serve(&self.controller, &self.queue, request).await
            }
            _ => Err(Refused::missing("404 page not found")),
        }
    }

    fn metrics(&self) -> Answer {
        let functions = self.controller.functions(None);
        let samples: Vec<Sample<'_>> = functions
            .iter()
            .map(|f| Sample {
                name: f.key.to_string(),
                counters: &f.counters,
                replicas: f.record().replicas,
                in_flight: f.replicas().iter().map(|r| r.invoker().in_flight()).sum(),
            })
            .collect();
        let text = metrics::text(&samples, self.queue.len());
        answer::with(StatusCode::OK, Some(METRICS), Body::whole(text))
    }
}
