//! Waiting until Lambda has done what it was told: a function in the making takes no other change.
use std::time::Duration;

use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, State};
use tokio::time::Instant;

use super::aws::Aws;
use super::fault::fault;
use crate::error::{Fault, Result};

/// The longest that Lambda may take.
const LONGEST: Duration = Duration::from_secs(300);
/// The first and the longest pause between two looks: most functions are made within two seconds. The SDK's own waiters
/// begin with a second and double it, up to two minutes.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What Lambda has of a function that is to be made or changed.
#[derive(Debug, Clone)]
pub struct There {
    /// Its configuration.
    pub configuration: FunctionConfiguration,
    /// The image that it runs, by digest.
    pub image: Option<String>,
    /// Its tags.
    pub tags: std::collections::HashMap<String, String>,
    /// Calls at a time, when limited.
    pub concurrency: Option<i32>,
}

/// Reads a function; `None` when there is none.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn read(aws: &Aws, name: &str) -> Result<Option<There>> {
    read_at(aws, name, None).await
}

async fn read_at(aws: &Aws, name: &str, version: Option<&str>) -> Result<Option<There>> {
    match aws.lambda.get_function().function_name(name).set_qualifier(version.map(str::to_owned)).send().await {
        Ok(output) => Ok(Some(There {
            configuration: output
                .configuration()
                .cloned()
                .ok_or_else(|| Fault::failed(format!("Lambda told nothing of {name}")))?,
            image: output.code().and_then(|code| code.resolved_image_uri().or(code.image_uri())).map(str::to_owned),
            tags: output.tags().cloned().unwrap_or_default(),
            concurrency: output.concurrency().and_then(|c| c.reserved_concurrent_executions()),
        })),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
        Err(error) => Err(fault(format!("can't look up {name}"), &error)),
    }
}

/// Waits until the function, or a version of it, is made and has taken its last change. Only GetFunction is asked, which
/// has a rate of its own.
async fn until(aws: &Aws, name: &str, version: Option<&str>) -> Result<()> {
    let end = Instant::now() + LONGEST;
    let mut pause = PAUSES.0;
    loop {
        let there = read_at(aws, name, version).await?;
        let there = there.ok_or_else(|| Fault::not_found(format!("{name} went away")))?.configuration;
        let Some(working) = judged(name, &there)? else { return Ok(()) };
        if Instant::now() + pause > end {
            return Err(Fault::timed_out(format!("{name} is still {working} after five minutes"))
                .hint("deploy again: it goes on where it was"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

/// What Lambda is still at; `None` when it is done.
fn judged(name: &str, there: &FunctionConfiguration) -> Result<Option<&'static str>> {
    let failed = |what: &str, reason: Option<&str>, code: Option<&str>| {
        let fault = Fault::failed(format!("{name}: {what}"));
        match (reason, code) {
            (Some(reason), Some(code)) => fault.cause(format!("{reason} ({code})")),
            (Some(reason), None) => fault.cause(reason),
            (None, _) => fault,
        }
    };
    let code = there.state_reason_code().map(|code| code.as_str());
    match there.state() {
        Some(State::Active | State::Inactive) | None => {}
        Some(State::Pending) => return Ok(Some("in the making")),
        Some(state) => {
            return Err(failed(&format!("is {}", state.as_str()), there.state_reason(), code)
                .hint("`faas deploy --replace` makes it anew"));
        }
    }
    let code = there.last_update_status_reason_code().map(|code| code.as_str());
    match there.last_update_status() {
        Some(LastUpdateStatus::Failed) => {
            Err(failed("Lambda could not take the change", there.last_update_status_reason(), code))
        }
        Some(LastUpdateStatus::InProgress) => Ok(Some("being changed")),
        _ => Ok(None),
    }
}

/// Waits until the function is made and has taken its last change.
///
/// # Errors
/// Lambda's reason, when it did not work; [`crate::error::Kind::TimedOut`] after five minutes.
pub async fn settled(aws: &Aws, name: &str) -> Result<()> {
    until(aws, name, None).await
}

/// Waits until a new function and its first version are made; the version is ready last.
///
/// # Errors
/// Lambda's reason, when it did not work.
pub async fn made(aws: &Aws, name: &str, version: &str) -> Result<()> {
    until(aws, name, Some(version)).await
}

/// Waits until a published version takes calls: before that, none may be sent to it.
///
/// # Errors
/// When it doesn't within five minutes.
pub async fn published(aws: &Aws, name: &str, version: &str) -> Result<()> {
    until(aws, name, Some(version)).await.map_err(|fault| {
        let cause = fault.cause.map_or_else(|| fault.message.clone(), |cause| format!("{}: {cause}", fault.message));
        Fault::new(fault.kind, format!("version {version} of {name} does not become active"))
            .cause(cause)
            .hint("deploy again: it goes on where it was; calls still go to the version before")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lambda_is_at_and_why_it_failed() {
        let function = FunctionConfiguration::builder();
        let said = |there: &FunctionConfiguration| judged("tax", there).map_err(|fault| fault.to_string());
        assert_eq!(said(&function.clone().build()), Ok(None));
        assert_eq!(said(&function.clone().state(State::Pending).build()), Ok(Some("in the making")));
        let active = function.clone().state(State::Active);
        let busy = active.clone().last_update_status(LastUpdateStatus::InProgress).build();
        assert_eq!(said(&busy), Ok(Some("being changed")));
        let failed = active.last_update_status(LastUpdateStatus::Failed).last_update_status_reason("no such layer");
        assert!(said(&failed.build()).unwrap_err().contains("no such layer"));
        assert!(said(&function.state(State::Failed).build()).unwrap_err().contains("is Failed"));
    }
}
