//! AWS Lambda: calls come from the Runtime API, one at a time, as JSON events; each becomes an HTTP request to the
//! function, and its reply an answer to the event.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

mod aws;
mod event;
mod runtime_api;
mod secrets;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_watchdog::{Body, BoxError, Error, Invoker, LogSink, Settings};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::Instant;

use crate::console::Console;
use event::{Event, Outcome};
use runtime_api::{Invocation, RuntimeApi};

/// Lambda gives ten seconds for the start of everything; by then the first call must have been asked for.
const START: Duration = Duration::from_millis(9500);
/// Bytes of an answer that Lambda takes.
const ANSWER: usize = 6 * 1024 * 1024;
/// What is said of a call that took too long.
const NO_ANSWER: &str = "the function gave no answer in time";
/// Told as errors before Lambda ends the call by itself and nobody knows why.
const MARGIN: Duration = Duration::from_millis(50);

/// Where the Runtime API is, on Lambda.
pub fn address(settings: &Settings) -> Option<String> {
    let named = settings.config.env.iter().rev().find(|(name, _)| name == "AWS_LAMBDA_RUNTIME_API");
    named.map(|(_, address)| address.clone()).filter(|address| !address.is_empty())
}

/// Serves calls until Lambda ends the process.
pub async fn run(settings: Settings, address: &str) -> ExitCode {
    // Lambda's own log has the time already.
    let log: Arc<dyn LogSink> = Arc::new(Console { prefix: false, format: settings.log_format });
    for warning in &settings.warnings {
        log.note(warning);
    }
    match serve(settings, address, &log).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.note(&format!("faas-watchdog: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, address: &str, log: &Arc<dyn LogSink>) -> Result<(), BoxError> {
    let mut api = RuntimeApi::new(address);
    let mut config = settings.config;
    // Lambda has its own timeout, and a process that is frozen between calls must not count that time.
    config.exec_timeout = Duration::ZERO;
    config.read_timeout = Duration::ZERO;
    config.write_timeout = Duration::ZERO;
    if let Err(error) = secrets::fetch(&mut config.env).await {
        let message = format!("the function's secrets can't be read: {error}");
        api.init_error("SecretsNotRead", &message).await?;
        return Err(message.into());
    }
    let streaming = config.env.iter().any(|(name, value)| name == "FAAS_LAMBDA_STREAMING" && value == "true");
    let started = match Invoker::start(config, log.clone()) {
        Ok(invoker) => match invoker.wait_ready(START).await {
            Ok(()) => Ok((invoker, true)),
            // It is alive, and slow: the first call waits for it, as long as that may take.
            Err(Error::NotReady { missing, .. }) => {
                log.note(&format!("faas-watchdog: the first call waits for the function: {missing}"));
                Ok((invoker, false))
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let (invoker, mut ready) = match started {
        Ok(started) => started,
        Err(error) => {
            api.init_error("FunctionNotStarted", &error.to_string()).await?;
            return Err(error.into());
        }
    };
    loop {
        let invocation = api.next().await?;
        let id = invocation.id.clone();
        let event = Event::read(&invocation.payload);
        let until = left(&invocation).map(|left| Instant::now() + left);
        if !ready {
            let rest = until.map_or(START, |until| until.duration_since(Instant::now()));
            match invoker.wait_ready(rest).await {
                Ok(()) => ready = true,
                Err(error) => {
                    api.error(&id, "FunctionNotStarted", &error.to_string()).await?;
                    if matches!(error, Error::NotReady { .. }) {
                        continue;
                    }
                    return Err(error.into());
                }
            }
        }
        let Some(reply) = within(until, call(&invoker, &invocation, &event)).await else {
            api.error(&id, "TimedOut", NO_ANSWER).await?;
            continue;
        };
        let (parts, body) = reply.into_parts();
        if streaming && event.can_stream() {
            // Lambda itself cuts it when its time is up.
            api.stream(&id, event.prelude(parts.status, &parts.headers), body).await?;
            continue;
        }
        let outcome = match within(until, Limited::new(body, ANSWER).collect()).await {
            Some(Ok(body)) => event.outcome(parts.status, &parts.headers, &body.to_bytes()),
            Some(Err(error)) => {
                Outcome::Error { of: "AnswerCut".into(), message: format!("the function's answer broke off: {error}") }
            }
            None => Outcome::Error { of: "TimedOut".into(), message: NO_ANSWER.into() },
        };
        match outcome {
            Outcome::Answer(answer) => api.answer(&id, answer).await?,
            Outcome::Error { of, message } => api.error(&id, &of, &message).await?,
        }
    }
}

/// What the work gives, if it does so in time.
async fn within<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}

/// How long the call may take.
fn left(invocation: &Invocation) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_millis(invocation.deadline?).saturating_sub(now).saturating_sub(MARGIN))
}

async fn call(invoker: &Invoker, invocation: &Invocation, event: &Event) -> Response<Body> {
    let mut request = Request::new(Full::new(event.body.clone()));
    *request.method_mut() = event.method.clone();
    *request.uri_mut() = event.target.clone();
    *request.headers_mut() = event.headers.clone();
    let deadline = invocation.deadline.map(|deadline| deadline.to_string());
    let context = [
        ("x-call-id", Some(invocation.id.as_str())),
        ("lambda-runtime-deadline-ms", deadline.as_deref()),
        ("x-amzn-trace-id", invocation.trace.as_deref()),
        ("x-amzn-request-context", event.context.as_deref()),
    ];
    for (name, value) in context {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    invoker.call(request).await
}
