//! Removing a function, its log, and with the stack's last function the role that was made for them.
use super::aws::Aws;
use super::fault::{code, fault};
use super::name::{function_name, unescape};
use super::{role, wait};
use crate::backend::STACK_KEY;
use crate::error::{Code, Fault, Result};
use crate::function::FunctionId;

/// What goes with a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Itself only: it is made anew at once.
    Function,
    /// And its schedule, its rights and, when no function uses it any more, the stack's role.
    AllButLog,
    /// And its log.
    All,
    /// Itself only, whoever made it.
    Foreign,
}

/// Removes a function with its versions, aliases, URL and permissions, and what else `what` says.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is none.
pub async fn remove(aws: &Aws, id: &FunctionId, what: What) -> Result<()> {
    let name = function_name(id);
    let there = wait::read(aws, &name).await?.ok_or_else(|| {
        Fault::not_found(format!("there is no function {name} in {}", aws.region))
            .hint("`faas list` shows what is deployed")
    })?;
    let stack = there.tags.get(STACK_KEY).map(|stack| unescape(stack));
    if stack.is_none() && matches!(what, What::All | What::AllButLog) {
        return Err(Fault::failed(format!("{name} is not one of faas, and is left alone"))
            .code(Code::FOREIGN)
            .cause(format!("it has no tag {STACK_KEY}"))
            .hint("`faas remove --adopt` removes it all the same, and leaves its log and its role"));
    }
    if what == What::All && stack.is_some() {
        // First: once the function is gone, nothing says any more that the log was its own.
        super::logs::remove(aws, &name).await?;
    }
    let stack = stack.filter(|_| matches!(what, What::All | What::AllButLog));
    if let Some(stack) = &stack {
        // Before the function, too: a schedule that is left would go on calling, and nothing would say whose it is.
        super::extras::remove(aws, &name, stack, &there).await?;
    }
    match aws.lambda.delete_function().function_name(&name).send().await {
        Ok(_) => {}
        Err(error) if code(&error) == "ResourceNotFoundException" => {}
        Err(error) => return Err(fault(format!("can't remove {name}"), &error)),
    }
    let Some(stack) = stack else { return Ok(()) };
    let has = there.configuration.role().unwrap_or_default();
    if role::own(has, &stack, &aws.region).is_some() && !has_functions(aws, &stack).await? {
        role::remove(aws, &stack).await?;
    }
    Ok(())
}

/// Whether any function of this region runs as a role of the stack.
async fn has_functions(aws: &Aws, stack: &str) -> Result<bool> {
    let mut functions = aws.lambda.list_functions().into_paginator().items().send();
    while let Some(function) = functions.next().await {
        let function = function.map_err(|error| fault("can't list the functions", &error))?;
        if function.role().is_some_and(|role| role::own(role, stack, &aws.region).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}
