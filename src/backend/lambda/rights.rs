//! The rights that a stack's commands take on AWS, each for as little as IAM lets it be given for.
//!
//! Which actions can be given for one resource: <https://docs.aws.amazon.com/service-authorization/latest/reference/>
use serde_json::{Value, json};

use super::name::function_name;
use super::settings::{Options, Settings, Store};
use super::{registry, role, secrets};
use crate::function::{Function, UrlAccess};

/// Actions on the same resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// What is done.
    pub actions: Vec<&'static str>,
    /// To what: ARNs, or `*` where IAM gives it for all or not at all.
    pub resources: Vec<String>,
    /// Services that a role is passed to; for `iam:PassRole` alone.
    pub passed_to: Vec<&'static str>,
}

/// Rights for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The purpose.
    pub about: &'static str,
    /// Whether this stack can't be deployed and called without them.
    pub needed: bool,
    /// The rights.
    pub rights: Vec<Right>,
}

impl Right {
    fn new(actions: &[&'static str], resources: Vec<String>) -> Self {
        Self { actions: actions.to_vec(), resources, passed_to: Vec::new() }
    }

    /// The same right for some of its actions.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let actions = self.actions.iter().copied().filter(|action| keep(action)).collect();
        Self { actions, ..self.clone() }
    }

    /// The resources as a question takes them: without those that stand for versions and aliases.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.resources.iter().filter(|arn| !arn.ends_with(":*")).cloned().collect()
    }

    fn statement(&self) -> Value {
        let mut statement = json!({"Effect": "Allow", "Action": self.actions, "Resource": self.resources});
        if !self.passed_to.is_empty() {
            statement["Condition"] = json!({"StringEquals": {"iam:PassedToService": self.passed_to}});
        }
        statement
    }
}

/// The policy that gives these rights and no others.
#[must_use]
pub fn policy<'r>(rights: impl IntoIterator<Item = &'r Right>) -> Value {
    let given = rights.into_iter().filter(|right| !right.actions.is_empty());
    json!({"Version": "2012-10-17", "Statement": given.map(Right::statement).collect::<Vec<_>>()})
}

/// A stack, and where it is deployed to.
pub struct Place<'a> {
    /// The stack's functions; none stands for any.
    pub functions: &'a [Function],
    /// Its name.
    pub stack: &'a str,
    /// `provider.lambda`.
    pub settings: &'a Settings,
    /// The account.
    pub account: &'a str,
    /// The region.
    pub region: &'a str,
}

impl Place<'_> {
    /// All rights, by purpose.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let group = |about, needed, rights: Vec<Right>| Group {
            about,
            needed,
            rights: rights.into_iter().filter(|right| !right.resources.is_empty()).collect(),
        };
        let mut groups = vec![
            group("AWS rights to deploy", true, self.deploy()),
            group("AWS rights to call", true, self.call()),
            group("AWS rights to remove", false, self.remove()),
            group("AWS rights for URLs, secrets, schedules", !self.functions.is_empty(), self.more()),
        ];
        groups.retain(|group| !group.rights.is_empty());
        groups
    }

    fn deploy(&self) -> Vec<Right> {
        let own = self.own_roles();
        let mut passed = Right::new(&["iam:PassRole"], own.iter().cloned().chain(self.named_roles()).collect());
        passed.passed_to.push("lambda.amazonaws.com");
        if self.uses(|function, _| function.schedule.is_some()) {
            passed.passed_to.push("scheduler.amazonaws.com");
        }
        vec![
            Right::new(&["iam:AttachRolePolicy", "iam:CreateRole", "iam:GetRole", "iam:TagRole"], own),
            passed,
            Right::new(
                &[
                    "lambda:CreateAlias",
                    "lambda:CreateFunction",
                    "lambda:DeleteFunction",
                    "lambda:GetAlias",
                    "lambda:GetFunction",
                    "lambda:GetFunctionConfiguration",
                    "lambda:ListAliases",
                    "lambda:ListTags",
                    "lambda:ListVersionsByFunction",
                    "lambda:PublishVersion",
                    "lambda:TagResource",
                    "lambda:UntagResource",
                    "lambda:UpdateAlias",
                    "lambda:UpdateFunctionCode",
                    "lambda:UpdateFunctionConfiguration",
                ],
                self.function_arns(|_, _| true),
            ),
            Right::new(&["lambda:ListFunctions"], vec!["*".into()]),
            Right::new(
                &[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:CreateRepository",
                    "ecr:DescribeRepositories",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:GetRepositoryPolicy",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:SetRepositoryPolicy",
                    "ecr:UploadLayerPart",
                ],
                self.repositories(),
            ),
            Right::new(
                &["ecr:GetAuthorizationToken"],
                if self.repositories().is_empty() { Vec::new() } else { vec!["*".into()] },
            ),
        ]
    }

    fn call(&self) -> Vec<Right> {
        vec![
            Right::new(&["lambda:InvokeFunction"], self.function_arns(|_, _| true)),
            Right::new(
                &["lambda:InvokeFunctionUrl"],
                self.function_arns(|function, _| function.url == Some(UrlAccess::Iam)),
            ),
            Right::new(&["logs:FilterLogEvents"], self.log_groups(|_, _| true)),
        ]
    }

    fn remove(&self) -> Vec<Right> {
        vec![
            Right::new(
                &[
                    "iam:DeleteRole",
                    "iam:DeleteRolePolicy",
                    "iam:DetachRolePolicy",
                    "iam:ListAttachedRolePolicies",
                    "iam:ListRolePolicies",
                ],
                self.own_roles(),
            ),
            Right::new(&["lambda:DeleteFunction"], self.function_arns(|_, _| true)),
            Right::new(&["logs:DeleteLogGroup"], self.log_groups(|_, _| true)),
        ]
    }

    fn more(&self) -> Vec<Right> {
        let has_rights = |function: &Function, options: &Options| {
            let sends = options.queue.as_ref().is_some_and(|q| q.on_success.is_some() || q.on_failure.is_some());
            let needs = !function.secrets.is_empty() || options.dead_letter.is_some() || sends;
            function.schedule.is_some() || (needs && options.role.is_none() && self.settings.role.is_none())
        };
        let own = if self.uses(has_rights) { self.own_roles() } else { Vec::new() };
        let mut rights = vec![
            Right::new(&["iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:PutRolePolicy"], own),
            Right::new(
                &[
                    "lambda:AddPermission",
                    "lambda:CreateFunctionUrlConfig",
                    "lambda:DeleteFunctionUrlConfig",
                    "lambda:GetFunctionUrlConfig",
                    "lambda:RemovePermission",
                    "lambda:UpdateFunctionUrlConfig",
                ],
                self.function_arns(|function, _| function.url.is_some_and(|access| access != UrlAccess::None)),
            ),
            Right::new(
                &["lambda:DeleteFunctionConcurrency", "lambda:PutFunctionConcurrency"],
                self.function_arns(|function, _| function.scale.max.is_some()),
            ),
            Right::new(
                &[
                    "lambda:DeleteFunctionEventInvokeConfig",
                    "lambda:GetFunctionEventInvokeConfig",
                    "lambda:PutFunctionEventInvokeConfig",
                ],
                self.function_arns(|_, options| options.queue.is_some()),
            ),
            Right::new(
                &[
                    "lambda:DeleteProvisionedConcurrencyConfig",
                    "lambda:GetProvisionedConcurrencyConfig",
                    "lambda:PutProvisionedConcurrencyConfig",
                ],
                self.function_arns(|_, options| options.provisioned.is_some()),
            ),
            Right::new(
                &["logs:CreateLogGroup", "logs:DescribeLogGroups", "logs:PutRetentionPolicy"],
                self.log_groups(|_, options| options.log_retention.is_some()),
            ),
            Right::new(
                &[
                    "scheduler:CreateSchedule",
                    "scheduler:DeleteSchedule",
                    "scheduler:GetSchedule",
                    "scheduler:UpdateSchedule",
                ],
                self.each(
                    |function, _| function.schedule.is_some(),
                    |name| vec![self.arn("scheduler", &format!("schedule/default/{name}"))],
                ),
            ),
        ];
        rights.extend(self.secrets());
        rights
    }

    fn secrets(&self) -> Vec<Right> {
        let mut folders: Vec<String> = (self.functions.iter())
            .filter(|function| !function.secrets.is_empty())
            .map(|function| secrets::folder(function.namespace.as_deref()))
            .collect();
        if self.functions.is_empty() {
            folders.push("/faas".into());
        }
        folders.sort();
        folders.dedup();
        if folders.is_empty() {
            return Vec::new();
        }
        let all = || vec!["*".to_owned()];
        match self.settings.secrets {
            Store::Ssm => vec![
                Right::new(
                    &["ssm:DeleteParameter", "ssm:PutParameter"],
                    folders.iter().map(|folder| self.arn("ssm", &format!("parameter{folder}/*"))).collect(),
                ),
                Right::new(&["ssm:DescribeParameters"], all()),
            ],
            Store::SecretsManager => vec![
                Right::new(
                    &["secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:PutSecretValue"],
                    folders.iter().map(|f| self.arn("secretsmanager", &format!("secret:{}/*", &f[1..]))).collect(),
                ),
                Right::new(&["secretsmanager:ListSecrets"], all()),
            ],
        }
    }

    fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{rest}", role::partition(self.region), self.region, self.account)
    }

    fn role_arn(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:role/{name}", role::partition(self.region), self.account)
    }

    fn uses(&self, what: impl Fn(&Function, &Options) -> bool) -> bool {
        self.functions.is_empty() || self.functions.iter().any(|f| what(f, &Options::of(f).unwrap_or_default()))
    }

    /// What `arns` makes of the names of those functions that `what` chooses; of `*` where no function is known.
    fn each(&self, what: impl Fn(&Function, &Options) -> bool, arns: impl Fn(&str) -> Vec<String>) -> Vec<String> {
        if self.functions.is_empty() {
            return arns("*");
        }
        let chosen = self.functions.iter().filter(|f| what(f, &Options::of(f).unwrap_or_default()));
        chosen.flat_map(|function| arns(&function_name(&function.id()))).collect()
    }

    fn function_arns(&self, what: impl Fn(&Function, &Options) -> bool) -> Vec<String> {
        self.each(what, |name| {
            let arn = self.arn("lambda", &format!("function:{name}"));
            vec![arn.clone(), format!("{arn}:*")]
        })
    }

    fn log_groups(&self, what: impl Fn(&Function, &Options) -> bool) -> Vec<String> {
        self.each(what, |name| {
            let arn = self.arn("logs", &format!("log-group:/aws/lambda/{name}"));
            vec![arn.clone(), format!("{arn}:*")]
        })
    }

    /// The roles that are made for the stack.
    fn own_roles(&self) -> Vec<String> {
        let mut roles = Vec::new();
        if self.uses(|_, options| options.role.is_none() && self.settings.role.is_none()) {
            roles.push(self.role_arn(&role::name_for(self.stack, self.region)));
        }
        if self.uses(|function, _| function.schedule.is_some()) {
            roles.push(self.role_arn(&role::name_for_schedules(self.stack, self.region)));
        }
        roles
    }

    /// The roles that somebody else keeps.
    fn named_roles(&self) -> Vec<String> {
        let of = |function: &Function| Options::of(function).ok().and_then(|options| options.role);
        let mut roles: Vec<String> =
            self.functions.iter().filter_map(|f| of(f).or_else(|| self.settings.role.clone())).collect();
        roles.sort();
        roles.dedup();
        roles
    }

    fn repositories(&self) -> Vec<String> {
        let images = self.functions.iter().filter(|function| crate::build::is_image_on_lambda(function));
        let names = images.filter_map(|function| {
            let (_, name) = registry::parts(function.build.image.as_deref()?, self.settings.registry.as_deref())?;
            Some(self.arn("ecr", &format!("repository/{name}")))
        });
        names.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(functions: &[Function]) -> Vec<Group> {
        let settings = Settings::default();
        let place =
            Place { functions, stack: "shop", settings: &settings, account: "123456789012", region: "eu-west-1" };
        place.groups()
    }

    fn on<'g>(groups: &'g [Group], action: &str) -> Option<&'g [String]> {
        let mut rights = groups.iter().flat_map(|group| &group.rights);
        rights.find(|right| right.actions.contains(&action)).map(|right| right.resources.as_slice())
    }

    #[test]
    fn rights_are_for_the_stacks_own_things_and_for_no_more_than_it_uses() {
        let plain = Function { name: "tax".into(), namespace: Some("eu".into()), ..Function::default() };
        let clock = Function { name: "clock".into(), schedule: Some("0 * * * *".into()), ..Function::default() };
        let only = groups(std::slice::from_ref(&plain));
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:eu-tax";
        assert_eq!(on(&only, "lambda:CreateFunction").unwrap(), [arn.to_owned(), format!("{arn}:*")]);
        assert_eq!(on(&only, "iam:CreateRole").unwrap(), ["arn:aws:iam::123456789012:role/faas-shop-eu-west-1"]);
        assert_eq!(on(&only, "lambda:ListFunctions").unwrap(), ["*"]);
        for unused in ["scheduler:CreateSchedule", "ssm:PutParameter", "lambda:AddPermission", "iam:PutRolePolicy"] {
            assert_eq!(on(&only, unused), None, "{unused}");
        }
        let both = groups(&[plain, clock]);
        assert_eq!(
            on(&both, "scheduler:CreateSchedule").unwrap(),
            ["arn:aws:scheduler:eu-west-1:123456789012:schedule/default/clock"]
        );
        let pass = policy(&both[0].rights)["Statement"][1].clone();
        assert_eq!(pass["Action"], json!(["iam:PassRole"]));
        assert_eq!(
            pass["Condition"]["StringEquals"]["iam:PassedToService"],
            json!(["lambda.amazonaws.com", "scheduler.amazonaws.com"])
        );
    }

    #[test]
    fn without_functions_it_is_everything_that_there_can_be() {
        let all = groups(&[]);
        assert_eq!(on(&all, "lambda:GetFunction").unwrap()[0], "arn:aws:lambda:eu-west-1:123456789012:function:*");
        assert!(on(&all, "ssm:PutParameter").is_some() && on(&all, "scheduler:CreateSchedule").is_some());
        assert!(!all.last().unwrap().needed);
    }
}
