//! What a function has beside its code and its alias: settings of asynchronous calls, instances that are kept warm, a
//! schedule. Which of them there are is kept in a tag, so that those that go can be removed without asking for them.
use std::collections::BTreeSet;

use aws_sdk_lambda::types::{DestinationConfig, OnFailure, OnSuccess};

use super::Lambda;
use super::aws::Aws;
use super::fault::{code, fault};
use super::name::{ALIAS, EXTRAS_KEY};
use super::settings::Queue;
use super::wait::There;
use super::wanted::Wanted;
use super::{role, schedule};
use crate::error::Result;

pub(super) const QUEUE: &str = "async";
pub(super) const PROVISIONED: &str = "provisioned";
pub(super) const SCHEDULE: &str = "schedule";
/// Rights of its own in the stack's role.
pub const RIGHTS: &str = "rights";

/// The extras that a function is to have.
#[must_use]
pub fn wanted(wanted: &Wanted) -> BTreeSet<&'static str> {
    let all = [
        (QUEUE, wanted.queue.is_some()),
        (PROVISIONED, wanted.provisioned.is_some()),
        (SCHEDULE, wanted.schedule.is_some()),
        (RIGHTS, wanted.has_rights()),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// The extras that a function has by its tag.
#[must_use]
pub fn there(tags: &std::collections::HashMap<String, String>) -> BTreeSet<&str> {
    tags.get(EXTRAS_KEY).map(|list| list.split(' ').collect()).unwrap_or_default()
}

/// The tag for them; `None` when there are none.
#[must_use]
pub fn tag(extras: &BTreeSet<&'static str>) -> Option<String> {
    (!extras.is_empty()).then(|| extras.iter().copied().collect::<Vec<_>>().join(" "))
}

/// Makes them as they are wanted, and removes those that are not wanted any more.
///
/// # Errors
/// What AWS refused.
pub async fn ensure(lambda: &Lambda, aws: &Aws, wanted: &Wanted, stack: &str, there: &There) -> Result<()> {
    let name = &wanted.name;
    let had = self::there(&there.tags);
    match &wanted.queue {
        Some(queue) => set_queue(aws, name, queue).await?,
        None if had.contains(QUEUE) => {
            let deleted = aws.lambda.delete_function_event_invoke_config().function_name(name).qualifier(ALIAS);
            gone_is_fine(deleted.send().await, || format!("can't lift the settings of asynchronous calls of {name}"))?;
        }
        None => {}
    }
    match wanted.provisioned {
        Some(instances) => {
            let put = aws.lambda.put_provisioned_concurrency_config().function_name(name).qualifier(ALIAS);
            let put = put.provisioned_concurrent_executions(instances).send().await;
            put.map_err(|error| fault(format!("can't keep {instances} instances of {name} warm"), &error))?;
        }
        None if had.contains(PROVISIONED) => {
            let deleted = aws.lambda.delete_provisioned_concurrency_config().function_name(name).qualifier(ALIAS);
            gone_is_fine(deleted.send().await, || format!("can't let the warm instances of {name} go"))?;
        }
        None => {}
    }
    match &wanted.schedule {
        Some(wanted) => {
            let arn = there.configuration.function_arn().unwrap_or_default();
            let role = lambda.roles.for_schedules(aws, stack, name, arn).await?;
            schedule::ensure(aws, name, arn, wanted, &role).await?;
        }
        None if had.contains(SCHEDULE) => {
            schedule::remove(aws, name).await?;
            role::forbid(aws, &role::name_for_schedules(stack, &aws.region), name).await?;
        }
        None => {}
    }
    if had.contains(RIGHTS) && !wanted.has_rights() {
        role::forbid(aws, &role_of(there, stack, &aws.region), name).await?;
    }
    Ok(())
}

/// Removes what does not go with the function.
///
/// # Errors
/// What AWS refused.
pub async fn remove(aws: &Aws, name: &str, stack: &str, there: &There) -> Result<()> {
    let had = self::there(&there.tags);
    if had.contains(SCHEDULE) {
        schedule::remove(aws, name).await?;
        role::forbid(aws, &role::name_for_schedules(stack, &aws.region), name).await?;
    }
    if had.contains(RIGHTS) {
        role::forbid(aws, &role_of(there, stack, &aws.region), name).await?;
    }
    Ok(())
}

/// The name of the stack's role that the function has its rights in.
fn role_of(there: &There, stack: &str, region: &str) -> String {
    let has = there.configuration.role().unwrap_or_default();
    role::own(has, stack, region).unwrap_or_else(|| role::name_for(stack, region))
}

async fn set_queue(aws: &Aws, name: &str, queue: &Queue) -> Result<()> {
    let success = queue.on_success.as_ref().map(|arn| OnSuccess::builder().destination(arn).build());
    let failure = queue.on_failure.as_ref().map(|arn| OnFailure::builder().destination(arn).build());
    let destinations = DestinationConfig::builder().set_on_success(success).set_on_failure(failure).build();
    let put = aws
        .lambda
        .put_function_event_invoke_config()
        .function_name(name)
        .qualifier(ALIAS)
        .set_maximum_retry_attempts(queue.retries)
        .set_maximum_event_age_in_seconds(queue.max_age)
        .destination_config(destinations);
    put.send()
        .await
        .map(|_| ())
        .map_err(|error| fault(format!("can't set how {name} is called asynchronously"), &error))
}

fn gone_is_fine<T, E>(result: Result<T, aws_sdk_lambda::error::SdkError<E>>, why: impl Fn() -> String) -> Result<()>
where
    E: aws_sdk_lambda::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match result {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "ResourceNotFoundException" => Ok(()),
        Err(error) => Err(fault(why(), &error)),
    }
}
