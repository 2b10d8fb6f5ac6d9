//! Calling a function through its alias: the body in is the body out, as on every other platform.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType, ThrottleReason};
use base64::Engine;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::aws::Aws;
use super::event;
use super::fault::{beginning, code, fault, said};
use super::name::{ALIAS, function_name};
use super::{stream, url_call};
use crate::backend::{Body, Call, LogTail, Reply};
use crate::error::{Code, Fault, OrFault, Result};
use crate::function::FunctionId;

/// How often a call is tried again that AWS did not take because of the account's rate.
const TRIES: u32 = 5;
/// Bytes of a body that Lambda takes in an event.
const BODY: usize = 6 * 1024 * 1024;

/// Calls a function.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is none; what the function raised; what Lambda refused.
pub async fn invoke(aws: &Aws, id: &FunctionId, call: Call) -> Result<Reply> {
    let name = function_name(id);
    let limit = call.timeout;
    let work = send(aws, &name, call);
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(Fault::timed_out(format!("{id} gave no answer within {}", humantime::format_duration(limit))))
        }),
    }
}

async fn send(aws: &Aws, name: &str, call: Call) -> Result<Reply> {
    let body: Vec<u8> = call
        .body
        .try_fold(Vec::new(), |mut all, chunk| async move {
            if all.len() + chunk.len() > BODY {
                return Err(std::io::Error::other("the body is over the 6 MB that Lambda takes"));
            }
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .or_fault(|| format!("can't send the body to {name}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let call_id = call.headers.get("x-call-id").and_then(|id| id.to_str().ok()).unwrap_or("faas").to_owned();
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if call.options.url {
        return url_call::call(aws, name, call.method, &call.path, call.headers, body).await;
    }
    let mut headers = call.headers;
    if call.options.raw {
        headers.insert(event::RAW, HeaderValue::from_static("raw"));
    }
    let raw = event::is_raw(&headers);
    let payload = event::event(&call.method, &call.path, &headers, &body, millis, &call_id)?;
    let qualifier = call.options.qualifier.as_deref().unwrap_or(ALIAS);
    if call.options.stream {
        return stream::call(aws, name, qualifier, payload, raw, call.options.log).await;
    }
    let request = aws.lambda.invoke().function_name(name).qualifier(qualifier).payload(Blob::new(payload));
    let request = match call.asynchronous {
        true => request.invocation_type(InvocationType::Event),
        false => request.invocation_type(InvocationType::RequestResponse).log_type(LogType::Tail),
    };
    // Once: a function that was called may have done its work although the answer got lost.
    let once =
        aws_sdk_lambda::config::Builder::new().retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled());
    let mut tries = 0;
    let output = loop {
        let error = match request.clone().customize().config_override(once.clone()).send().await {
            Ok(output) => {
                let (status, region) = (output.status_code(), &aws.region);
                tracing::debug!("POST functions/{name}/invocations?Qualifier={qualifier} in {region}: {status}");
                break output;
            }
            Err(error) => error,
        };
        tries += 1;
        tracing::debug!("POST functions/{name}/invocations?Qualifier={qualifier} in {}: refused", aws.region);
        // The account asked too often: the function was not called, so it may be again.
        if tries <= TRIES && is_rate(&error) {
            tokio::time::sleep(Duration::from_millis(250) * tries).await;
            continue;
        }
        return Err(refused(name, &aws.region, &error));
    };
    let payload = output.payload().map(|blob| blob.as_ref()).unwrap_or_default();
    if output.request_id().is_none() && output.executed_version().is_none() {
        return Err(not_lambda(name, payload));
    }
    if call.asynchronous && output.status_code() != i32::from(StatusCode::ACCEPTED.as_u16()) {
        return Err(Fault::failed(format!("{name} was not taken into Lambda's queue"))
            .cause(format!("the answer is HTTP {} and not 202", output.status_code()))
            .hint("a queued call is answered by 202: is another program behind the address of Lambda?"));
    }
    put_log(call.options.log.as_ref(), output.log_result());
    if let Some(kind) = output.function_error() {
        return Err(raised(name, kind, payload, output.log_result()));
    }
    let request_id = output.request_id().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    let (status, body) = if call.asynchronous {
        (StatusCode::ACCEPTED, Vec::new())
    } else {
        let answer = event::answer(payload, raw)?;
        headers = answer.headers;
        (answer.status, answer.body)
    };
    for (key, value) in
        [("x-call-id", request_id.as_str()), ("x-amz-executed-version", output.executed_version().unwrap_or_default())]
    {
        if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty())
            && !headers.contains_key(key)
        {
            headers.insert(key, value);
        }
    }
    let body: Body = Box::pin(futures_util::stream::once(async move { Ok(Bytes::from(body)) }));
    Ok(Reply { status, headers, body })
}

/// Whether the account's rate of calls is used up; other limits don't pass within seconds.
fn is_rate(error: &SdkError<InvokeError>) -> bool {
    matches!(error.as_service_error(), Some(InvokeError::TooManyRequestsException(limit))
        if limit.reason() == Some(&ThrottleReason::CallerRateLimitExceeded))
}

fn refused(name: &str, region: &str, error: &SdkError<InvokeError>) -> Fault {
    let fault = fault(format!("can't call {name}"), error);
    match code(error) {
        "ResourceNotFoundException" => no_function(name, region).cause(said(error)),
        "TooManyRequestsException" if is_rate(error) => fault,
        "TooManyRequestsException" => {
            fault.hint("it runs as often at a time as it may; with a limit of 0 it is paused: `faas scale` lifts that")
        }
        _ => fault,
    }
}

/// That another program has answered: whatever Lambda answers has the number of its request.
#[must_use]
pub fn not_lambda(name: &str, body: &[u8]) -> Fault {
    let text = beginning(body);
    Fault::failed(format!("can't call {name}"))
        .cause(format!("what answered is not Lambda: there is no x-amzn-RequestId with the answer: {text}"))
        .hint("AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL or a proxy leads to another program; `faas doctor` shows where to")
}

/// That there is none.
#[must_use]
pub fn no_function(name: &str, region: &str) -> Fault {
    Fault::not_found(format!("there is no function {name} in {region}"))
        .code(Code::NO_FUNCTION)
        .hint("`faas list` shows what is deployed, `faas deploy` deploys")
}

/// Puts the end of a log, as Lambda encodes it, where it was asked for.
pub fn put_log(into: Option<&LogTail>, log: Option<&str>) {
    let Some(mut into) = into.and_then(|into| into.lock().ok()) else { return };
    let log = log.and_then(|log| base64::engine::general_purpose::STANDARD.decode(log).ok()).unwrap_or_default();
    *into = String::from_utf8_lossy(&log).into_owned();
}

/// What a function raised, in its own words, and the end of its log.
#[must_use]
pub fn raised(name: &str, kind: &str, payload: &[u8], log: Option<&str>) -> Fault {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let mut cause = match (text("errorType"), text("errorMessage")) {
        (Some(of), Some(message)) => format!("{of}: {message}"),
        (_, Some(message)) => message.to_owned(),
        _ => String::from_utf8_lossy(payload).into_owned(),
    };
    for line in value.get("stackTrace").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        cause = format!("{cause}\n  {}", line.trim_end());
    }
    let log = log.and_then(|log| base64::engine::general_purpose::STANDARD.decode(log).ok()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let own = log.lines().filter(|l| !["START ", "END ", "REPORT "].iter().any(|word| l.starts_with(word)));
    let last: Vec<&str> = own.filter(|line| !line.trim().is_empty()).collect();
    for line in last.iter().skip(last.len().saturating_sub(10)) {
        cause = format!("{cause}\n  | {line}");
    }
    Fault::failed(format!("{name} failed ({})", kind.to_lowercase()))
        .cause(cause)
        .hint(format!("`faas logs {name}` shows all of its log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_what_was_raised_and_the_end_of_the_log() {
        let payload = br#"{"errorType":"ValueError","errorMessage":"no","stackTrace":["  File x\n"]}"#;
        let log = base64::engine::general_purpose::STANDARD.encode("START 1\nhello\nREPORT 1\n");
        let fault = raised("tax", "Unhandled", payload, Some(&log));
        assert_eq!(fault.message, "tax failed (unhandled)");
        assert_eq!(fault.cause.as_deref(), Some("ValueError: no\n    File x\n  | hello"));
    }
}
