//! What faas-cli says of secrets, namespaces, functions made, and itself.
use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::functions::pretty;
use crate::backend::{Info, Namespace, SecretName, Written};
use crate::output::Format;

/// `202 Accepted`; nothing where the platform doesn't speak HTTP.
fn status(code: Option<u16>) -> String {
    code.and_then(|code| http::StatusCode::from_u16(code).ok()).map(|code| format!(": {code}")).unwrap_or_default()
}

/// A secret that was created, or that was there (`already`, or `still`) and got the value; `code` is what the platform
/// answered.
#[must_use]
pub fn secret_created(name: &SecretName, written: Written, code: Option<u16>, there: &str) -> String {
    let place = name.namespace.as_deref().unwrap_or_default();
    let done = match written {
        Written::Created => format!("Created{}", status(code)),
        Written::Updated => format!("Secret {} {there} exists, updating...\nUpdated{}", name.name, status(code)),
    };
    format!("Creating secret: {}.{place}\n{done}\n", name.name)
}

/// A secret that was updated.
#[must_use]
pub fn secret_updated(name: &SecretName, code: Option<u16>) -> String {
    format!("Updating secret: {}\nUpdated{}\n", name.name, status(code))
}

/// The secrets' names.
#[must_use]
pub fn secrets(names: &[SecretName], format: Format) -> String {
    if format == Format::Json {
        let row = |s: &SecretName| match &s.namespace {
            Some(namespace) => json!({ "name": s.name, "namespace": namespace }),
            None => json!({ "name": s.name }),
        };
        return pretty(&names.iter().map(row).collect::<Value>());
    }
    if names.is_empty() {
        return "No secrets found.\n".into();
    }
    let lines: String = names.iter().map(|s| format!("{}\n", s.name)).collect();
    format!("\nNAME\n{lines}\n")
}

/// A namespace that was created, updated or removed; `doing` and `done` as `Creating`, `Created`.
#[must_use]
pub fn namespace_done(name: &str, done: &str) -> String {
    let doing = match done {
        "Created" => "Creating",
        "Updated" => "Updating",
        _ => "Deleting",
    };
    format!("{doing} Namespace: {name}\nNamespace {done}: {name}\n")
}

/// A namespace with its labels and annotations.
#[must_use]
pub fn namespace(namespace: &Namespace) -> String {
    let mut text = format!("Name: {}\n", namespace.name);
    let mut section = |name: &str, map: &BTreeMap<String, String>| {
        if !map.is_empty() {
            let _ = writeln!(text, "{name}:");
            for (key, value) in map {
                let _ = writeln!(text, " {key}: {value}");
            }
        }
    };
    section("Labels", &namespace.labels);
    section("Annotations", &namespace.annotations);
    text
}

/// What this program and the gateway, when it answered, are.
#[must_use]
pub fn version(commit: &str, version: &str, gateway: Option<&Info>, format: Format) -> String {
    let text = |path: &str| {
        let found = gateway.and_then(|info| info.details.pointer(path)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let (provider, orchestration) = (text("/provider/provider"), text("/provider/orchestration"));
    let (release, sha) = (text("/provider/version/release"), text("/provider/version/sha"));
    if format == Format::Json {
        let mut all = json!({ "cli": { "commit": commit, "version": version } });
        if let Some(info) = gateway {
            all["gateway"] =
                json!({ "uri": info.address, "version": text("/version/release"), "sha": text("/version/sha") });
            all["provider"] =
                json!({ "name": provider, "orchestration": orchestration, "version": release, "sha": sha });
        }
        return pretty(&all);
    }
    let mut said = format!("CLI:\n  commit:  {commit}\n  version: {version}\n");
    if let Some(info) = gateway {
        let _ = writeln!(
            said,
            "\nGateway\n uri:     {}\n version: {}\n sha:     {}\n",
            info.address,
            text("/version/release"),
            text("/version/sha")
        );
        let _ = writeln!(
            said,
            "\nProvider\n name:          {provider}\n orchestration: {orchestration}\n \
            version:       {release} \n sha:           {sha}"
        );
    }
    said
}

/// The templates that a stack names, one by one.
#[must_use]
pub fn pulled(entries: &[(String, Option<String>)]) -> String {
    let said = |(name, source): &(String, Option<String>)| {
        let place = source.as_deref().unwrap_or("store");
        format!("Pulling template: {name} from {place}\nWrote 1 template(s) : [{name}]\n")
    };
    entries.iter().map(said).collect()
}

/// A function that was made; `notes` are the template's.
#[must_use]
pub fn made(folder: &str, stack: &str, appended: bool, notes: Option<&str>) -> String {
    let folder = folder.trim_start_matches("./");
    let word = if appended { "updated" } else { "written" };
    let mut text =
        format!("Folder: {folder} created.\n\nFunction created in folder: {folder}\nStack file {word}: {stack}\n");
    if let Some(notes) = notes {
        let _ = writeln!(text, "\nNotes:\n{notes}");
    }
    text
}
