//! What is wrong with a function on Lambda, told before anything is changed. Limits as AWS documents them for functions;
//! the API's own model allows more than the service does.
use std::time::Duration;

use super::name::{self, function_name};
use super::settings::Options;
use super::wanted;
use crate::function::Function;
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
/// Bytes of the whole environment, as JSON.
const ENVIRONMENT: usize = 4096;

/// Everything wrong with it, all at once.
#[must_use]
pub fn check(function: &Function) -> Vec<Problem> {
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
    problems.environment(function);
    problems.tags(function, &options);
    problems.platform(function, &options);
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
        if options.layers.len() > 5 {
            self.error("lambda.layers", format!("{} layers; Lambda takes 5", options.layers.len()));
        }
        if options.description.chars().count() > 256 {
            self.error("lambda.description", "over 256 characters");
        }
    }

    fn environment(&mut self, function: &Function) {
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
        let size = serde_json::to_vec(&wanted::environment(function, true)).map_or(0, |json| json.len());
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
        for (key, value) in function.labels.iter().chain(&options.tags) {
            let legal = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
            if key.to_ascii_lowercase().starts_with("aws:") {
                self.error(&format!("labels.{key}"), "tags that start with `aws:` are AWS's own");
            } else if key.chars().count() > 128 || value.chars().count() > 256 || !legal(key) || !legal(value) {
                self.error(&format!("labels.{key}"), "AWS does not take this as a tag").hint =
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

    fn platform(&mut self, function: &Function, options: &Options) {
        if !function.secrets.is_empty() {
            self.error("secrets", "secrets are not handed to functions on Lambda yet").hint =
                Some("read /faas/NAMESPACE/NAME from SSM in the function; its role is `lambda.role`".into());
        }
        if !function.constraints.is_empty() {
            self.warn("constraints", "Lambda places functions by itself: constraints have no effect");
        }
        if function.schedule.is_some() {
            self.error("schedule", "schedules are not made on Lambda yet").hint = Some(
                "make an EventBridge schedule whose target is the alias `live`, and leave the key out here".into(),
            );
        }
        if function.scale.min.is_some_and(|min| min > 0) {
            self.warn("scale.min", "Lambda starts instances when calls come: `min` has no effect").hint =
                Some("provisioned concurrency costs by the hour and is left to the console".into());
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
        if let Some(role) = &options.role
            && !is_role(role)
        {
            self.error("lambda.role", format!("`{role}` is no role's ARN")).hint =
                Some("it looks like arn:aws:iam::123456789012:role/NAME".into());
        }
        if crate::build::is_image_on_lambda(function) {
            let image = function.build.image.as_deref().unwrap_or_default();
            if !image.contains(".dkr.ecr.") {
                self.error("image", format!("Lambda takes images from the account's own ECR only, not `{image}`"))
                    .hint = Some(
                    "push it to ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME and name that, or leave `package: zip`"
                        .into(),
                );
            }
        }
    }
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
        && parts.next().is_some_and(|rest| rest.starts_with("role/") && rest.len() > 5)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tax() -> Function {
        Function { name: "tax".into(), lang: "python3".into(), ..Function::default() }
    }

    fn fields(function: &Function) -> Vec<String> {
        check(function).into_iter().filter(Problem::is_error).map(|p| p.field).collect()
    }

    #[test]
    fn a_plain_function_is_fine() {
        assert_eq!(check(&tax()), []);
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
