//! Waiting until Lambda has done what it was told: a function in the making takes no other change.
use std::time::Duration;

use aws_sdk_lambda::client::Waiters;
use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, State};

use super::aws::Aws;
use super::fault::fault;
use crate::error::{Fault, Result};

/// The longest that Lambda may take.
const LONGEST: Duration = Duration::from_secs(300);

/// What Lambda has of a function that is to be made or changed.
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
    match aws.lambda.get_function().function_name(name).send().await {
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

/// Waits until the function is made and has taken its last change.
///
/// # Errors
/// Lambda's reason, when it did not work; [`crate::error::Kind::TimedOut`] after five minutes.
pub async fn settled(aws: &Aws, name: &str) -> Result<()> {
    let active = aws.lambda.wait_until_function_active_v2().function_name(name).wait(LONGEST).await.is_ok();
    if active && aws.lambda.wait_until_function_updated_v2().function_name(name).wait(LONGEST).await.is_ok() {
        return Ok(());
    }
    let there = read(aws, name).await?.ok_or_else(|| Fault::not_found(format!("{name} went away")))?;
    let there = there.configuration;
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
        Some(State::Pending) => {
            return Err(Fault::timed_out(format!("{name} is still in the making after five minutes"))
                .hint("deploy again: it goes on where it was"));
        }
        Some(state) => return Err(failed(&format!("is {}", state.as_str()), there.state_reason(), code)),
    }
    let code = there.last_update_status_reason_code().map(|code| code.as_str());
    match there.last_update_status() {
        Some(LastUpdateStatus::Failed) => {
            Err(failed("Lambda could not take the change", there.last_update_status_reason(), code))
        }
        Some(LastUpdateStatus::InProgress) => {
            Err(Fault::timed_out(format!("{name} is still being changed after five minutes"))
                .hint("deploy again: it goes on where it was"))
        }
        _ => Ok(()),
    }
}

/// Waits until a new function and its first version are made.
///
/// # Errors
/// Lambda's reason, when it did not work.
pub async fn made(aws: &Aws, name: &str, version: &str) -> Result<()> {
    // The version is ready last. Only GetFunction has a rate of its own, so only that is asked.
    let wait = aws.lambda.wait_until_function_active_v2().function_name(name).qualifier(version);
    match wait.wait(LONGEST).await {
        Ok(_) => Ok(()),
        // Says why, where the function itself failed.
        Err(_) => settled(aws, name).await,
    }
}

/// Waits until a published version takes calls: before that, none may be sent to it.
///
/// # Errors
/// When it doesn't within five minutes.
pub async fn published(aws: &Aws, name: &str, version: &str) -> Result<()> {
    let wait = aws.lambda.wait_until_published_version_active().function_name(name).qualifier(version);
    wait.wait(LONGEST).await.map(|_| ()).map_err(|_| {
        Fault::failed(format!("version {version} of {name} does not become active"))
            .hint("deploy again: it goes on where it was; calls still go to the version before")
    })
}
