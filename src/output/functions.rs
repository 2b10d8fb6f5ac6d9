//! Functions as faas-cli shows them: its columns, its field names in JSON.
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::table::clean;
use crate::backend::Deployed;
use crate::backend::gateway_api::marks;
use crate::function::Resources;
use crate::history::{HISTORY_KEY, RECORD_KEY};
use crate::wire::{FunctionStatus, FunctionUsage, Quantities};

/// The narrowest column for images.
const IMAGE_WIDTH: usize = 40;

/// A function as JSON: the gateway's field names, and what faas-cli's `describe` adds.
#[derive(Serialize)]
pub struct View {
    #[serde(flatten)]
    status: FunctionStatus,
    #[serde(rename = "invocationCount")]
    invocations: Option<serde_json::Number>,
    #[serde(rename = "Status", skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(rename = "URL", skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(rename = "AsyncURL", skip_serializing_if = "Option::is_none")]
    async_url: Option<String>,
}

/// A row of the list as JSON.
#[must_use]
pub fn row(function: &Deployed) -> View {
    View { status: status(function), invocations: count(function), state: None, url: None, async_url: None }
}

/// One function as JSON; `ready` is the platform's own word on that, where it gave one.
#[must_use]
pub fn view(function: &Deployed, ready: Option<bool>) -> View {
    View {
        status: status(function),
        invocations: count(function),
        state: Some(state(function, ready)),
        url: function.url.clone(),
        async_url: function.async_url.clone(),
    }
}

/// Calls as a whole number, which is what they are, though the gateway's type is not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(function: &Deployed) -> Option<serde_json::Number> {
    Some((function.invocations?.max(0.0) as u64).into())
}

/// Without what is told under other keys.
fn told(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut annotations = annotations.clone();
    annotations.remove(marks::KEY);
    annotations
}

fn status(function: &Deployed) -> FunctionStatus {
    let map = |m: &BTreeMap<String, String>| (!m.is_empty()).then(|| m.clone());
    let list = |l: &Vec<String>| (!l.is_empty()).then(|| l.clone());
    let quantities =
        |r: &Resources| (!r.is_empty()).then(|| Quantities { memory: r.memory.clone(), cpu: r.cpu.clone() });
    FunctionStatus {
        name: function.name.clone(),
        image: function.image.clone(),
        namespace: function.namespace.clone(),
        env_process: function.process.clone(),
        env_vars: map(&function.environment),
        constraints: list(&function.constraints),
        secrets: list(&function.secrets),
        labels: map(&function.labels),
        annotations: map(&told(&function.annotations)),
        limits: quantities(&function.limits),
        requests: quantities(&function.requests),
        read_only_root_filesystem: function.read_only,
        invocation_count: None,
        replicas: Some(function.replicas),
        available_replicas: function.available,
        starting_replicas: None,
        created_at: function.created.clone(),
        usage: function.usage.map(|u| FunctionUsage { cpu: u.cpu, total_memory_bytes: u.memory }),
    }
}

fn state(function: &Deployed, ready: Option<bool>) -> &'static str {
    if ready.unwrap_or_else(|| function.available.unwrap_or(function.replicas) > 0) { "Ready" } else { "Not Ready" }
}

/// The table of `list`; with `namespaces`, each function's stands first.
#[must_use]
pub fn table(functions: &[Deployed], verbose: bool, namespaces: bool) -> String {
    let mut text = String::new();
    let longest = functions.iter().filter_map(|f| f.namespace.as_ref().map(String::len)).max().unwrap_or(0);
    let place = longest.max("Namespace".len());
    let place = |text: &mut String, name: &str| {
        if namespaces {
            let _ = write!(text, "{name:<place$}\t");
        }
    };
    place(&mut text, "Namespace");
    let counted = functions.is_empty() || functions.iter().any(|f| f.invocations.is_some());
    if !verbose && !counted {
        let _ = writeln!(text, "{:<30}\t{:<8}\t{:<5}\tURL", "Function", "Replicas", "Ready");
        for f in functions {
            place(&mut text, &clean(f.namespace.as_deref().unwrap_or_default()));
            let ready = f.ready.map_or("-", |ready| if ready { "yes" } else { "no" });
            let url = clean(f.url.as_deref().unwrap_or_default());
            let _ = writeln!(text, "{:<30}\t{:<8}\t{ready:<5}\t{url}", clean(&f.name), f.replicas);
        }
        return text;
    }
    if !verbose {
        let _ = writeln!(text, "{:<30}\t{:<15}\t{:<5}", "Function", "Invocations", "Replicas");
        for f in functions {
            place(&mut text, &clean(f.namespace.as_deref().unwrap_or_default()));
            let _ = writeln!(text, "{:<30}\t{:<15}\t{:<5}", clean(&f.name), calls(f), f.replicas);
        }
        return text;
    }
    let width = functions.iter().map(|f| f.image.len()).max().unwrap_or(0).max(IMAGE_WIDTH);
    let _ =
        writeln!(text, "{:<30}\t{:<width$}\t{:<15}\t{:<5}\tCreatedAt", "Function", "Image", "Invocations", "Replicas");
    for f in functions {
        place(&mut text, &clean(f.namespace.as_deref().unwrap_or_default()));
        let created = clean(&f.created.as_deref().map(go_time).unwrap_or_default());
        let _ = writeln!(
            text,
            "{:<30}\t{:<width$}\t{:<15}\t{:<5}\t\t{created}",
            clean(&f.name),
            clean(&f.image),
            calls(f),
            f.replicas
        );
    }
    text
}

/// How often it was called, where that is counted.
fn calls(function: &Deployed) -> String {
    function.invocations.map_or_else(|| "-".into(), |calls| calls.to_string())
}

/// As Go prints times; anything that is no time stays as it is.
fn go_time(text: &str) -> String {
    text.parse::<jiff::Timestamp>()
        .map_or_else(|_| text.into(), |t| t.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string())
}

/// The text of `describe`; `verbose` shows what is empty, too, and `ready` is as [`view`] has it.
#[must_use]
pub fn details(function: &Deployed, ready: Option<bool>, verbose: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{:<20}{value}", format!("{name}:"));
    };
    line("Name", &function.name);
    line("Status", state(function, ready));
    line("Replicas", &function.replicas.to_string());
    if let Some(available) = function.available {
        line("Available Replicas", &available.to_string());
    }
    if function.invocations.is_some() {
        line("Invocations", &calls(function));
    }
    line("Image", &function.image);
    line("Function Process", function.process.as_deref().unwrap_or("<default>"));
    line("URL", function.url.as_deref().unwrap_or("<none>"));
    line("Async URL", function.async_url.as_deref().unwrap_or("<none>"));
    let pairs = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>();
    // `faas deployments` tells them in words.
    let mut annotations = told(&function.annotations);
    annotations.retain(|key, _| ![HISTORY_KEY, RECORD_KEY].contains(&key.as_str()));
    let resources = |r: &Resources| {
        [("CPU", &r.cpu), ("Memory", &r.memory)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}: {}", value.as_deref()?)))
            .collect()
    };
    let usage = function
        .usage
        .map(|u| vec![format!("CPU: {:.0}m", u.cpu), format!("Memory: {:.2} MiB", u.memory / f64::from(1 << 20))]);
    let sections: [(&str, Vec<String>); 8] = [
        ("Labels", pairs(&function.labels)),
        ("Annotations", pairs(&annotations)),
        ("Constraints", function.constraints.clone()),
        ("Environment", pairs(&function.environment)),
        ("Secrets", function.secrets.clone()),
        ("Requests", resources(&function.requests)),
        ("Limits", resources(&function.limits)),
        ("Usage", usage.unwrap_or_default()),
    ];
    for (name, rows) in sections {
        if rows.is_empty() {
            if verbose {
                let _ = writeln!(text, "{:<20}<none>", format!("{name}:"));
            }
            continue;
        }
        let _ = writeln!(text, "{name}:");
        for row in rows {
            let _ = writeln!(text, " {row}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Deployed {
        Deployed {
            name: "tax".into(),
            image: "reg/tax:1".into(),
            replicas: 1,
            available: Some(1),
            invocations: Some(3.0),
            created: Some("2026-11-23T22:46:04.655497978Z".into()),
            url: Some("http://g/function/tax".into()),
            async_url: Some("http://g/async-function/tax".into()),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Deployed::default()
        }
    }

    #[test]
    fn the_columns_are_those_of_faas_cli() {
        assert_eq!(
            table(&[function()], true, false),
            "Function                      \tImage                                   \tInvocations    \tReplicas\tCreatedAt\n\
             tax                           \treg/tax:1                               \t3              \t1    \t\t2026-11-23 22:46:04.655497978 +0000 UTC\n"
        );
    }

    #[test]
    fn calls_that_nobody_counts_are_not_made_up() {
        let knative = Deployed { invocations: None, ready: Some(true), url: Some("http://tax.a".into()), ..function() };
        let text = table(std::slice::from_ref(&knative), false, false);
        let lines: Vec<_> = text.lines().map(|line| line.split('\t').map(str::trim).collect::<Vec<_>>()).collect();
        assert_eq!(lines, [["Function", "Replicas", "Ready", "URL"], ["tax", "1", "yes", "http://tax.a"]]);
        assert!(!details(&knative, None, true).contains("Invocations"));
        assert_eq!(serde_json::to_value(row(&knative)).unwrap()["invocationCount"], serde_json::Value::Null);
    }

    #[test]
    fn functions_of_all_namespaces_are_told_apart() {
        let shop = Deployed { namespace: Some("shop-for-everything".into()), ..function() };
        let text = table(&[shop], false, true);
        let lines: Vec<_> = text.lines().map(|line| line.split('\t').map(str::trim).collect::<Vec<_>>()).collect();
        assert_eq!(lines[0], ["Namespace", "Function", "Invocations", "Replicas"]);
        assert_eq!(lines[1], ["shop-for-everything", "tax", "3", "1"]);
    }

    #[test]
    fn details_leave_out_what_is_empty() {
        assert_eq!(
            details(&function(), None, false),
            "Name:               tax\nStatus:             Ready\nReplicas:           1\nAvailable Replicas: 1\n\
             Invocations:        3\nImage:              reg/tax:1\nFunction Process:   <default>\n\
             URL:                http://g/function/tax\nAsync URL:          http://g/async-function/tax\n\
             Labels:\n a: b\n"
        );
    }
}
