//! What `faas doctor` looks at on AWS: who we are, where, and whether that may do what deploys do; what is missing comes as
//! the policy to add. Asks IAM where that is allowed, else tries what only reads. Nothing is changed.
use std::time::Duration;

use aws_sdk_iam::types::PolicyEvaluationDecisionType::Allowed;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};

use super::Lambda;
use super::aws::Aws;
use super::fault::{code, fault, said};
use super::name::function_name;
use super::rights::{Group, Place, Right, policy};
use super::role;
use crate::backend::Finding;
use crate::error::Result;
use crate::finding;
use crate::function::Function;

/// How long one look may take: IAM is in one region, and answers from far away.
const LIMIT: Duration = Duration::from_secs(30);
/// Looks at all of it, for these functions of a stack.
pub async fn examine(lambda: &Lambda, functions: &[Function], stack: &str) -> Vec<Finding> {
    let aws = match lambda.aws().await {
        Ok(aws) => aws,
        Err(fault) => return vec![Finding::of_fault("AWS credentials", &fault)],
    };
    let mut all = vec![Finding::ok("AWS region", format!("{} at {}", aws.region, aws.address))];
    let mut known = None;
    let identity = finding::look("AWS identity", LIMIT, async {
        let identity = aws.sts.get_caller_identity().send().await;
        let identity = identity.map_err(|error| fault("can't ask AWS who we are", &error))?;
        known = identity.arn().map(|arn| (arn.to_owned(), identity.account().unwrap_or("*").to_owned()));
        let found = format!("{} of account {}", identity.arn().unwrap_or("?"), identity.account().unwrap_or("?"));
        Ok(Finding::ok("AWS identity", found))
    });
    all.push(identity.await);
    let Some((arn, account)) = known else { return all };
    if arn.ends_with(":root") {
        all.push(
            Finding::warning("AWS rights", "the account's root user may do everything")
                .hint("use a role or a user with the rights that are needed: a lost key of root's loses the account"),
        );
        return all;
    }
    let settings = &lambda.settings;
    let place = Place { functions, stack, settings, account: &account, region: &aws.region };
    let groups = place.groups();
    match tokio::time::timeout(LIMIT, simulated(aws, &arn, &groups)).await {
        Ok(Ok(findings)) => all.extend(findings),
        Ok(Err(why)) => all.push(finding::look("AWS rights", LIMIT, probed(aws, &place, &groups, why)).await),
        Err(_) => all.push(Finding::skipped("AWS rights", "IAM gave no answer in time")),
    }
    all
}

/// What IAM says of each right; why it can't be asked.
async fn simulated(aws: &Aws, arn: &str, groups: &[Group]) -> Result<Vec<Finding>, String> {
    let source = principal(aws, arn).await?;
    let asked = groups.iter().map(|group| {
        let missing = futures_util::future::try_join_all(group.rights.iter().map(|right| missing(aws, &source, right)));
        async move { Ok::<_, String>(finding(group, &missing.await?)) }
    });
    futures_util::future::try_join_all(asked).await
}

/// What IAM does not allow of a right.
async fn missing(aws: &Aws, source: &str, right: &Right) -> Result<Right, String> {
    let mut asked = aws.iam.simulate_principal_policy().policy_source_arn(source);
    asked = asked.set_action_names(Some(right.actions.iter().map(|action| (*action).to_owned()).collect()));
    // A policy for some resources does not allow anything for all.
    asked = asked.set_resource_arns(Some(right.asked()));
    if !right.passed_to.is_empty() {
        let to = right.passed_to.iter().map(|service| (*service).to_owned()).collect();
        let entry = ContextEntry::builder()
            .context_key_name("iam:PassedToService")
            .set_context_key_values(Some(to))
            .context_key_type(ContextKeyTypeEnum::String);
        asked = asked.context_entries(entry.build());
    }
    let answers: Result<Vec<_>, _> = asked.into_paginator().items().send().collect().await;
    let answers = answers.map_err(|error| why(&error))?;
    let allowed = |answer: &EvaluationResult| {
        let each = answer.resource_specific_results();
        *answer.eval_decision() == Allowed && each.iter().all(|one| *one.eval_resource_decision() == Allowed)
    };
    Ok(right.only(|action| {
        let mut about = answers.iter().filter(|answer| answer.eval_action_name() == action).peekable();
        about.peek().is_none() || !about.all(allowed)
    }))
}

fn finding(group: &Group, missing: &[Right]) -> Finding {
    let names: Vec<&str> = missing.iter().flat_map(|right| right.actions.iter().copied()).collect();
    if names.is_empty() {
        let all: usize = group.rights.iter().map(|right| right.actions.len()).sum();
        return Finding::ok(group.about, format!("all {all} are there"));
    }
    let found = format!("missing: {}", names.join(", "));
    let finding = if group.needed { Finding::broken(group.about, found) } else { Finding::warning(group.about, found) };
    finding
        .hint("ask whoever keeps the account for this policy")
        .document("policy for IAM", serde_json::to_string_pretty(&policy(missing)).unwrap_or_default())
}

/// The user or role behind an identity: policies are not a session's.
async fn principal(aws: &Aws, arn: &str) -> Result<String, String> {
    let Some((account, session)) = arn.split_once(":assumed-role/") else { return Ok(arn.to_owned()) };
    let name = session.split('/').next().unwrap_or_default();
    // Its path, which the session does not tell.
    match aws.iam.get_role().role_name(name).send().await {
        Ok(output) => Ok(output.role().map(|role| role.arn().to_owned()).unwrap_or_default()),
        Err(_) => {
            let account = account.rsplit(':').next().unwrap_or_default();
            Ok(format!("arn:{}:iam::{account}:role/{name}", role::partition(&aws.region)))
        }
    }
}

fn why<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    match (code(error), said(error)) {
        ("", _) => "it gives no answer of AWS's".into(),
        (code, "") => code.to_owned(),
        (code, said) => format!("{said} ({code})"),
    }
}

/// What can be tried without changing anything.
async fn probed(aws: &Aws, place: &Place<'_>, groups: &[Group], why: String) -> Result<Finding> {
    // Who may ask for what is not there is told so, who may not is refused.
    let name = place.functions.first().map_or_else(|| "nobody".into(), |function| function_name(&function.id()));
    let (role, log) = (role::name_for(place.stack, place.region), super::logs::group(&name));
    let (functions, function, role, logs) = tokio::join!(
        async { refused("lambda:ListFunctions", aws.lambda.list_functions().max_items(1).send().await) },
        async { refused("lambda:GetFunction", aws.lambda.get_function().function_name(&name).send().await) },
        async { refused("iam:GetRole", aws.iam.get_role().role_name(&role).send().await) },
        async {
            let asked = aws.logs.filter_log_events().log_group_name(&log).limit(1).send().await;
            refused("logs:FilterLogEvents", asked)
        },
    );
    let mut refused = Vec::new();
    for looked in [functions, function, role, logs] {
        refused.extend(looked?);
    }
    let rights = groups.iter().flat_map(|group| &group.rights);
    let missing: Vec<Right> = rights.map(|right| right.only(|action| refused.contains(&action))).collect();
    let all = Group { about: "AWS rights", needed: true, rights: Vec::new() };
    let mut finding = finding(&all, &missing);
    if refused.is_empty() {
        finding = Finding::skipped("AWS rights", format!("reading is allowed; IAM does not say more: {why}"))
            .hint("`iam:SimulatePrincipalPolicy` on oneself lets faas look; a deploy names each right that is missing");
    }
    Ok(finding)
}

/// The action, when it is not allowed. Only an answer, or that there is no such thing, says that it is.
fn refused<T, E>(action: &'static str, asked: Result<T, SdkError<E>>) -> Result<Option<&'static str>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = asked else { return Ok(None) };
    match code(&error) {
        "ResourceNotFoundException" | "NoSuchEntity" | "NoSuchEntityException" => Ok(None),
        code if code.starts_with("AccessDenied") || said(&error).contains("not authorized to perform") => {
            Ok(Some(action))
        }
        _ => Err(fault(format!("can't tell whether {action} is allowed"), &error)),
    }
}
