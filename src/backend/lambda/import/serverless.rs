//! The functions of a `serverless.yml` for AWS: what the Serverless Framework says is put into CloudFormation's words, and
//! goes the way of templates from there. Words: serverless/serverless `docs/providers/aws/guide/serverless.yml.md` (v3).
mod variables;

use serde_json::{Map, Value, json};

use super::{entry, short};
use crate::error::{Fault, Result};
use crate::imported::Imported;
use variables::Variables;

/// What the framework runs by itself when nothing says otherwise.
const TIMEOUT: u64 = 6;
const MEMORY: u64 = 1024;
const RUNTIME: &str = "nodejs20.x";
/// What says the same with another name in CloudFormation.
const SAME: [(&str, &str); 14] = [
    ("architecture", "Architectures"),
    ("description", "Description"),
    ("environment", "Environment"),
    ("image", "ImageUri"),
    ("layers", "Layers"),
    ("memorySize", "MemorySize"),
    ("name", "FunctionName"),
    ("onError", "DeadLetterConfig"),
    ("provisionedConcurrency", "ProvisionedConcurrencyConfig"),
    ("reservedConcurrency", "ReservedConcurrentExecutions"),
    ("role", "Role"),
    ("runtime", "Runtime"),
    ("tags", "Tags"),
    ("timeout", "Timeout"),
];
/// What of `provider` counts for every function.
const SHARED: [&str; 16] = [
    "architecture",
    "environment",
    "ephemeralStorageSize",
    "layers",
    "logRetentionInDays",
    "memorySize",
    "onError",
    "provisionedConcurrency",
    "reservedConcurrency",
    "role",
    "runtime",
    "snapStart",
    "tags",
    "timeout",
    "vpc",
    "kmsKeyArn",
];
/// What of `provider` says how to deploy, which is no matter here.
const PROVIDER: [&str; 10] = [
    "name",
    "region",
    "stage",
    "stackName",
    "profile",
    "deploymentMethod",
    "versionFunctions",
    "runtimeManagement",
    "iam",
    "tracing",
];
/// What of a file says how it is read and packaged.
const FILE: [&str; 11] = [
    "service",
    "provider",
    "functions",
    "frameworkVersion",
    "configValidationMode",
    "custom",
    "params",
    "useDotenv",
    "org",
    "app",
    "variablesResolutionMode",
];

/// What a file describes.
pub struct Found {
    /// The stack's name.
    pub name: Option<String>,
    /// The region, where it is plain.
    pub region: Option<String>,
    /// The functions.
    pub functions: Vec<Imported>,
    /// What is no function.
    pub notes: Vec<String>,
}

/// Whether a document is a `serverless.yml`.
#[must_use]
pub fn is_one(document: &Value) -> bool {
    document.get("service").is_some() && document.get("provider").is_some() && document.get("Resources").is_none()
}

/// The functions of the file. Variables are resolved as far as the file itself tells.
///
/// # Errors
/// A file for another cloud.
pub fn read(document: &Value) -> Result<Found> {
    let provider = match &document["provider"] {
        Value::String(name) => Map::from_iter([("name".to_owned(), json!(name))]),
        other => other.as_object().cloned().unwrap_or_default(),
    };
    let cloud = provider.get("name").and_then(Value::as_str).unwrap_or("aws");
    if cloud != "aws" {
        return Err(Fault::unsupported(format!("the serverless.yml is for provider `{cloud}`"))
            .cause("the way from there is known for `aws` only")
            .hint("`faas new` makes a function to put the handler's code into"));
    }
    let variables = Variables::of(document);
    let mut notes = Vec::new();
    let mut resolved = |at: &str, value: &Value| variables.resolve(at, value, &mut notes);
    let name = match &document["service"] {
        Value::Object(map) => map.get("name").and_then(Value::as_str).map(str::to_owned),
        service => resolved("service", service).and_then(|name| name.as_str().map(str::to_owned)),
    };
    let region = provider.get("region").and_then(|region| resolved("provider.region", region));
    let region = region.and_then(|region| region.as_str().filter(|text| !text.contains('$')).map(str::to_owned));
    for (key, value) in document.as_object().into_iter().flatten() {
        match key.as_str() {
            "resources" => resources(value, &mut notes),
            "plugins" => {
                notes.push(format!("plugins: what {} did is to be done otherwise", short(value)));
            }
            key if FILE.contains(&key) => {}
            key => notes.push(format!("`{key}` has no word in a stack file: {}", short(value))),
        }
    }
    for (key, value) in &provider {
        if !SHARED.contains(&key.as_str()) && !PROVIDER.contains(&key.as_str()) {
            notes.push(format!("`provider.{key}` has no word in a stack file: {}", short(value)));
        }
    }
    let rights = provider.get("iam").is_some_and(|iam| iam.get("role").is_none_or(|role| !role.is_string()));
    if rights || provider.contains_key("iamRoleStatements") {
        notes.push(
            "the functions' rights (`provider.iam`): the stack's role has only those that are needed; name a role in `lambda.role`"
                .into(),
        );
    }
    // Several files are written as a list of mappings.
    let functions: Vec<(String, Value)> = match &document["functions"] {
        Value::Object(map) => map.clone().into_iter().collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_object).flat_map(Map::clone).collect(),
        Value::String(text) => {
            notes.push(format!("the functions are in another file ({text}): import from that, put under `functions:`"));
            Vec::new()
        }
        _ => Vec::new(),
    };
    let functions = functions.into_iter().map(|(name, own)| one(&name, own, &provider, &variables)).collect();
    Ok(Found { name, region, functions, notes })
}

fn resources(value: &Value, notes: &mut Vec<String>) {
    let parts = match value {
        Value::Array(parts) => parts.clone(),
        one => vec![one.clone()],
    };
    let named = parts.iter().filter_map(|part| part.get("Resources")?.as_object()).flatten();
    let before = notes.len();
    for (logical, resource) in named {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or("?");
        notes.push(format!("`{logical}` ({kind}) is no function"));
    }
    if notes.len() == before {
        notes.push(format!("`resources` are not made: {}", short(value)));
    }
}

fn one(key: &str, own: Value, provider: &Map<String, Value>, variables: &Variables<'_>) -> Imported {
    let own = own.as_object().cloned().unwrap_or_default();
    let mut notes = Vec::new();
    let mut all: Map<String, Value> = Map::new();
    let role = provider.get("iam").and_then(|iam| iam.get("role")).filter(|role| role.is_string());
    all.extend(role.map(|role| ("role".to_owned(), role.clone())));
    all.extend(provider.get("tracing").and_then(|on| on.get("lambda")).map(|on| ("tracing".to_owned(), on.clone())));
    for name in SHARED.iter().filter(|name| provider.contains_key(**name)) {
        all.insert((*name).to_owned(), provider[*name].clone());
    }
    for (name, value) in own {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(shared)), Value::Object(own)) if name != "vpc" => shared.extend(own),
            (_, value) => {
                all.insert(name, value);
            }
        }
    }
    let mut all: Map<String, Value> = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.clone(), variables.resolve(&name, &value, &mut notes)?)))
        .collect();
    let mut words = words(&mut all, &mut notes);
    events(&mut all, &mut words);
    for name in ["package", "events", "url"] {
        all.shift_remove(name);
    }
    for (name, value) in all {
        notes.push(format!("`{name}` has no word in a stack file: {}", short(&value)));
    }
    // A name of its own is kept: what calls the function knows it by that.
    let name = words.shift_remove("FunctionName").and_then(|name| name.as_str().map(str::to_owned));
    let name = named(name.as_deref().filter(|name| !name.contains('$')).unwrap_or(key));
    // Packages hold the whole project: handlers are named by their path in it.
    entry(name, Some(".".into()), words, notes)
}

/// The settings in CloudFormation's words; what is left in `all` has none.
fn words(all: &mut Map<String, Value>, notes: &mut Vec<String>) -> Map<String, Value> {
    let mut words = Map::new();
    for (name, word) in SAME {
        let Some(value) = all.shift_remove(name) else { continue };
        let value = match name {
            "architecture" => json!([value]),
            "environment" => json!({ "Variables": value }),
            "onError" => json!({ "TargetArn": value }),
            "provisionedConcurrency" => json!({ "ProvisionedConcurrentExecutions": value }),
            "image" => match value.get("uri").or(Some(&value)).filter(|uri| uri.is_string()) {
                Some(uri) => uri.clone(),
                None => {
                    notes.push(format!(
                        "its image is built by the framework ({}): use `lang: dockerfile`",
                        short(&value)
                    ));
                    continue;
                }
            },
            _ => value,
        };
        words.insert(word.into(), value);
    }
    for (name, word, key) in [("timeout", "Timeout", "timeout"), ("memorySize", "MemorySize", "limits.memory")] {
        let is_number = |value: &Value| super::plain(value).parse::<i64>().is_ok();
        if let Some(value) = words.get(word).filter(|value| !is_number(value)).cloned() {
            notes.push(format!("`{name}` is {}, which is no number yet: set `{key}`", short(&value)));
            words.shift_remove(word);
        }
    }
    if let Some(role) = words.get("Role").filter(|role| !role.as_str().is_some_and(|arn| arn.starts_with("arn:"))) {
        notes.push(format!("its role is {}: name it by its ARN in `lambda.role`", short(role)));
        words.shift_remove("Role");
    }
    if !words.contains_key("ImageUri") && !words.contains_key("Runtime") {
        words.insert("Runtime".into(), json!(RUNTIME));
    }
    words.entry("Timeout").or_insert(json!(TIMEOUT));
    words.entry("MemorySize").or_insert(json!(MEMORY));
    if let Some(handler) = all.shift_remove("handler") {
        let handler = handler.as_str().unwrap_or_default().trim_start_matches("./").to_owned();
        words.insert("Handler".into(), handler.into());
    }
    if let Some(size) = all.shift_remove("ephemeralStorageSize") {
        words.insert("EphemeralStorage".into(), json!({ "Size": size }));
    }
    if let Some(vpc) = all.shift_remove("vpc").filter(Value::is_object) {
        let part = |name: &str| vpc.get(name).cloned().unwrap_or_default();
        words.insert(
            "VpcConfig".into(),
            json!({ "SubnetIds": part("subnetIds"), "SecurityGroupIds": part("securityGroupIds") }),
        );
    }
    if all.shift_remove("tracing").is_some_and(|mode| mode == true || mode == "Active") {
        words.insert("Tracing".into(), json!("Active"));
    }
    queue(all, &mut words);
    match all.shift_remove("url") {
        None | Some(Value::Bool(false)) => {}
        Some(url) => {
            words.insert("FunctionUrlConfig".into(), url_config(&url));
        }
    }
    if let Some(days) = all.shift_remove("logRetentionInDays") {
        notes.push(format!("its log is kept {} days: `lambda: {{log_retention: {}}}`", short(&days), short(&days)));
    }
    words
}

/// What happens to calls that nobody waits for.
fn queue(all: &mut Map<String, Value>, words: &mut Map<String, Value>) {
    let mut config = Map::new();
    for (name, word) in
        [("maximumRetryAttempts", "MaximumRetryAttempts"), ("maximumEventAge", "MaximumEventAgeInSeconds")]
    {
        config.extend(all.shift_remove(name).map(|value| (word.to_owned(), value)));
    }
    if let Some(Value::Object(places)) = all.shift_remove("destinations") {
        let mut destinations = Map::new();
        for (on, word) in [("onSuccess", "OnSuccess"), ("onFailure", "OnFailure")] {
            let arn = places.get(on).map(|place| place.get("arn").unwrap_or(place).clone());
            destinations.extend(arn.map(|arn| (word.to_owned(), json!({ "Destination": arn }))));
        }
        config.insert("DestinationConfig".into(), destinations.into());
    }
    if !config.is_empty() {
        words.insert("EventInvokeConfig".into(), config.into());
    }
}

fn url_config(url: &Value) -> Value {
    let mut config = Map::new();
    let iam = url.get("authorizer").is_some_and(|by| by == "aws_iam");
    config.insert("AuthType".into(), if iam { "AWS_IAM" } else { "NONE" }.into());
    config.extend(url.get("invokeMode").map(|mode| ("InvokeMode".to_owned(), mode.clone())));
    match url.get("cors") {
        Some(Value::Object(cors)) => {
            let names = [
                ("allowedOrigins", "AllowOrigins"),
                ("allowedHeaders", "AllowHeaders"),
                ("allowedMethods", "AllowMethods"),
                ("exposedResponseHeaders", "ExposeHeaders"),
                ("allowCredentials", "AllowCredentials"),
                ("maxAge", "MaxAge"),
            ];
            let known = names.iter().filter_map(|(name, word)| Some(((*word).to_owned(), cors.get(*name)?.clone())));
            config.insert("Cors".into(), known.collect::<Map<_, _>>().into());
        }
        Some(Value::Bool(true)) => {
            config.insert(
                "Cors".into(),
                json!({
                    "AllowOrigins": ["*"], "AllowMethods": ["*"],
                    "AllowHeaders": ["Content-Type", "X-Amz-Date", "Authorization", "X-Api-Key", "X-Amz-Security-Token"],
                }),
            );
        }
        _ => {}
    }
    config.into()
}

/// `events` as SAM names them, so that clock and API are told as those of a template.
fn events(all: &mut Map<String, Value>, words: &mut Map<String, Value>) {
    let Some(Value::Array(list)) = all.shift_remove("events") else { return };
    let mut events = Map::new();
    for (nth, event) in list.iter().enumerate() {
        let (kind, body) = match event {
            Value::Object(map) => {
                map.iter().next().map(|(kind, body)| (kind.as_str(), body.clone())).unwrap_or_default()
            }
            Value::String(kind) => (kind.as_str(), Value::Null),
            _ => continue,
        };
        let name = format!("{kind} {}", nth + 1);
        let told = match kind {
            "schedule" => {
                // Several times are several schedules, of which a function has one.
                let rate = body.get("rate").unwrap_or(&body);
                let rates = rate.as_array().cloned().unwrap_or_else(|| vec![rate.clone()]);
                if body.get("enabled").is_some_and(|on| on == false) {
                    continue;
                }
                let mut properties = Map::new();
                properties.extend(body.get("input").map(|input| ("Input".to_owned(), input.clone())));
                properties
                    .extend(body.get("timezone").map(|zone| ("ScheduleExpressionTimezone".to_owned(), zone.clone())));
                properties.insert("Schedule".into(), rates.first().cloned().unwrap_or_default());
                events.insert(name.clone(), json!({ "Type": "Schedule", "Properties": properties }));
                for (more, rate) in rates.iter().enumerate().skip(1) {
                    let one = json!({ "Type": "Schedule", "Properties": { "Schedule": rate } });
                    events.insert(format!("{name}.{}", more + 1), one);
                }
                continue;
            }
            "http" | "httpApi" => {
                let (method, path) = match &body {
                    Value::String(text) => text.split_once(' ').unwrap_or(("any", text.as_str())),
                    body => (
                        body.get("method").and_then(Value::as_str).unwrap_or("any"),
                        body.get("path").and_then(Value::as_str).unwrap_or("/"),
                    ),
                };
                let path = format!("/{}", path.trim_start_matches('/'));
                json!({ "Type": "HttpApi", "Properties": { "Method": method.replace('*', "any"), "Path": path } })
            }
            other => json!({ "Type": other }),
        };
        events.insert(name, told);
    }
    if !events.is_empty() {
        words.insert("Events".into(), events.into());
    }
}

/// `helloWorld` and `hello_world` as `hello-world`.
fn named(key: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for c in key.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            name.push('-');
        }
        name.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        before = c;
    }
    name.trim_matches('-').to_owned()
}
