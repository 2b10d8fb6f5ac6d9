//! How many calls of a function may run at a time.
use super::aws::Aws;
use super::fault::{fault, said};
use super::wanted::Wanted;
use crate::error::Result;

/// Makes the limit as it is wanted, when it is not so.
///
/// # Errors
/// When Lambda refuses it.
pub async fn limit(aws: &Aws, wanted: &Wanted, there: Option<i32>) -> Result<()> {
    let name = &wanted.name;
    match wanted.concurrency {
        wanted if wanted == there => Ok(()),
        Some(limit) => set_concurrency(aws, name, limit).await,
        None => {
            let deleted = aws.lambda.delete_function_concurrency().function_name(name).send().await;
            deleted.map(|_| ()).map_err(|error| fault(format!("can't lift the concurrency limit of {name}"), &error))
        }
    }
}

/// Limits how many calls of a function run at a time; 0 pauses it.
///
/// # Errors
/// When Lambda refuses it.
pub async fn set_concurrency(aws: &Aws, name: &str, limit: i32) -> Result<()> {
    let put = aws.lambda.put_function_concurrency().function_name(name).reserved_concurrent_executions(limit);
    put.send().await.map(|_| ()).map_err(|error| {
        let fault = fault(format!("can't limit {name} to {limit} calls at a time"), &error);
        match said(&error).contains("UnreservedConcurrentExecution") {
            true => fault.hint("100 calls at a time must stay unreserved in the account: limit it to less"),
            false => fault,
        }
    })
}
