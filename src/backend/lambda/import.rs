//! Functions of Lambda as entries of a stack file: what the stack has a word for comes along, the rest is listed. The words
//! are CloudFormation's; what the API tells is put into them first.
mod cron;
mod live;
pub mod serverless;
mod template;
mod yaml;

use serde_json::{Map, Value, json};

use super::name;
use super::wanted::own_environment;
use crate::imported::Imported;

pub use live::function;
pub use template::{is_one, template};
pub use yaml::read;

/// What the shims find by themselves.
const DEFAULT_HANDLERS: [&str; 3] = ["handler.handler", "handler.lambda_handler", "lambda_function.lambda_handler"];
/// What needs no word: the stack says it otherwise, or deploys do it always.
const SILENT: [&str; 8] = [
    "AutoPublishAlias",
    "FunctionName",
    "PackageType",
    "PublishToLatestPublished",
    "RecursiveLoop",
    "RuntimeManagementConfig",
    "SourceKMSKeyArn",
    "VersionDescription",
];

/// A function in CloudFormation's words: each taken when it is understood, so that what is left can be listed.
struct Words {
    all: Map<String, Value>,
    notes: Vec<String>,
}

impl Words {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.all.shift_remove(name).filter(|value| !super::template::empty(value))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.all.insert(name.into(), other);
                None
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// The entry of the function `name`. `handler` is where its code lies.
fn entry(name: String, handler: Option<String>, all: Map<String, Value>, notes: Vec<String>) -> Imported {
    let mut words = Words { all, notes };
    let mut entry = Map::new();
    let mut lambda = Map::new();
    let ours = words.all.get("Handler").and_then(Value::as_str) == Some(crate::build::LAMBDA_ENTRY);
    code(&mut words, &mut entry, &mut lambda, handler.unwrap_or_else(|| format!("./{name}")), ours);
    environment(&mut words, &mut entry);
    // Lambda's own defaults are less than ours.
    let (seconds, memory) = (words.number("Timeout").unwrap_or(3), words.number("MemorySize").unwrap_or(128));
    for (property, value, range) in [("Timeout", seconds, 1..=900), ("MemorySize", memory, 128..=10_240)] {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            words.note(format!("`{property}: {value}` came along, and Lambda takes {least} to {most}"));
        }
    }
    entry.insert("timeout".into(), format!("{seconds}s").into());
    entry.insert("limits".into(), json!({"memory": format!("{memory}Mi")}));
    tags(&mut words, &mut entry);
    if let Some(limit) = words.number("ReservedConcurrentExecutions") {
        entry.insert("scale".into(), json!({"max": limit}));
    }
    url(&mut words, &mut entry, &mut lambda);
    events(&mut words, &mut entry, &mut lambda);
    settings(&mut words, &mut lambda);
    for name in SILENT {
        words.all.shift_remove(name);
    }
    let Words { all, mut notes } = words;
    for (property, value) in all {
        if !super::template::empty(&value) {
            notes.push(format!("`{property}` has no word in a stack file: {}", short(&value)));
        }
    }
    if !lambda.is_empty() {
        entry.insert("lambda".into(), lambda.into());
    }
    Imported { name, entry, notes }
}

fn code(words: &mut Words, entry: &mut Map<String, Value>, lambda: &mut Map<String, Value>, at: String, ours: bool) {
    if let Some(image) = words.text("ImageUri") {
        entry.insert("lang".into(), "dockerfile".into());
        entry.insert("image".into(), image.into());
        entry.insert("skip_build".into(), true.into());
        words.note("its image is taken as it is (`skip_build`); what is in it has to be served by the invoker");
        return;
    }
    let runtime = words.text("Runtime").unwrap_or_default();
    let handler = words.text("Handler").unwrap_or_default();
    let lang = match runtime.trim_end_matches(|c: char| !c.is_ascii_alphabetic()) {
        name if name.starts_with("python") => "python3",
        name if name.starts_with("nodejs") => "node",
        name if name.starts_with("ruby") => "ruby",
        name if name.starts_with("java") => "java",
        _ => "dockerfile",
    };
    entry.insert("lang".into(), lang.into());
    entry.insert("handler".into(), at.into());
    if lang == "dockerfile" {
        words.note(format!(
            "no template is for the runtime `{runtime}`: give it a `lang`, or a Dockerfile in its folder"
        ));
    } else {
        lambda.insert("runtime".into(), runtime.into());
    }
    if ours || DEFAULT_HANDLERS.contains(&handler.as_str()) {
        return;
    }
    match lang {
        "python3" | "node" | "ruby" => {
            entry.insert("environment".into(), json!({"FAAS_HANDLER": handler}));
        }
        "dockerfile" => {}
        _ => words.note(format!("the handler `{handler}` has to become one of the {lang} template: see its README")),
    }
}

fn environment(words: &mut Words, entry: &mut Map<String, Value>) {
    let Some(Value::Object(mut all)) = words.take("Environment") else { return };
    let Some(Value::Object(variables)) = all.shift_remove("Variables") else { return };
    let plain = variables.iter().map(|(key, value)| (key.clone(), plain(value))).collect();
    if let Some(names) = variables.get(super::wanted::SECRETS).and_then(Value::as_str) {
        entry.insert("secrets".into(), json!(super::secrets::names_in(names)));
    }
    let variables: Map<String, Value> =
        own_environment(&plain).into_iter().map(|(key, value)| (key, value.into())).collect();
    if !variables.is_empty() {
        let own = entry.entry("environment").or_insert_with(|| json!({}));
        for (key, value) in variables {
            own[key] = value;
        }
    }
}

fn tags(words: &mut Words, entry: &mut Map<String, Value>) {
    let tags: std::collections::BTreeMap<String, String> = match words.take("Tags") {
        // SAM has a mapping, plain CloudFormation a list of keys and values.
        Some(Value::Object(tags)) => tags.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Some(Value::Array(tags)) => {
            tags.iter().filter_map(|tag| Some((plain(tag.get("Key")?), plain(tag.get("Value")?)))).collect()
        }
        _ => return,
    };
    let told = name::told(&tags);
    let labels: Map<String, Value> = told
        .labels
        .into_iter()
        .filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with("lambda:createdBy"))
        .map(|(key, value)| (key, value.into()))
        .collect();
    if !labels.is_empty() {
        entry.insert("labels".into(), labels.into());
    }
    let annotations: Map<String, Value> = told
        .annotations
        .into_iter()
        .filter(|(key, _)| !key.starts_with("faas.dev/"))
        .map(|(key, value)| (key, value.into()))
        .collect();
    if !annotations.is_empty() {
        entry.insert("annotations".into(), annotations.into());
    }
}

fn url(words: &mut Words, entry: &mut Map<String, Value>, lambda: &mut Map<String, Value>) {
    let Some(Value::Object(mut url)) = words.take("FunctionUrlConfig") else { return };
    let public = url.shift_remove("AuthType").is_some_and(|auth| auth == "NONE");
    entry.insert("url".into(), if public { "public" } else { "iam" }.into());
    if url.shift_remove("InvokeMode").is_some_and(|mode| mode == "RESPONSE_STREAM") {
        lambda.insert("streaming".into(), true.into());
    }
    let Some(Value::Object(cors)) = url.shift_remove("Cors") else { return };
    let named = [
        ("AllowOrigins", "origins"),
        ("AllowMethods", "methods"),
        ("AllowHeaders", "headers"),
        ("ExposeHeaders", "expose"),
        ("MaxAge", "max_age"),
        ("AllowCredentials", "credentials"),
    ];
    lambda.insert("cors".into(), renamed(&cors, &named).into());
}

/// SAM's `Events`: the clock comes along, what else calls the function is set up where it comes from.
fn events(words: &mut Words, entry: &mut Map<String, Value>, lambda: &mut Map<String, Value>) {
    let Some(Value::Object(events)) = words.take("Events") else { return };
    for (event, body) in events {
        let kind = body.get("Type").and_then(Value::as_str).unwrap_or("?").to_owned();
        let empty = Map::new();
        let properties = body.get("Properties").and_then(Value::as_object).unwrap_or(&empty);
        let text = |key: &str| properties.get(key).and_then(Value::as_str);
        match kind.as_str() {
            "Schedule" | "ScheduleV2" => {
                let written = text("ScheduleExpression").or(text("Schedule")).unwrap_or_default();
                match cron::five_fields(written) {
                    Ok(cron) if !entry.contains_key("schedule") => {
                        entry.insert("schedule".into(), cron.into());
                        if let Some(zone) = text("ScheduleExpressionTimezone").filter(|zone| *zone != "UTC") {
                            lambda.insert("timezone".into(), zone.into());
                        }
                        if properties.contains_key("Input") {
                            words.note(format!("the input of the schedule `{event}`: schedules call without a body"));
                        }
                    }
                    Ok(_) => words.note(format!("the schedule `{event}`: a function has one")),
                    Err(why) => words.note(format!("the schedule `{event}` ({written}): {why}")),
                }
            }
            "Api" | "HttpApi" => {
                let (method, path) = (text("Method").unwrap_or("any"), text("Path").unwrap_or("/"));
                words.note(format!(
                    "the API `{event}` ({} {path}): `url: public` gives the function an address of its own",
                    method.to_uppercase()
                ));
            }
            _ => words.note(format!("the event `{event}` of type {kind} has to be set up at its source")),
        }
    }
}

fn settings(words: &mut Words, lambda: &mut Map<String, Value>) {
    if let Some(text) = words.text("Description") {
        lambda.insert("description".into(), text.into());
    }
    if let Some(Value::Array(architectures)) = words.take("Architectures")
        && let Some(architecture) = architectures.first().filter(|a| *a != "x86_64")
    {
        lambda.insert("architecture".into(), architecture.clone());
    }
    if let Some(size) = words.take("EphemeralStorage").and_then(|s| s.get("Size").cloned()).filter(|s| s != 512) {
        lambda.insert("ephemeral_storage".into(), size);
    }
    if let Some(layers) = words.take("Layers") {
        lambda.insert("layers".into(), layers);
    }
    if let Some(Value::Object(vpc)) = words.take("VpcConfig") {
        let vpc = renamed(&vpc, &[("SubnetIds", "subnets"), ("SecurityGroupIds", "security_groups")]);
        if !vpc.is_empty() {
            lambda.insert("vpc".into(), vpc.into());
        }
    }
    let tracing = words.take("Tracing").or_else(|| words.take("TracingConfig")?.get("Mode").cloned());
    words.all.shift_remove("TracingConfig");
    if tracing.is_some_and(|mode| mode == "Active") {
        lambda.insert("tracing".into(), true.into());
    }
    let letters = words.take("DeadLetterQueue").or_else(|| words.take("DeadLetterConfig"));
    if let Some(arn) = letters.and_then(|letters| letters.get("TargetArn").cloned()) {
        lambda.insert("dead_letter".into(), arn);
    }
    if let Some(config) = words.take("ProvisionedConcurrencyConfig")
        && let Some(instances) = config.get("ProvisionedConcurrentExecutions")
    {
        lambda.insert("provisioned".into(), instances.clone());
    }
    if let Some(Value::Object(queue)) = words.take("EventInvokeConfig") {
        let mut all = renamed(&queue, &[("MaximumRetryAttempts", "retries"), ("MaximumEventAgeInSeconds", "max_age")]);
        for (on, key) in [("OnSuccess", "on_success"), ("OnFailure", "on_failure")] {
            let place = queue.get("DestinationConfig").and_then(|config| config.get(on)?.get("Destination"));
            if let Some(place) = place {
                all.insert(key.into(), place.clone());
            }
        }
        if !all.is_empty() {
            lambda.insert("async".into(), all.into());
        }
    }
    match words.text("Role") {
        // The stack's own is made anew.
        Some(arn) if super::check::is_role(&arn) && !arn.contains(":role/faas-") => {
            lambda.insert("role".into(), arn.into());
        }
        _ => {}
    }
    if let Some(policies) = words.take("Policies") {
        words.note(format!(
            "its rights ({}): the stack's role has only those that are needed; name a role in `lambda.role`",
            short(&policies)
        ));
    }
    if words.take("LoggingConfig").is_some_and(|config| config.get("LogFormat").is_some_and(|format| format == "JSON"))
    {
        words.note("its log is JSON by Lambda: what the function prints stays as it is");
    }
    if words.take("SnapStart").is_some_and(|snap| snap.get("ApplyOn").is_some_and(|on| on != "None")) {
        words.note("SnapStart: there is no word for it");
    }
}

fn renamed(from: &Map<String, Value>, names: &[(&str, &str)]) -> Map<String, Value> {
    let known = names.iter().filter_map(|(name, key)| Some(((*key).to_owned(), from.get(*name)?.clone())));
    known.filter(|(_, value)| !super::template::empty(value)).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(value: &Value) -> String {
    let text = plain(value);
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
