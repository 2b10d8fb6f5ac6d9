//! The role that a stack's functions run as: made once with the least rights, marked as ours, removed with the last function.
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sdk_iam::types::{Role as IamRole, Tag};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::aws::Aws;
use super::fault::{code, fault};
use super::name::escape;
use super::wanted::Wanted;
use crate::backend::STACK_KEY;
use crate::error::{Fault, OrFault, Result};

/// For so long after it was made, Lambda may say that it can't assume a role.
pub const SETTLES: Duration = Duration::from_secs(60);

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// Whether it is so young that Lambda may not know it yet.
    pub young: bool,
}

/// The roles that were looked for, by stack; one at a time, as many functions ask for the same one.
#[derive(Debug, Default)]
pub struct Roles(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    role: Role,
    policies: Vec<&'static str>,
}

/// The name of a stack's role.
#[must_use]
pub fn name_for(stack: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+=,.@_-".contains(c) { c } else { '-' };
    let mut name: String = format!("faas-{stack}").chars().map(plain).collect();
    if name.len() > 64 {
        let mark = blake3::hash(stack.as_bytes()).to_hex();
        name.truncate(55);
        name = format!("{name}-{}", &mark[..8]);
    }
    name
}

/// The name of the role that EventBridge calls a stack's functions as.
#[must_use]
pub fn name_for_schedules(stack: &str) -> String {
    name_for(&format!("{stack}-schedules"))
}

/// What the function may do besides running.
pub(super) fn policies(wanted: &Wanted) -> Vec<&'static str> {
    let mut policies = vec!["service-role/AWSLambdaBasicExecutionRole"];
    if !wanted.vpc.subnets.is_empty() {
        policies.push("service-role/AWSLambdaVPCAccessExecutionRole");
    }
    if wanted.tracing {
        policies.push("AWSXRayDaemonWriteAccess");
    }
    policies
}

impl Roles {
    /// The role for `wanted`: the one it names, else the stack's, made when it is not there.
    ///
    /// # Errors
    /// When the role can't be made, or one of its name belongs to something else.
    pub async fn ensure(&self, aws: &Aws, wanted: &Wanted, stack: &str) -> Result<Role> {
        if let Some(arn) = &wanted.role {
            return Ok(Role { arn: arn.clone(), young: false });
        }
        let mut known = self.0.lock().await;
        let needed = policies(wanted);
        if let Some(known) = known.get(stack)
            && needed.iter().all(|policy| known.policies.contains(policy))
        {
            return Ok(known.role.clone());
        }
        let name = name_for(stack);
        let role = made(aws, &name, stack, "lambda.amazonaws.com").await?;
        for policy in &needed {
            let arn = format!("arn:{}:iam::aws:policy/{policy}", partition(&aws.region));
            let attached = aws.iam.attach_role_policy().role_name(&name).policy_arn(&arn).send().await;
            attached.map_err(|error| fault(format!("can't give the role {name} the policy {policy}"), &error))?;
        }
        let role = told(&role);
        known.insert(stack.to_owned(), Known { role: role.clone(), policies: needed });
        Ok(role)
    }

    /// The role that EventBridge calls the function as: the stack's, with the right to call this one.
    ///
    /// # Errors
    /// When the role can't be made, or one of its name belongs to something else.
    pub async fn for_schedules(&self, aws: &Aws, stack: &str, function: &str, arn: &str) -> Result<Role> {
        let _one_at_a_time = self.0.lock().await;
        let name = name_for_schedules(stack);
        let role = told(&made(aws, &name, stack, "scheduler.amazonaws.com").await?);
        let statement = json!({
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": format!("{arn}:{}", super::name::ALIAS),
        });
        allow(aws, &name, function, &[statement]).await?;
        Ok(role)
    }
}

fn told(role: &IamRole) -> Role {
    let made = SystemTime::try_from(*role.create_date()).unwrap_or(SystemTime::UNIX_EPOCH);
    let young = made.elapsed().map_or(true, |age| age < SETTLES);
    Role { arn: role.arn().to_owned(), young }
}

/// The role of this name, made when it is not there.
async fn made(aws: &Aws, name: &str, stack: &str, service: &str) -> Result<IamRole> {
    let role = match get(aws, name).await? {
        Some(role) => role,
        None => create(aws, name, stack, service).await?,
    };
    if !is_ours(&role, stack) {
        return Err(Fault::failed(format!("the role {name} is there and belongs to something else"))
            .cause(format!("it has no tag {STACK_KEY}={stack}"))
            .hint("name a role for the functions in `provider.lambda.role`"));
    }
    Ok(role)
}

/// Gives a role of ours what one function needs, as a policy of the function's name: functions that are deployed at the
/// same time don't get into each other's way.
///
/// # Errors
/// When IAM refuses it.
pub async fn allow(aws: &Aws, role: &str, function: &str, statements: &[Value]) -> Result<()> {
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    let put = aws.iam.put_role_policy().role_name(role).policy_name(function).policy_document(policy.to_string());
    put.send().await.map(|_| ()).map_err(|error| {
        let fault = fault(format!("can't give the role {role} what {function} needs"), &error);
        match code(&error).starts_with("LimitExceeded") {
            true => fault.hint("a role takes 10240 characters of policies: give the function a role by `lambda.role`"),
            false => fault,
        }
    })
}

/// Takes back what [`allow`] gave.
///
/// # Errors
/// When IAM refuses it.
pub async fn forbid(aws: &Aws, role: &str, function: &str) -> Result<()> {
    let deleted = aws.iam.delete_role_policy().role_name(role).policy_name(function).send().await;
    gone_is_fine(deleted, || format!("can't take back from the role {role} what {function} needed"))
}

async fn get(aws: &Aws, name: &str) -> Result<Option<IamRole>> {
    match aws.iam.get_role().role_name(name).send().await {
        Ok(output) => Ok(output.role().cloned()),
        Err(error) if code(&error).starts_with("NoSuchEntity") => Ok(None),
        Err(error) => Err(fault(format!("can't look up the role {name}"), &error)),
    }
}

async fn create(aws: &Aws, name: &str, stack: &str, service: &str) -> Result<IamRole> {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    });
    let tag = Tag::builder().key(STACK_KEY).value(escape(stack)).build().or_fault(|| "can't tag a role".into())?;
    let created = aws
        .iam
        .create_role()
        .role_name(name)
        .assume_role_policy_document(trust.to_string())
        .description("What functions deployed by faas run as")
        .tags(tag)
        .send()
        .await;
    match created {
        Ok(output) => output.role().cloned().ok_or_else(|| Fault::failed(format!("AWS told nothing of role {name}"))),
        // Another run of ours was faster.
        Err(error) if code(&error).starts_with("EntityAlreadyExists") => {
            get(aws, name).await?.ok_or_else(|| Fault::failed(format!("the role {name} comes and goes")))
        }
        Err(error) => Err(fault(format!("can't make the role {name}"), &error)),
    }
}

fn is_ours(role: &IamRole, stack: &str) -> bool {
    role.tags().iter().any(|tag| tag.key() == STACK_KEY && tag.value() == escape(stack))
}

/// The part of AWS that a region is in, as ARNs name it.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Removes the roles of a stack, when they are ours.
///
/// # Errors
/// When one is there and can't be removed.
pub async fn remove(aws: &Aws, stack: &str) -> Result<()> {
    for name in [name_for(stack), name_for_schedules(stack)] {
        remove_one(aws, stack, name).await?;
    }
    Ok(())
}

async fn remove_one(aws: &Aws, stack: &str, name: String) -> Result<()> {
    let Some(role) = get(aws, &name).await? else { return Ok(()) };
    if !is_ours(&role, stack) {
        return Ok(());
    }
    let why = || format!("can't remove the role {name}");
    let attached = aws.iam.list_attached_role_policies().role_name(&name).send().await.map_err(|e| fault(why(), &e))?;
    for policy in attached.attached_policies() {
        let arn = policy.policy_arn().unwrap_or_default();
        let detached = aws.iam.detach_role_policy().role_name(&name).policy_arn(arn).send().await;
        gone_is_fine(detached, why)?;
    }
    let own = aws.iam.list_role_policies().role_name(&name).send().await.map_err(|e| fault(why(), &e))?;
    for policy in own.policy_names() {
        forbid(aws, &name, policy).await?;
    }
    gone_is_fine(aws.iam.delete_role().role_name(&name).send().await, why)
}

fn gone_is_fine<T, E>(result: Result<T, aws_sdk_lambda::error::SdkError<E>>, why: impl Fn() -> String) -> Result<()>
where
    E: aws_sdk_lambda::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match result {
        Ok(_) => Ok(()),
        Err(error) if code(&error).starts_with("NoSuchEntity") => Ok(()),
        Err(error) => Err(fault(why(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_fit() {
        assert_eq!(name_for("shop"), "faas-shop");
        assert_eq!(name_for("my shop"), "faas-my-shop");
        let long = name_for(&"s".repeat(90));
        assert_eq!(long.len(), 64);
        assert_ne!(long, name_for(&"s".repeat(91)));
    }
}
