//! What is wrong with a function on Lambda, told before anything is changed. Limits as AWS documents them for functions;
//! the API's own model allows more than the service does.
use std::time::Duration;

use super::name::{self, function_name};
use super::schedule::Schedule;
use super::settings::{Options, Package, Settings};
use super::wanted;
use crate::function::{Function, UrlAccess};
use crate::problem::Problem;

/// Names that Lambda keeps for itself.
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];
/// The days that CloudWatch can keep logs for.
const RETENTION: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// Bytes of the whole environment, as JSON.
const ENVIRONMENT: usize = 4096;

/// Everything wrong with it, all at once.
#[must_use]
pub fn check(function: &Function, settings: &Settings) -> Vec<Problem> {
    let mut problems = Checks { name: &function.name, problems: Vec::new() };
    problems.names(function);
    let options = match Options::of(function) {
        Ok(options) => options,
        Err((at, why)) => {
            problems.error(&format!("lambda.{at}"), why);
            return problems.problems;
        }
    };
    problems.sizes(function, &options);
    problems.environment(function, settings, &options);
    problems.tags(function, &options);
    problems.calls(function, &options);
    problems.platform(function, settings, &options);
    problems.image(function, settings, &options);
    problems.problems
}

struct Checks<'a> {
    name: &'a str,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn error(&mut self, field: &str, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::error(format!("functions.{}.{field}", self.name), message))
    }

    fn warn(&mut self, field: &str, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::warning(format!("functions.{}.{field}", self.name), message))
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(problem);
        &mut self.problems[at]
    }

    fn names(&mut self, function: &Function) {
        let full = function_name(&function.id());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if full.len() > 64 {
            let problem = Problem::error(format!("functions.{}", self.name), format!("`{full}` is over 64 characters"));
            self.push(problem.hint("Lambda's names end there; the namespace counts"));
        }
        if !full.chars().all(plain) {
            let message = format!("`{full}` has characters that Lambda does not take");
            let problem = Problem::error(format!("functions.{}", self.name), message);
            self.push(problem.hint("use letters, digits, `-` and `_`"));
        }
    }

    fn sizes(&mut self, function: &Function, options: &Options) {
        if let Some(timeout) = function.timeout
            && (timeout > Duration::from_secs(900) || timeout.is_zero())
        {
            let problem = self.error("timeout", format!("{} is not allowed", humantime::format_duration(timeout)));
            problem.hint = Some("Lambda takes 1s to 15m; put longer work into steps".into());
        }
        match (options.memory, &function.limits.memory) {
            (Some(memory), _) if !(128..=10240).contains(&memory) => {
                self.error("lambda.memory", format!("{memory} MB is not allowed: Lambda takes 128 to 10240"));
            }
            (Some(_), _) | (None, None) => {}
            (None, Some(written)) => match wanted::megabytes(written) {
                None => {
                    self.error("limits.memory", format!("`{written}` is no quantity")).hint =
                        Some("write it as 128Mi or 1Gi".into());
                }
                Some(memory) if memory > 10240 => {
                    self.error("limits.memory", format!("{written} is over Lambda's 10240 MB"));
                }
                Some(memory) if memory < 128 => {
                    self.warn("limits.memory", format!("{written} is raised to 128 MB, the least that Lambda has"));
                }
                Some(_) => {}
            },
        }
        if function.limits.cpu.is_some() {
            self.warn("limits.cpu", "Lambda gives CPU by memory: `cpu` has no effect").hint =
                Some("1769 MB are one whole vCPU".into());
        }
        if let Some(size) = options.ephemeral_storage
            && !(512..=10240).contains(&size)
        {
            self.error("lambda.ephemeral_storage", format!("{size} MB is not allowed: Lambda takes 512 to 10240"));
        }
        for layer in &options.layers {
            let version = layer.rsplit(':').next().unwrap_or_default();
            if !is_arn(layer, &["lambda"]) || !layer.contains(":layer:") || version.parse::<u32>().is_err() {
                self.error("lambda.layers", format!("`{layer}` is no layer's ARN with a version")).hint =
                    Some("it looks like arn:aws:lambda:eu-west-1:123456789012:layer:NAME:1".into());
            }
        }
        if let Some(days) = options.log_retention
            && !RETENTION.contains(&days)
        {
            let list = RETENTION.map(|days| days.to_string()).join(", ");
            self.error("lambda.log_retention", format!("CloudWatch keeps no logs for {days} days")).hint =
                Some(format!("it takes {list}"));
        }
        if let Some(vpc) = &options.vpc
            && vpc.subnets.is_empty() != vpc.security_groups.is_empty()
        {
            self.error("lambda.vpc", "a network has subnets and security groups").hint =
                Some("name both, or none".into());
        }
        if options.layers.len() > 5 {
            self.error("lambda.layers", format!("{} layers; Lambda takes 5", options.layers.len()));
        }
        if options.description.chars().count() > 256 {
            self.error("lambda.description", "over 256 characters");
        }
    }

    fn environment(&mut self, function: &Function, settings: &Settings, options: &Options) {
        for key in function.environment.keys() {
            let field = format!("environment.{key}");
            let rest_plain = key.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || c == '_');
            if RESERVED.contains(&key.as_str()) {
                self.error(&field, format!("`{key}` is reserved by Lambda")).hint = Some("choose another name".into());
            } else if key.len() < 2 || !key.starts_with(|c: char| c.is_ascii_alphabetic()) || !rest_plain {
                self.error(&field, format!("Lambda does not take the name `{key}`")).hint =
                    Some("it wants a letter first, then letters, digits and `_`, two characters at least".into());
            }
        }
        let all = wanted::environment(function, true, settings.secrets, options.streaming);
        let size = serde_json::to_vec(&all).map_or(0, |json| json.len());
        if size > ENVIRONMENT {
            self.error("environment", format!("{size} bytes; Lambda takes {ENVIRONMENT}")).hint =
                Some("put large values into a file of the function, or into secrets".into());
        }
    }

    fn tags(&mut self, function: &Function, options: &Options) {
        let all = name::tags(function, &options.tags, "");
        // Three marks and the URL come on top.
        if all.len() + 4 > 50 {
            self.error("labels", format!("{} tags with ours; AWS takes 50 on a function", all.len() + 4));
        }
        let labels = function.labels.iter().map(|label| ("labels", label));
        for (of, (key, value)) in labels.chain(options.tags.iter().map(|tag| ("lambda.tags", tag))) {
            let at = format!("{of}.{key}");
            let legal = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
            if key.to_ascii_lowercase().starts_with("aws:") {
                self.error(&at, "tags that start with `aws:` are AWS's own");
            } else if key.chars().count() > 128 || value.chars().count() > 256 || !legal(key) || !legal(value) {
                self.error(&at, "AWS does not take this as a tag").hint =
                    Some("128 characters for the name, 256 for the value: letters, digits, blanks and +-=._:/@".into());
            }
        }
        for (key, value) in &function.annotations {
            if name::escape(key).len() > 100 || name::escape(value).len() > 256 {
                self.error(&format!("annotations.{key}"), "too long for a tag, which is where Lambda keeps it").hint =
                    Some(
                        "256 characters at most; characters other than letters, digits and +-._:/@ count three".into(),
                    );
            }
        }
    }

    fn platform(&mut self, function: &Function, settings: &Settings, options: &Options) {
        if !function.constraints.is_empty() {
            self.warn("constraints", "Lambda places functions by itself: constraints have no effect");
        }
        if function.build.platforms.len() > 1 {
            self.error("platforms", "a Lambda function has one architecture").hint =
                Some("name linux/amd64 or linux/arm64".into());
        }
        for architecture in options.architecture.iter() {
            if !matches!(architecture.as_str(), "x86_64" | "arm64") {
                self.error("lambda.architecture", format!("`{architecture}` is none of x86_64, arm64"));
            }
        }
        let hint = "it looks like arn:aws:iam::123456789012:role/NAME";
        if let Some(role) = &options.role
            && !is_role(role)
        {
            self.error("lambda.role", format!("`{role}` is no role's ARN")).hint = Some(hint.into());
        }
        if let Some(role) = &settings.role
            && options.role.is_none()
            && !is_role(role)
        {
            let problem = Problem::error("provider.lambda.role", format!("`{role}` is no role's ARN"));
            self.push(problem.hint(hint));
        }
    }

    fn image(&mut self, function: &Function, settings: &Settings, options: &Options) {
        if !crate::build::is_image_on_lambda(function) {
            return;
        }
        let image = function.build.image.as_deref().unwrap_or_default();
        let stand_in = settings.registry.as_deref().is_some_and(|registry| image.starts_with(&format!("{registry}/")));
        if !image.contains(".dkr.ecr.") && !stand_in {
            self.error("image", format!("Lambda takes images from the account's own ECR only, not `{image}`")).hint =
                Some(match options.package {
                    Package::Image => {
                        "name it ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, or leave `package` out".into()
                    }
                    Package::Zip => "name it ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME".into(),
                });
        }
    }

    fn calls(&mut self, function: &Function, options: &Options) {
        for (field, given) in [("topic", &function.topics), ("domain", &function.domains)] {
            if !given.is_empty() {
                self.warn(field, "nothing is made of this on Lambda: it has no effect");
            }
        }
        if let Some(cron) = &function.schedule
            && let Err(why) = Schedule::of(cron, "UTC")
        {
            self.error("schedule", why);
        }
        if let Some(zone) = &options.timezone
            && !is_zone(zone)
        {
            self.error("lambda.timezone", format!("`{zone}` is no time zone")).hint =
                Some("it takes names as Europe/Berlin, and UTC".into());
        }
        if function.scale.min.is_some_and(|min| min > 0) && options.provisioned.is_none() {
            self.warn("scale.min", "Lambda starts instances when calls come: `min` has no effect").hint =
                Some("`lambda: {provisioned: N}` keeps instances warm, and costs by the hour".into());
        }
        if options.provisioned.is_some_and(|instances| instances < 1) {
            self.error("lambda.provisioned", "it takes 1 and more");
        }
        if let (Some(provisioned), Some(max)) = (options.provisioned, function.scale.max)
            && i64::from(provisioned) > i64::from(max)
        {
            self.error("lambda.provisioned", format!("{provisioned} instances are more than `scale.max: {max}`"));
        }
        if options.cors.is_some() && function.url.is_none_or(|access| access == UrlAccess::None) {
            self.warn("lambda.cors", "without `url`, nobody asks for it");
        }
        if options.cors.as_ref().and_then(|cors| cors.max_age).is_some_and(|age| !(0..=86_400).contains(&age)) {
            self.error("lambda.cors.max_age", "it takes 0 to 86400 seconds");
        }
        if let Some(queue) = &options.queue {
            if queue.retries.is_some_and(|retries| !(0..=2).contains(&retries)) {
                self.error("lambda.async.retries", "Lambda tries 0 to 2 times again");
            }
            if queue.max_age.is_some_and(|age| !(60..=21_600).contains(&age)) {
                self.error("lambda.async.max_age", "it takes 60 to 21600 seconds");
            }
            for (field, arn) in [("on_success", &queue.on_success), ("on_failure", &queue.on_failure)] {
                if arn.as_ref().is_some_and(|arn| !is_arn(arn, &["sqs", "sns", "lambda", "events", "s3"])) {
                    self.error(
                        &format!("lambda.async.{field}"),
                        "it takes the ARN of a queue, topic, function, bus or bucket",
                    );
                }
            }
        }
        if options.dead_letter.as_ref().is_some_and(|arn| !is_arn(arn, &["sqs", "sns"])) {
            self.error("lambda.dead_letter", "it takes the ARN of an SQS queue or an SNS topic");
        }
    }
}

/// Whether it is a time zone, as far as this machine knows them.
fn is_zone(name: &str) -> bool {
    let zones = std::path::Path::new("/usr/share/zoneinfo");
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    plain && !name.is_empty() && !name.starts_with('/') && (!zones.join("UTC").is_file() || zones.join(name).is_file())
}

fn is_arn(text: &str, services: &[&str]) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    parts.len() == 6 && parts[0] == "arn" && parts[1].starts_with("aws") && services.contains(&parts[2])
}

/// Whether it is the ARN of a role.
#[must_use]
pub fn is_role(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("iam")
        && parts.next() == Some("")
        && parts.next().is_some_and(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().and_then(|rest| rest.strip_prefix("role/")).is_some_and(|name| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_/-".contains(c);
            !name.is_empty() && !name.ends_with('/') && name.chars().all(plain)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tax() -> Function {
        Function { name: "tax".into(), lang: "python3".into(), ..Function::default() }
    }

    fn fields(function: &Function) -> Vec<String> {
        check(function, &Settings::default()).into_iter().filter(Problem::is_error).map(|p| p.field).collect()
    }

    #[test]
    fn a_plain_function_is_fine() {
        assert_eq!(check(&tax(), &Settings::default()), []);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut function = tax();
        function.name = format!("{}.x", "n".repeat(63));
        function.timeout = Some(Duration::from_secs(901));
        function.limits.memory = Some("11Gi".into());
        function.environment.insert("AWS_REGION".into(), "x".into());
        function.environment.insert("A".into(), "x".into());
        function.environment.insert("BIG".into(), "x".repeat(4096));
        function.labels.insert("aws:x".into(), "y".into());
        function.labels.insert("star".into(), "*".into());
        function.extra.insert("lambda".into(), json!({"ephemeral_storage": 20000, "role": "admin"}));
        let name = function.name.clone();
        let at = |field: &str| format!("functions.{name}.{field}");
        assert_eq!(
            fields(&function),
            [
                format!("functions.{name}"),
                format!("functions.{name}"),
                at("timeout"),
                at("limits.memory"),
                at("lambda.ephemeral_storage"),
                at("environment.A"),
                at("environment.AWS_REGION"),
                at("environment"),
                at("labels.aws:x"),
                at("labels.star"),
                at("lambda.role"),
            ]
        );
    }

    #[test]
    fn unknown_keys_below_lambda_are_named() {
        let mut function = tax();
        function.extra.insert("lambda".into(), json!({"memroy": 1}));
        assert_eq!(fields(&function), ["functions.tax.lambda.memroy"]);
    }

    #[test]
    fn roles() {
        assert!(is_role("arn:aws:iam::123456789012:role/service-role/x"));
        assert!(!is_role("arn:aws:iam::12345678901:role/x"));
        assert!(!is_role("admin"));
    }
}
