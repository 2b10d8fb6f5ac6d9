//! How many calls of a function may run at a time.
use super::aws::Aws;
use super::fault::{fault, said};
use super::name::escape;
use super::wait::There;
use super::wanted::Wanted;
use crate::backend::{Change, SPEC_KEY};
use crate::error::Result;

/// The limit that the function is to have. Where the stack file names none, one that was set since it was deployed stays:
/// `faas scale` sets it, too.
#[must_use]
pub fn wanted(wanted: &Wanted, there: &There, change: &Change) -> Option<i32> {
    let applied = there.tags.get(SPEC_KEY) == Some(&escape(&change.spec));
    wanted.concurrency.or(there.concurrency.filter(|_| applied))
}

/// Makes the limit of the function `name` as it is wanted, when it is not so.
///
/// # Errors
/// When Lambda refuses it.
pub async fn limit(aws: &Aws, name: &str, wanted: Option<i32>, there: Option<i32>) -> Result<()> {
    match wanted {
        wanted if wanted == there => Ok(()),
        Some(limit) => set_concurrency(aws, name, limit).await.map(|_| ()),
        None => {
            let deleted = aws.lambda.delete_function_concurrency().function_name(name).send().await;
            deleted.map(|_| ()).map_err(|error| fault(format!("can't lift the concurrency limit of {name}"), &error))
        }
    }
}

/// Limits how many calls of a function run at a time; 0 pauses it. Tells what Lambda has taken.
///
/// # Errors
/// When Lambda refuses it.
pub async fn set_concurrency(aws: &Aws, name: &str, limit: i32) -> Result<i32> {
    let put = aws.lambda.put_function_concurrency().function_name(name).reserved_concurrent_executions(limit);
    let put = put.send().await.map_err(|error| {
        let fault = fault(format!("can't limit {name} to {limit} calls at a time"), &error);
        match said(&error).contains("UnreservedConcurrentExecution") {
            true => fault.hint("100 calls at a time must stay unreserved in the account: limit it to less"),
            false => fault,
        }
    })?;
    Ok(put.reserved_concurrent_executions().unwrap_or(limit))
}
