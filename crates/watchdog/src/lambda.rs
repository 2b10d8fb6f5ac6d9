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

use faas_watchdog::{BoxError, Invoker, LogSink, Settings};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full, Limited};

use crate::console::Console;
use event::{Event, Outcome};
use runtime_api::{Invocation, RuntimeApi};

/// Lambda gives ten seconds for the start of everything; then the error must have been told.
const START: Duration = Duration::from_millis(9500);
/// Bytes of an answer that Lambda takes.
const ANSWER: usize = 6 * 1024 * 1024;
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
    let log: Arc<dyn LogSink> = Arc::new(Console { prefix: false });
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
    let started = match Invoker::start(config, log.clone()) {
        Ok(invoker) => invoker.wait_ready(START).await.map(|()| invoker),
        Err(error) => Err(error),
    };
    let invoker = match started {
        Ok(invoker) => invoker,
        Err(error) => {
            api.init_error("FunctionNotStarted", &error.to_string()).await?;
            return Err(error.into());
        }
    };
    loop {
        let invocation = api.next().await?;
        let id = invocation.id.clone();
        let outcome = match left(&invocation) {
            Some(left) => tokio::time::timeout(left, call(&invoker, invocation)).await.unwrap_or_else(|_| {
                Outcome::Error { of: "TimedOut".into(), message: "the function gave no answer in time".into() }
            }),
            None => call(&invoker, invocation).await,
        };
        match outcome {
            Outcome::Answer(answer) => api.answer(&id, answer).await?,
            Outcome::Error { of, message } => api.error(&id, &of, &message).await?,
        }
    }
}

/// How long the call may take.
fn left(invocation: &Invocation) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_millis(invocation.deadline?).saturating_sub(now).saturating_sub(MARGIN))
}

async fn call(invoker: &Invoker, invocation: Invocation) -> Outcome {
    let event = Event::read(&invocation.payload);
    let mut request = Request::new(Full::new(event.body.clone()));
    *request.method_mut() = event.method.clone();
    *request.uri_mut() = event.target.clone();
    *request.headers_mut() = event.headers.clone();
    let context = [
        ("x-call-id", Some(invocation.id.as_str())),
        ("x-amzn-trace-id", invocation.trace.as_deref()),
        ("x-amzn-request-context", event.context.as_deref()),
    ];
    for (name, value) in context {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    let (parts, body) = invoker.call(request).await.into_parts();
    match Limited::new(body, ANSWER).collect().await {
        Ok(body) => event.outcome(parts.status, &parts.headers, &body.to_bytes()),
        Err(error) => {
            Outcome::Error { of: "AnswerCut".into(), message: format!("the function's answer broke off: {error}") }
        }
    }
}
