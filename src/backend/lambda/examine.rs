//! What `faas doctor` looks at on AWS: who we are, where, and whether that may do what deploys do; what is missing comes as
//! the policy to add. Asks IAM where that is allowed, else tries what only reads. Nothing is changed.
use std::time::Duration;

use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use serde_json::json;

use super::Lambda;
use super::aws::Aws;
use super::fault::{code, fault, said};
use super::role;
use crate::backend::Finding;
use crate::error::Result;
use crate::finding;

/// How long one look may take: IAM is in one region, and answers from far away.
const LIMIT: Duration = Duration::from_secs(30);
/// What the rights are for, whether deploys need them all, and which they are.
type Group = (&'static str, bool, &'static [&'static str]);

const GROUPS: [Group; 4] = [
    (
        "AWS rights to deploy",
        true,
        &[
            "iam:AttachRolePolicy",
            "iam:CreateRole",
            "iam:GetRole",
            "iam:PassRole",
            "iam:TagRole",
            "lambda:CreateAlias",
            "lambda:CreateFunction",
            "lambda:GetAlias",
            "lambda:GetFunction",
            "lambda:GetFunctionConfiguration",
            "lambda:ListFunctions",
            "lambda:ListTags",
            "lambda:ListVersionsByFunction",
            "lambda:PublishVersion",
            "lambda:TagResource",
            "lambda:UntagResource",
            "lambda:UpdateAlias",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
        ],
    ),
    ("AWS rights to call", true, &["lambda:InvokeFunction", "logs:FilterLogEvents"]),
    (
        "AWS rights to remove",
        false,
        &[
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:ListRolePolicies",
            "lambda:DeleteFunction",
            "logs:DeleteLogGroup",
        ],
    ),
    (
        "AWS rights for URLs, secrets, schedules",
        false,
        &[
            "iam:PutRolePolicy",
            "lambda:AddPermission",
            "lambda:CreateFunctionUrlConfig",
            "lambda:PutFunctionConcurrency",
            "lambda:PutFunctionEventInvokeConfig",
            "scheduler:CreateSchedule",
            "ssm:DeleteParameter",
            "ssm:DescribeParameters",
            "ssm:PutParameter",
        ],
    ),
];

/// Looks at all of it.
pub async fn examine(lambda: &Lambda) -> Vec<Finding> {
    let aws = match lambda.aws().await {
        Ok(aws) => aws,
        Err(fault) => return vec![Finding::of_fault("AWS credentials", &fault)],
    };
    let mut all = vec![Finding::ok("AWS region", format!("{} at {}", aws.region, aws.address))];
    let mut arn = None;
    let identity = finding::look("AWS identity", LIMIT, async {
        let identity = aws.sts.get_caller_identity().send().await;
        let identity = identity.map_err(|error| fault("can't ask AWS who we are", &error))?;
        arn = identity.arn().map(str::to_owned);
        let found = format!("{} of account {}", identity.arn().unwrap_or("?"), identity.account().unwrap_or("?"));
        Ok(Finding::ok("AWS identity", found))
    });
    all.push(identity.await);
    let Some(arn) = arn else { return all };
    if arn.ends_with(":root") {
        all.push(
            Finding::warning("AWS rights", "the account's root user may do everything")
                .hint("use a role or a user with the rights that are needed: a lost key of root's loses the account"),
        );
        return all;
    }
    match tokio::time::timeout(LIMIT, simulated(aws, &arn)).await {
        Ok(Ok(findings)) => all.extend(findings),
        Ok(Err(why)) => all.push(finding::look("AWS rights", LIMIT, probed(aws, why)).await),
        Err(_) => all.push(Finding::skipped("AWS rights", "IAM gave no answer in time")),
    }
    all
}

/// What IAM says of each right; why it can't be asked.
async fn simulated(aws: &Aws, arn: &str) -> Result<Vec<Finding>, String> {
    let source = principal(aws, arn).await?;
    let mut findings = Vec::new();
    for (about, needed, actions) in GROUPS {
        let asked = aws.iam.simulate_principal_policy().policy_source_arn(&source);
        let asked = asked.set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()));
        let answers: Result<Vec<_>, _> = asked.into_paginator().items().send().collect().await;
        let answers = answers.map_err(|error| why(&error))?;
        let allowed = |action: &str| {
            answers.iter().any(|answer| {
                answer.eval_action_name() == action && *answer.eval_decision() == PolicyEvaluationDecisionType::Allowed
            })
        };
        let missing: Vec<&str> = actions.iter().copied().filter(|action| !allowed(action)).collect();
        findings.push(finding(about, needed, actions.len(), &missing));
    }
    Ok(findings)
}

fn finding(about: &str, needed: bool, all: usize, missing: &[&str]) -> Finding {
    if missing.is_empty() {
        return Finding::ok(about, format!("all {all} are there"));
    }
    let found = format!("missing: {}", missing.join(", "));
    let finding = if needed { Finding::broken(about, found) } else { Finding::warning(about, found) };
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": missing, "Resource": "*"}],
    });
    finding
        .hint("ask whoever keeps the account for this policy")
        .document("policy for IAM", serde_json::to_string_pretty(&policy).unwrap_or_default())
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
async fn probed(aws: &Aws, why: String) -> Result<Finding> {
    // Asked for things that are not there: who may ask is told so, who may not is refused.
    let nobody = "faas-doctor-looks-for-nobody";
    let (functions, function, role, logs, parameters) = tokio::join!(
        async { refused("lambda:ListFunctions", aws.lambda.list_functions().max_items(1).send().await) },
        async { refused("lambda:GetFunction", aws.lambda.get_function().function_name(nobody).send().await) },
        async { refused("iam:GetRole", aws.iam.get_role().role_name(nobody).send().await) },
        async { refused("logs:DescribeLogGroups", aws.logs.describe_log_groups().limit(1).send().await) },
        async { refused("ssm:DescribeParameters", aws.ssm.describe_parameters().max_results(1).send().await) },
    );
    let all = [functions, function, role, logs, parameters];
    let missing: Vec<&str> = all.into_iter().flatten().collect();
    let mut finding = finding("AWS rights", true, 5, &missing);
    if missing.is_empty() {
        finding = Finding::skipped("AWS rights", format!("reading is allowed; IAM does not say more: {why}"))
            .hint("`iam:SimulatePrincipalPolicy` on oneself lets faas look; a deploy names each right that is missing");
    }
    Ok(finding)
}

fn refused<T, E: ProvideErrorMetadata>(action: &'static str, asked: Result<T, SdkError<E>>) -> Option<&'static str> {
    let error = asked.err()?;
    (code(&error).starts_with("AccessDenied") || said(&error).contains("not authorized to perform")).then_some(action)
}
