//! The same functions as Terraform's JSON, for those who deploy by that. Resources and arguments are those of the provider
//! hashicorp/aws; the second permission of a public URL needs its version 6.29.
//!
//! <https://developer.hashicorp.com/terraform/language/syntax/json>
use serde_json::{Map, Value, json};

use super::name::ALIAS;
use super::role;
use super::settings::Settings;
use super::template::{empty, present};
use super::wanted::{Code, Wanted};
use super::{schedule, url};
use crate::backend::Change;
use crate::error::Result;
use crate::function::UrlAccess;

/// The provider that knows all of this.
const PROVIDER: &str = ">= 6.29.0";
const ATTACHMENT: &str = "aws_iam_role_policy_attachment";
/// What stands for partition, region and account until text is escaped, and what they are for Terraform.
const PLACES: [(&str, &str); 3] = [
    ("\u{1}partition", "${data.aws_partition.current.partition}"),
    ("\u{1}region", "${data.aws_region.current.region}"),
    ("\u{1}account", "${data.aws_caller_identity.current.account_id}"),
];

/// A configuration in the making.
#[derive(Debug, Default)]
pub struct Terraform {
    resources: Map<String, Value>,
    outputs: Map<String, Value>,
    stack: String,
}

impl Terraform {
    /// An empty one.
    #[must_use]
    pub fn new(stack: &str) -> Self {
        Self { stack: stack.to_owned(), ..Self::default() }
    }

    /// Adds what belongs to one function. `code` is where its archive lies, below the configuration's folder.
    ///
    /// # Errors
    /// When the function is none for Lambda.
    pub fn add(&mut self, change: &Change, settings: &Settings, code: &str) -> Result<()> {
        let wanted = Wanted::of(change, settings)?;
        let label = label(&wanted.name);
        self.function(&wanted, &label, code);
        let function = format!("${{aws_lambda_function.{label}.function_name}}");
        let qualifier = format!("${{aws_lambda_alias.{label}.name}}");
        self.set(
            "aws_lambda_alias",
            &label,
            [
                ("name", ALIAS.into()),
                ("function_name", function.as_str().into()),
                ("function_version", format!("${{aws_lambda_function.{label}.version}}").into()),
            ],
        );
        self.url(&wanted, &label, &function, &qualifier);
        self.extras(&wanted, &label, &function, &qualifier);
        Ok(())
    }

    /// The whole configuration.
    #[must_use]
    pub fn finish(self, settings: &Settings) -> Value {
        let mut all = present([(
            "terraform",
            Some(json!({"required_providers": {"aws": {"source": "hashicorp/aws", "version": PROVIDER}}})),
        )]);
        if let Some(region) = &settings.region {
            all.insert("provider".into(), json!({"aws": {"region": literal(region)}}));
        }
        let mut resources = self.resources;
        resources.sort_keys();
        let resources = Value::Object(resources);
        let text = resources.to_string();
        let data: Map<String, Value> = ["aws_caller_identity", "aws_partition", "aws_region"]
            .into_iter()
            .filter(|source| text.contains(&format!("data.{source}.")))
            .map(|source| (source.to_owned(), json!({"current": {}})))
            .collect();
        if !data.is_empty() {
            all.insert("data".into(), data.into());
        }
        all.insert("resource".into(), resources);
        if !self.outputs.is_empty() {
            all.insert("output".into(), self.outputs.into());
        }
        all.into()
    }

    fn set<const N: usize>(&mut self, kind: &str, label: &str, arguments: [(&str, Value); N]) {
        let arguments: Map<String, Value> =
            arguments.into_iter().filter(|(_, v)| !empty(v)).map(|(k, v)| (k.to_owned(), v)).collect();
        let all = self.resources.entry(kind).or_insert_with(|| json!({}));
        all[label] = arguments.into();
    }

    fn function(&mut self, wanted: &Wanted, label: &str, code: &str) {
        let role = match &wanted.role {
            Some(arn) => literal(arn),
            None => self.role(wanted, label),
        };
        let mut depends = Vec::new();
        if wanted.role.is_none() {
            depends.extend(role::policies(wanted).iter().map(|policy| format!("{ATTACHMENT}.{}", last(policy))));
            if wanted.has_rights() {
                depends.push(format!("aws_iam_role_policy.{label}"));
            }
        }
        let (package, image, filename, hash, runtime, handler) = match &wanted.code {
            Code::Zip { sha256, runtime, handler, .. } => (
                "Zip",
                Value::Null,
                format!("${{path.module}}/{}", literal(code)).into(),
                sha256.as_str().into(),
                literal(runtime).into(),
                literal(handler).into(),
            ),
            Code::Image { uri, .. } => {
                ("Image", literal(uri).into(), Value::Null, Value::Null, Value::Null, Value::Null)
            }
        };
        let environment = all_literal(wanted.environment.iter());
        let network = (!wanted.vpc.subnets.is_empty())
            .then(|| json!({"subnet_ids": wanted.vpc.subnets, "security_group_ids": wanted.vpc.security_groups}));
        let dead_letters = wanted.dead_letter.as_ref().map(|arn| json!({"target_arn": literal(arn)}));
        self.set(
            "aws_lambda_function",
            label,
            [
                ("function_name", literal(&wanted.name).into()),
                ("description", literal(&wanted.description).into()),
                ("role", role.into()),
                ("package_type", package.into()),
                ("image_uri", image),
                ("filename", filename),
                ("source_code_hash", hash),
                ("runtime", runtime),
                ("handler", handler),
                ("architectures", json!([wanted.architecture.as_str()])),
                ("memory_size", wanted.memory.into()),
                ("timeout", wanted.timeout.into()),
                ("ephemeral_storage", json!({"size": wanted.ephemeral_storage})),
                ("environment", if environment.is_empty() { Value::Null } else { json!({"variables": environment}) }),
                ("layers", json!(wanted.layers.iter().map(|layer| literal(layer)).collect::<Vec<_>>())),
                ("vpc_config", network.into()),
                ("tracing_config", if wanted.tracing { json!({"mode": "Active"}) } else { Value::Null }),
                ("dead_letter_config", dead_letters.into()),
                ("reserved_concurrent_executions", wanted.concurrency.into()),
                ("publish", true.into()),
                ("tags", all_literal(wanted.tags.iter()).into()),
                ("depends_on", json!(depends)),
            ],
        );
    }

    /// The stack's role with what this function needs; a reference to it.
    fn role(&mut self, wanted: &Wanted, label: &str) -> String {
        let own = self.role_name("");
        self.make_role("functions", &own, "lambda.amazonaws.com");
        let role = "${aws_iam_role.functions.name}";
        for policy in role::policies(wanted) {
            let name = last(policy);
            let arn = format!("arn:${{data.aws_partition.current.partition}}:iam::aws:policy/{policy}");
            let arguments = [("role", role.into()), ("policy_arn", arn.into())];
            self.set(ATTACHMENT, name, arguments);
        }
        if wanted.has_rights() {
            let statements = wanted.statements(PLACES[0].0, PLACES[1].0, PLACES[2].0);
            self.policy(label, role, &wanted.name, &json!(statements));
        }
        "${aws_iam_role.functions.arn}".into()
    }

    /// As `faas` itself names them: by the region, whose place is as long as regions' names are.
    fn role_name(&self, rest: &str) -> String {
        let of = if rest.is_empty() { role::name_for } else { role::name_for_schedules };
        of(&self.stack, "REGION........").replacen("REGION........", PLACES[1].0, 1)
    }

    fn make_role(&mut self, label: &str, name: &str, service: &str) {
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        });
        let name = literal(name).replace(PLACES[1].0, PLACES[1].1);
        let arguments = [("name", name.into()), ("assume_role_policy", trust.to_string().into())];
        self.set("aws_iam_role", label, arguments);
    }

    fn policy(&mut self, label: &str, role: &str, name: &str, statements: &Value) {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let mut text = literal(&document.to_string());
        for (place, reference) in PLACES {
            // As JSON writes it.
            text = text.replace(&place.replace('\u{1}', "\\u0001"), reference);
        }
        let arguments = [("name", literal(name).into()), ("role", role.into()), ("policy", text.into())];
        self.set("aws_iam_role_policy", label, arguments);
    }

    fn url(&mut self, wanted: &Wanted, label: &str, function: &str, qualifier: &str) {
        let Some(url) = &wanted.url else { return };
        let public = url.access == UrlAccess::Public;
        self.set(
            "aws_lambda_function_url",
            label,
            [
                ("function_name", function.into()),
                ("qualifier", qualifier.into()),
                ("authorization_type", if public { "NONE" } else { "AWS_IAM" }.into()),
                ("invoke_mode", if url.streaming { "RESPONSE_STREAM" } else { "BUFFERED" }.into()),
                ("cors", url.cors.as_ref().map(|cors| cors.by(CORS, literal)).into()),
            ],
        );
        let value = format!("${{aws_lambda_function_url.{label}.function_url}}");
        self.outputs.insert(format!("{label}_url"), json!({"value": value}));
        if !public {
            return;
        }
        let common = || [("function_name", Value::from(function)), ("qualifier", qualifier.into())];
        let [name, alias] = common();
        self.set(
            "aws_lambda_permission",
            &format!("{label}_url"),
            [
                name,
                alias,
                ("statement_id", url::URL.into()),
                ("action", "lambda:InvokeFunctionUrl".into()),
                ("principal", "*".into()),
                ("function_url_auth_type", "NONE".into()),
            ],
        );
        let [name, alias] = common();
        self.set(
            "aws_lambda_permission",
            &format!("{label}_url_invoke"),
            [
                name,
                alias,
                ("statement_id", url::INVOKE.into()),
                ("action", "lambda:InvokeFunction".into()),
                ("principal", "*".into()),
                ("invoked_via_function_url", true.into()),
            ],
        );
    }

    fn extras(&mut self, wanted: &Wanted, label: &str, function: &str, qualifier: &str) {
        if let Some(queue) = &wanted.queue {
            let to = |arn: &Option<String>| arn.as_ref().map(|arn| json!({"destination": literal(arn)}));
            let places = present([("on_success", to(&queue.on_success)), ("on_failure", to(&queue.on_failure))]);
            self.set(
                "aws_lambda_function_event_invoke_config",
                label,
                [
                    ("function_name", function.into()),
                    ("qualifier", qualifier.into()),
                    ("maximum_retry_attempts", queue.retries.into()),
                    ("maximum_event_age_in_seconds", queue.max_age.into()),
                    ("destination_config", places.into()),
                ],
            );
        }
        if let Some(instances) = wanted.provisioned {
            self.set(
                "aws_lambda_provisioned_concurrency_config",
                label,
                [
                    ("function_name", function.into()),
                    ("qualifier", qualifier.into()),
                    ("provisioned_concurrent_executions", instances.into()),
                ],
            );
        }
        if let Some(days) = wanted.log_retention {
            let name = literal(&format!("/aws/lambda/{}", wanted.name));
            self.set("aws_cloudwatch_log_group", label, [("name", name.into()), ("retention_in_days", days.into())]);
        }
        if let Some(wanted_schedule) = &wanted.schedule {
            let own = self.role_name("-schedules");
            self.make_role("schedules", &own, "scheduler.amazonaws.com");
            let target = format!("${{aws_lambda_alias.{label}.arn}}");
            let name = format!("{label}_schedule");
            // The reference is no text to escape.
            let statement = json!([{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "\u{1}target"}]);
            self.policy(&name, "${aws_iam_role.schedules.name}", &wanted.name, &statement);
            let policy = &mut self.resources["aws_iam_role_policy"][name.as_str()]["policy"];
            *policy = policy.as_str().unwrap_or_default().replace("\\u0001target", &target).into();
            self.set(
                "aws_scheduler_schedule",
                label,
                [
                    ("name", literal(&wanted.name).into()),
                    ("schedule_expression", literal(&wanted_schedule.expression).into()),
                    ("schedule_expression_timezone", literal(&wanted_schedule.timezone).into()),
                    ("flexible_time_window", json!({"mode": "OFF"})),
                    (
                        "target",
                        json!({
                            "arn": target,
                            "role_arn": "${aws_iam_role.schedules.arn}",
                            "input": literal(&schedule::input(&wanted.name)),
                        }),
                    ),
                ],
            );
        }
    }
}

/// What Terraform calls the fields of `lambda.cors`.
const CORS: [&str; 6] =
    ["allow_origins", "allow_methods", "allow_headers", "expose_headers", "max_age", "allow_credentials"];

/// Text that Terraform takes as it is: it looks for expressions in all text.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn all_literal<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Map<String, Value> {
    pairs.map(|(key, value)| (literal(key), literal(value).into())).collect()
}

/// A policy's name without its folder.
fn last(policy: &str) -> &str {
    policy.rsplit('/').next().unwrap_or(policy)
}

/// Terraform's names start with a letter or `_`.
fn label(name: &str) -> String {
    match name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        true => format!("_{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::function::Function;

    fn add(terraform: &mut Terraform, mut function: Function) {
        function.lang = "python3".into();
        let change = fixture::change(function);
        terraform.add(&change, &Settings::default(), "build/tax.zip").unwrap();
    }

    #[test]
    fn text_is_no_expression_and_references_are_none_of_the_users() {
        let mut function = Function { name: "9tax".into(), secrets: vec!["key".into()], ..Function::default() };
        function.environment.insert("FORMAT".into(), "${PRICE} %{if}".into());
        let mut terraform = Terraform::new("shop");
        add(&mut terraform, function);
        let all = terraform.finish(&Settings::default());
        let function = &all["resource"]["aws_lambda_function"]["_9tax"];
        assert_eq!(function["environment"]["variables"]["FORMAT"], "$${PRICE} %%{if}");
        assert_eq!(function["role"], "${aws_iam_role.functions.arn}");
        assert_eq!(
            function["depends_on"],
            json!(["aws_iam_role_policy_attachment.AWSLambdaBasicExecutionRole", "aws_iam_role_policy._9tax"])
        );
        let policy = all["resource"]["aws_iam_role_policy"]["_9tax"]["policy"].as_str().unwrap();
        assert!(
            policy.contains(
                "\"arn:${data.aws_partition.current.partition}:ssm:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:parameter/faas/default/key\""
            ),
            "{policy}"
        );
        assert_eq!(all["data"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn a_public_url_has_both_permissions_and_a_schedule_its_role() {
        let mut terraform = Terraform::new("shop");
        let function = Function {
            name: "tax".into(),
            url: Some(UrlAccess::Public),
            schedule: Some("*/5 * * * *".into()),
            ..Function::default()
        };
        add(&mut terraform, function);
        add(&mut terraform, Function { name: "plain".into(), ..Function::default() });
        let all = terraform.finish(&Settings::default());
        let resources = &all["resource"];
        assert_eq!(resources["aws_lambda_permission"].as_object().unwrap().len(), 2);
        assert_eq!(resources["aws_lambda_function"].as_object().unwrap().len(), 2);
        let policy = resources["aws_iam_role_policy"]["tax_schedule"]["policy"].as_str().unwrap();
        assert!(policy.contains("\"Resource\":\"${aws_lambda_alias.tax.arn}\""), "{policy}");
        assert_eq!(resources["aws_scheduler_schedule"]["tax"]["schedule_expression"], "cron(0/5 * * * ? *)");
        assert_eq!(all["output"]["tax_url"]["value"], "${aws_lambda_function_url.tax.function_url}");
    }
}
