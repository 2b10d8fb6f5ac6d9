//! Functions in faas-cli's words: `list`, `describe`, `remove`, and what was deployed.
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::artifact::Artifact;
use crate::backend::gateway_api::marks;
use crate::backend::{Deployed, How, Usage};
use crate::build::Built;
use crate::function::{Function, FunctionId, Resources};
use crate::output::Format;
use crate::output::functions;
use crate::plan::{Action, Outcome};

/// The table or the JSON of `list`.
#[must_use]
pub fn list(found: &[Deployed], format: Format, verbose: bool, namespaces: bool) -> String {
    match format {
        Format::Table => functions::table(found, verbose, namespaces),
        Format::Json => pretty(&found.iter().map(|f| Value::Object(fields(f))).collect::<Value>()),
    }
}

/// The text or the JSON of `describe`.
#[must_use]
pub fn describe(
    function: &Deployed,
    ready: Option<bool>,
    format: Format,
    verbose: bool,
    asked: Option<&str>,
) -> String {
    let ready = ready.unwrap_or_else(|| function.available.unwrap_or(function.replicas) > 0);
    let state = if ready { "Ready" } else { "Not Ready" };
    // The namespace that was asked for is in the address, the default one, too.
    let address = |url: &Option<String>| match (url, asked) {
        (Some(url), Some(asked)) if url.ends_with(&format!("/{}", function.name)) => format!("{url}.{asked}"),
        (url, _) => url.clone().unwrap_or_default(),
    };
    if format == Format::Json {
        let mut fields = fields(function);
        fields.insert("invocationCount".into(), count(function));
        fields.insert("Status".into(), state.into());
        fields.insert("URL".into(), address(&function.url).into());
        fields.insert("AsyncURL".into(), address(&function.async_url).into());
        return pretty(&fields.into());
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{:<20}{value}", format!("{name}:"));
    };
    line("Name", &function.name);
    line("Status", &state);
    line("Replicas", &function.replicas);
    line("Available Replicas", &function.available.unwrap_or(0));
    line("Invocations", &function.invocations.unwrap_or(0.0));
    line("Image", &function.image);
    line("Function Process", &function.process.as_deref().unwrap_or("<default>"));
    line("URL", &address(&function.url));
    line("Async URL", &address(&function.async_url));
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!(" {name}: {value}")).collect::<Vec<_>>()
    };
    let items = |list: &[String]| list.iter().map(|item| format!(" - {item}")).collect::<Vec<_>>();
    let resources = |of: &Resources| match of.is_empty() {
        true => Vec::new(),
        false => vec![
            format!(" CPU: {}", of.cpu.as_deref().unwrap_or_default()),
            format!(" Memory: {}", of.memory.as_deref().unwrap_or_default()),
        ],
    };
    let usage = |of: Usage| {
        vec![format!("  RAM:  {:.2} MB", of.memory / f64::from(1 << 20)), format!("  CPU:  {:.0} Mi", of.cpu)]
    };
    let sections = [
        ("Labels", pairs(&function.labels)),
        ("Annotations", pairs(&marks::bare(&function.annotations))),
        ("Constraints", items(&function.constraints)),
        ("Environment", pairs(&function.environment)),
        ("Secrets", items(&function.secrets)),
        ("Requests", resources(&function.requests)),
        ("Limits", resources(&function.limits)),
        ("Usage", function.usage.map(usage).unwrap_or_default()),
    ];
    for (name, rows) in sections {
        if !rows.is_empty() {
            let _ = writeln!(text, "{name}:\n{}", rows.join("\n"));
        } else if verbose {
            let _ = writeln!(text, "{:<20} <none>", format!("{name}:"));
        }
    }
    text
}

/// The fields as the gateway names them; what is empty or zero is left out, as Go does.
fn fields(function: &Deployed) -> Map<String, Value> {
    let resources = |of: &Resources| {
        let mut map = Map::new();
        map.extend(of.memory.clone().map(|memory| ("memory".into(), memory.into())));
        map.extend(of.cpu.clone().map(|cpu| ("cpu".into(), cpu.into())));
        Value::Object(map)
    };
    let created = function.created.as_deref().unwrap_or("0001-01-01T00:00:00Z");
    let usage = |of: Usage| json!({ "cpu": number(of.cpu), "totalMemoryBytes": number(of.memory) });
    let all = [
        ("name", json!(function.name)),
        ("image", json!(function.image)),
        ("namespace", json!(function.namespace)),
        ("envProcess", json!(function.process)),
        ("envVars", json!(function.environment)),
        ("constraints", json!(function.constraints)),
        ("secrets", json!(function.secrets)),
        ("labels", json!(function.labels)),
        ("annotations", json!(marks::bare(&function.annotations))),
        ("limits", resources(&function.limits)),
        ("requests", resources(&function.requests)),
        ("readOnlyRootFilesystem", json!(function.read_only)),
        ("invocationCount", count(function)),
        ("replicas", json!(function.replicas)),
        ("availableReplicas", json!(function.available)),
        ("createdAt", json!(created)),
        ("usage", function.usage.map(usage).unwrap_or_default()),
    ];
    let says = |name: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(list) => !list.is_empty(),
        // Pointers there, which are told even where what they point at is empty.
        Value::Object(map) => {
            let (labels, annotations) = function.tells;
            !map.is_empty() || labels && name == "labels" || annotations && name == "annotations"
        }
        _ => true,
    };
    all.into_iter().filter(|(name, value)| says(name, value)).map(|(name, value)| (name.into(), value)).collect()
}

fn count(function: &Deployed) -> Value {
    number(function.invocations.unwrap_or(0.0))
}

/// A whole number without a point, as Go prints it.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

/// As Go prints JSON: two spaces, a line end.
pub(in crate::cli) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// What `build` says of each function, line by line as scripts look for it.
#[must_use]
pub fn built(built: &[(&Function, Built)]) -> String {
    let said = |(function, built): &(&Function, Built)| match &built.artifact {
        _ if function.build.skip => format!("Skipping build of: {}.\n", function.name),
        Artifact::Image { reference, .. } => format!("Image: {reference} built.\n"),
        _ => format!("{} built.\n", function.name),
    };
    built.iter().map(said).collect()
}

/// What `remove` says of those that are gone.
#[must_use]
pub fn removed(ids: &[&FunctionId]) -> String {
    let place = |id: &FunctionId| id.namespace.clone().unwrap_or_default();
    ids.iter().map(|id| format!("Deleting: {}.{}\nRemoving old function.\n", id.name, place(id))).collect()
}

/// What `deploy` and `up` say of those that were deployed; the failed ones are told by the error. `alone` is one that no
/// stack file names.
#[must_use]
pub fn deployed(outcomes: &[Outcome], how: How, alone: bool) -> String {
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.error.is_none() && outcome.action.is_some()) {
        let status = outcome.status.and_then(|status| http::StatusCode::from_u16(status).ok());
        if !alone {
            let _ = writeln!(text, "Deploying: {}.", outcome.name);
        }
        if how == How::Replace && outcome.action == Some(Action::Updated) {
            let _ = writeln!(text, "Removing old function.");
        }
        // One that was not there was created after its update was refused: faas-cli says nothing of that.
        let made = how == How::Upsert && outcome.action == Some(Action::Created);
        if status == Some(http::StatusCode::OK) && !made {
            let _ = writeln!(text, "Function {} already exists, attempting rolling-update.", outcome.name);
        }
        // A platform without HTTP answers has no code.
        let said = status.map_or_else(String::new, |status| format!(" {status}."));
        let url = outcome.url.as_deref().unwrap_or_default();
        let _ = writeln!(text, "\nDeployed.{said}\nURL: {url}\n");
    }
    text
}
