//! Old versions of a function: some are kept to go back to, and those that an alias points at.
use super::aws::Aws;
use super::fault::{code, fault};
use crate::error::Result;

/// How many versions are kept besides those behind an alias.
const KEPT: usize = 5;

/// Removes the versions that nobody needs any more: code counts against the account's 75 GB.
///
/// # Errors
/// When Lambda refuses it.
pub async fn prune(aws: &Aws, name: &str, version: &str) -> Result<()> {
    if version.parse::<usize>().is_ok_and(|version| version <= KEPT) {
        return Ok(());
    }
    let mut versions = super::traffic::versions(aws, name).await?;
    let aliased = super::traffic::aliased(aws, name).await?;
    versions.retain(|v| !aliased.contains(&v.number.to_string()));
    for old in versions.into_iter().skip(KEPT) {
        let deleted = aws.lambda.delete_function().function_name(name).qualifier(old.number.to_string()).send().await;
        match deleted {
            Ok(_) => {}
            // Another run of ours was faster, or somebody has just made an alias of it.
            Err(error) if matches!(code(&error), "ResourceNotFoundException" | "ResourceConflictException") => {}
            Err(error) => return Err(fault(format!("can't remove version {} of {name}", old.number), &error)),
        }
    }
    Ok(())
}
