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

/// The roles that were looked for, by name; one at a time, as many functions ask for the same one.
#[derive(Debug, Default)]
pub struct Roles(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    role: Role,
    policies: Vec<&'static str>,
}

/// The name of a stack's role in a region. Roles are of the whole account, functions and what they may use are of a region.
#[must_use]
pub fn name_for(stack: &str, region: &str) -> String {
    fitted(stack, &format!("-{region}"))
}

/// The name of the role that EventBridge calls a stack's functions as, in a region.
#[must_use]
pub fn name_for_schedules(stack: &str, region: &str) -> String {
    fitted(stack, &format!("-{region}-schedules"))
}

/// The name that a stack's role had once, in all regions the same.
#[must_use]
pub fn name_everywhere(stack: &str) -> String {
    fitted(stack, "")
}

/// The name of the stack's own role that a function runs as, by its ARN; `None` when it is another.
#[must_use]
pub fn own(arn: &str, stack: &str, region: &str) -> Option<String> {
    let names = [name_for(stack, region), name_everywhere(stack)];
    names.into_iter().find(|name| arn.ends_with(&format!(":role/{name}")))
}

/// The name of the policy that gives a function what it alone needs. In a role of all regions, each has its own.
#[must_use]
pub fn policy_for(role: &str, function: &str, region: &str) -> String {
    match role.contains(&format!("-{region}")) {
        true => function.to_owned(),
        false => format!("{function}@{region}"),
    }
}

fn fitted(stack: &str, rest: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+=,.@_-".contains(c) { c } else { '-' };
    let mut name: String = format!("faas-{stack}").chars().map(plain).collect();
    if name.len() + rest.len() > 64 {
        let mark = blake3::hash(stack.as_bytes()).to_hex();
        name.truncate(55 - rest.len());
        name = format!("{name}-{}", &mark[..8]);
    }
    name + rest
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
    /// The role for `wanted`: the one it names, else the stack's of this `name`, made when it is not there.
    ///
    /// # Errors
    /// When the role can't be made, or one of its name belongs to something else.
    pub async fn ensure(&self, aws: &Aws, wanted: &Wanted, stack: &str, name: &str) -> Result<Role> {
        if let Some(arn) = &wanted.role {
            return Ok(Role { arn: arn.clone(), young: false });
        }
        let mut known = self.0.lock().await;
        let needed = policies(wanted);
        if let Some(known) = known.get(name)
            && needed.iter().all(|policy| known.policies.contains(policy))
        {
            return Ok(known.role.clone());
        }
        let role = made(aws, name, stack, "lambda.amazonaws.com").await?;
        for policy in &needed {
            let arn = format!("arn:{}:iam::aws:policy/{policy}", partition(&aws.region));
            let attached = aws.iam.attach_role_policy().role_name(name).policy_arn(&arn).send().await;
            attached.map_err(|error| fault(format!("can't give the role {name} the policy {policy}"), &error))?;
        }
        let role = told(&role);
        known.insert(name.to_owned(), Known { role: role.clone(), policies: needed });
        Ok(role)
    }

    /// The role that EventBridge calls the function as: the stack's, with the right to call this one.
    ///
    /// # Errors
    /// When the role can't be made, or one of its name belongs to something else.
    pub async fn for_schedules(&self, aws: &Aws, stack: &str, function: &str, arn: &str) -> Result<Role> {
        let _one_at_a_time = self.0.lock().await;
        let name = name_for_schedules(stack, &aws.region);
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

impl Role {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

/// Gives a role of ours what one function needs, as a policy of the function's name: functions that are deployed at the
/// same time don't get into each other's way.
///
/// # Errors
/// When IAM refuses it.
pub async fn allow(aws: &Aws, role: &str, function: &str, statements: &[Value]) -> Result<()> {
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    let put = aws.iam.put_role_policy().role_name(role).policy_name(policy_for(role, function, &aws.region));
    put.policy_document(policy.to_string()).send().await.map(|_| ()).map_err(|error| {
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
    let policy = policy_for(role, function, &aws.region);
    let deleted = aws.iam.delete_role_policy().role_name(role).policy_name(policy).send().await;
    gone_is_fine(deleted, || format!("can't take back from the role {role} what {function} needed")).map(|_| ())
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

/// Removes the roles of a stack in this region, when they are ours. One of all regions stays: whether functions of others
/// run as it can't be told from here.
///
/// # Errors
/// When one is there and can't be removed.
pub async fn remove(aws: &Aws, stack: &str) -> Result<()> {
    for name in [name_for(stack, &aws.region), name_for_schedules(stack, &aws.region)] {
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
    // Another run may remove the same role: what it has taken away already is done.
    let attached = aws.iam.list_attached_role_policies().role_name(&name).send().await;
    let Some(attached) = gone_is_fine(attached, why)? else { return Ok(()) };
    for policy in attached.attached_policies() {
        let arn = policy.policy_arn().unwrap_or_default();
        let detached = aws.iam.detach_role_policy().role_name(&name).policy_arn(arn).send().await;
        gone_is_fine(detached, why)?;
    }
    let own = aws.iam.list_role_policies().role_name(&name).send().await;
    let Some(own) = gone_is_fine(own, why)? else { return Ok(()) };
    for policy in own.policy_names() {
        let deleted = aws.iam.delete_role_policy().role_name(&name).policy_name(policy).send().await;
        gone_is_fine(deleted, why)?;
    }
    gone_is_fine(aws.iam.delete_role().role_name(&name).send().await, why).map(|_| ())
}

/// What was answered; `None` when there is no such thing any more.
fn gone_is_fine<T, E>(
    result: Result<T, aws_sdk_lambda::error::SdkError<E>>,
    why: impl Fn() -> String,
) -> Result<Option<T>>
where
    E: aws_sdk_lambda::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match result {
        Ok(told) => Ok(Some(told)),
        Err(error) if code(&error).starts_with("NoSuchEntity") => Ok(None),
        Err(error) => Err(fault(why(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_fit() {
        assert_eq!(name_for("my shop", "eu-west-1"), "faas-my-shop-eu-west-1");
        assert_eq!(name_for_schedules("shop", "eu-west-1"), "faas-shop-eu-west-1-schedules");
        for name in [name_for, name_for_schedules] {
            let long = name(&"s".repeat(90), "us-isob-east-1");
            assert_eq!(long.len(), 64);
            assert_ne!(long, name(&"s".repeat(91), "us-isob-east-1"));
            assert_ne!(long, name(&"s".repeat(90), "us-isob-west-1"));
        }
    }

    #[test]
    fn a_role_of_all_regions_is_the_stacks_own_and_has_a_policy_for_each() {
        let arn = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
        let own = |name: &str| own(&arn(name), "shop", "eu-west-1");
        assert_eq!(own("faas-shop").as_deref(), Some("faas-shop"));
        assert_eq!(own("faas-shop-eu-west-1").as_deref(), Some("faas-shop-eu-west-1"));
        assert_eq!(own("faas-shop-us-east-1"), None);
        assert_eq!(policy_for("faas-shop", "tax", "eu-west-1"), "tax@eu-west-1");
        assert_eq!(policy_for("faas-shop-eu-west-1-schedules", "tax", "eu-west-1"), "tax");
    }
}
