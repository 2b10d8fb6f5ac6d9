//! What a function has beside its configuration, field by field: URL, queue, schedule, warm instances, rights, how long its
//! log is kept. Only plans ask for it, and only for what is wanted or was made; what may not be read is left out.
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use super::aws::Aws;
use super::fault::{code, fault};
use super::name::{ALIAS, URL_KEY};
use super::preview::{Fields, put};
use super::role::{self, policy_for};
use super::settings::Cors;
use super::wait::There;
use super::wanted::Wanted;
use super::{extras, logs};
use crate::error::Result;
use crate::function::UrlAccess;

/// What is there, and what is to be.
#[derive(Debug, Default)]
pub struct Beside {
    /// As it is.
    pub before: Fields,
    /// As it should be.
    pub after: Fields,
    /// Whether the role is gone that the function runs as.
    pub no_role: bool,
}

/// What was found of one thing.
enum Looked<T> {
    There(T),
    Gone,
    /// It may not be read: nothing is said of it.
    Denied,
}

impl<T> Looked<T> {
    fn map<U>(self, of: impl FnOnce(T) -> U) -> Looked<U> {
        match self {
            Self::There(told) => Looked::There(of(told)),
            Self::Gone => Looked::Gone,
            Self::Denied => Looked::Denied,
        }
    }
}

fn looked<T, E>(asked: Result<T, SdkError<E>>, what: &str, name: &str) -> Result<Looked<T>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match asked {
        Ok(told) => Ok(Looked::There(told)),
        Err(error) => match code(&error) {
            "ResourceNotFoundException" | "ProvisionedConcurrencyConfigNotFoundException" => Ok(Looked::Gone),
            code if code.starts_with("NoSuchEntity") => Ok(Looked::Gone),
            code if code.starts_with("AccessDenied") => Ok(Looked::Denied),
            _ => Err(fault(format!("can't look up {what} of {name}"), &error)),
        },
    }
}

impl Beside {
    fn add(&mut self, found: Looked<Fields>, wanted: Fields) {
        match found {
            Looked::There(there) => self.before.extend(there),
            Looked::Gone => {}
            Looked::Denied => return,
        }
        self.after.extend(wanted);
    }
}

/// Looks at all of it; `own` names the role of the stack that the function runs as.
///
/// # Errors
/// When AWS can't be asked.
pub async fn look(aws: &Aws, wanted: &Wanted, there: Option<&There>, own: Option<&str>) -> Result<Beside> {
    let name = wanted.name.as_str();
    let mut all = Beside::default();
    let had = there.map(|there| extras::there(&there.tags)).unwrap_or_default();
    let had_url = there.is_some_and(|there| there.tags.contains_key(URL_KEY));
    let is = there.is_some();
    let (url, queue, provisioned, schedule, retention) = tokio::try_join!(
        when(is && (had_url || wanted.url.is_some()), url(aws, name)),
        when(is && (had.contains(extras::QUEUE) || wanted.queue.is_some()), queue(aws, name)),
        when(is && (had.contains(extras::PROVISIONED) || wanted.provisioned.is_some()), provisioned(aws, name)),
        when(is && (had.contains(extras::SCHEDULE) || wanted.schedule.is_some()), schedule(aws, name)),
        when(is && wanted.log_retention.is_some(), retention(aws, name)),
    )?;
    all.add(url, url_wanted(wanted));
    all.add(queue, queue_wanted(wanted));
    all.add(provisioned, one("ProvisionedConcurrentExecutions", json!(wanted.provisioned)));
    let clock = wanted.schedule.as_ref();
    all.add(schedule, clock.map(|clock| schedule_fields(&clock.expression, &clock.timezone)).unwrap_or_default());
    all.add(retention, one("LogGroup.RetentionInDays", json!(wanted.log_retention)));
    let Some(role) = own else { return Ok(all) };
    let arn = match looked(aws.iam.get_role().role_name(role).send().await, "the role", name)? {
        Looked::There(told) => told.role().map(|role| role.arn().to_owned()).unwrap_or_default(),
        Looked::Gone => {
            all.no_role = true;
            String::new()
        }
        Looked::Denied => return Ok(all),
    };
    if wanted.has_rights() {
        let has = there.and_then(|there| there.configuration.role()).unwrap_or(&arn);
        let account = has.split(':').nth(4).unwrap_or_default();
        let statements = wanted.statements(role::partition(&aws.region), &aws.region, account);
        let found = if all.no_role { Looked::Gone } else { rights(aws, role, name).await? };
        all.add(found, one("RolePolicy", statements.into()));
    }
    Ok(all)
}

async fn when(asked: bool, look: impl Future<Output = Result<Looked<Fields>>>) -> Result<Looked<Fields>> {
    if asked { look.await } else { Ok(Looked::Gone) }
}

fn one(path: &str, value: Value) -> Fields {
    let mut fields = Fields::new();
    put(&mut fields, path, value);
    fields
}

/// The parts of a URL's CORS, as AWS names them.
const CORS: [&str; 6] = ["AllowOrigins", "AllowMethods", "AllowHeaders", "ExposeHeaders", "MaxAge", "AllowCredentials"];

fn url_fields(auth: &str, mode: &str, cors: Option<&Cors>) -> Fields {
    let mut fields = one("FunctionUrl.AuthType", auth.into());
    put(&mut fields, "FunctionUrl.InvokeMode", mode.into());
    if let Some(Value::Object(cors)) = cors.map(|cors| cors.by(CORS, str::to_owned)) {
        cors.into_iter().for_each(|(key, value)| put(&mut fields, &format!("FunctionUrl.Cors.{key}"), value));
    }
    fields
}

fn url_wanted(wanted: &Wanted) -> Fields {
    let Some(url) = &wanted.url else { return Fields::new() };
    let auth = if url.access == UrlAccess::Public { "NONE" } else { "AWS_IAM" };
    let mode = if url.streaming { "RESPONSE_STREAM" } else { "BUFFERED" };
    url_fields(auth, mode, url.cors.as_ref())
}

async fn url(aws: &Aws, name: &str) -> Result<Looked<Fields>> {
    let asked = aws.lambda.get_function_url_config().function_name(name).qualifier(ALIAS).send().await;
    Ok(looked(asked, "the URL", name)?.map(|told| {
        let list = |list: Option<&[String]>| list.unwrap_or_default().to_vec();
        let cors = told.cors().map(|cors| Cors {
            origins: list(cors.allow_origins.as_deref()),
            methods: list(cors.allow_methods.as_deref()),
            headers: list(cors.allow_headers.as_deref()),
            expose: list(cors.expose_headers.as_deref()),
            max_age: cors.max_age(),
            credentials: cors.allow_credentials().unwrap_or(false),
        });
        let mode = told.invoke_mode().map_or("BUFFERED", |mode| mode.as_str());
        url_fields(told.auth_type().as_str(), mode, cors.as_ref())
    }))
}

fn queue_wanted(wanted: &Wanted) -> Fields {
    let Some(queue) = &wanted.queue else { return Fields::new() };
    queue_fields(queue.retries, queue.max_age, queue.on_success.as_deref(), queue.on_failure.as_deref())
}

fn queue_fields(retries: Option<i32>, age: Option<i32>, success: Option<&str>, failure: Option<&str>) -> Fields {
    // What is left out has Lambda's own default.
    let mut fields = one("EventInvokeConfig.MaximumRetryAttempts", retries.unwrap_or(2).into());
    put(&mut fields, "EventInvokeConfig.MaximumEventAgeInSeconds", age.unwrap_or(21_600).into());
    put(&mut fields, "EventInvokeConfig.OnSuccess", json!(success));
    put(&mut fields, "EventInvokeConfig.OnFailure", json!(failure));
    fields
}

async fn queue(aws: &Aws, name: &str) -> Result<Looked<Fields>> {
    let asked = aws.lambda.get_function_event_invoke_config().function_name(name).qualifier(ALIAS).send().await;
    Ok(looked(asked, "the settings of asynchronous calls", name)?.map(|told| {
        let to = told.destination_config();
        let success = to.and_then(|to| to.on_success()).and_then(|to| to.destination());
        let failure = to.and_then(|to| to.on_failure()).and_then(|to| to.destination());
        queue_fields(told.maximum_retry_attempts(), told.maximum_event_age_in_seconds(), success, failure)
    }))
}

async fn provisioned(aws: &Aws, name: &str) -> Result<Looked<Fields>> {
    let asked = aws.lambda.get_provisioned_concurrency_config().function_name(name).qualifier(ALIAS).send().await;
    let told = looked(asked, "the warm instances", name)?;
    Ok(told
        .map(|told| one("ProvisionedConcurrentExecutions", json!(told.requested_provisioned_concurrent_executions()))))
}

fn schedule_fields(expression: &str, timezone: &str) -> Fields {
    let mut fields = one("Schedule.ScheduleExpression", expression.into());
    put(&mut fields, "Schedule.ScheduleExpressionTimezone", timezone.into());
    fields
}

async fn schedule(aws: &Aws, name: &str) -> Result<Looked<Fields>> {
    let asked = aws.scheduler.get_schedule().name(name).send().await;
    Ok(looked(asked, "the schedule", name)?.map(|told| {
        let zone = told.schedule_expression_timezone().unwrap_or("UTC");
        schedule_fields(told.schedule_expression().unwrap_or_default(), zone)
    }))
}

async fn retention(aws: &Aws, name: &str) -> Result<Looked<Fields>> {
    let group = logs::group(name);
    let asked = aws.logs.describe_log_groups().log_group_name_prefix(&group).send().await;
    Ok(looked(asked, "the log", name)?.map(|told| {
        let found = told.log_groups().iter().find(|one| one.log_group_name() == Some(&group));
        one("LogGroup.RetentionInDays", json!(found.and_then(|group| group.retention_in_days())))
    }))
}

/// What the function may do, of its own policy in the stack's role.
async fn rights(aws: &Aws, role: &str, name: &str) -> Result<Looked<Fields>> {
    let policy = policy_for(role, name, &aws.region);
    let asked = aws.iam.get_role_policy().role_name(role).policy_name(policy).send().await;
    Ok(looked(asked, "the rights", name)?.map(|told| {
        let query = format!("policy={}", told.policy_document());
        // Percent-encoded, `+` is none of it.
        let query = query.replace('+', "%2B");
        let text = url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, text)| text.into_owned());
        let document: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        one("RolePolicy", document["Statement"].clone())
    }))
}
