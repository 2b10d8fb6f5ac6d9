//! The parts of the file that are no function: version, name, `provider:`, `configuration:`.
use std::path::Path;

use super::node::Node;
use super::read::absolute;
use super::report::{Field, Report};
use super::source::Span;
use super::{Configuration, Provider, ProviderKind, TemplateSource, schema};

/// Other people's names for our kinds.
const WORDS: [(&str, &str); 9] = [
    ("faas", "openfaas"),
    ("faasd", "openfaas"),
    ("aws", "lambda"),
    ("aws-lambda", "lambda"),
    ("sam", "lambda"),
    ("kn", "knative"),
    ("func", "knative"),
    ("embedded", "local"),
    ("localhost", "local"),
];

/// Refuses versions that nobody has written yet.
pub fn version(report: &mut Report, root: &Node) {
    let Some(node) = root.get("version") else { return };
    let field = Field::ROOT;
    let field = field.key("version");
    if let Some(text) = report.text(&field, node)
        && text != "1.0"
    {
        let shown = report.source().shown(node.span);
        report.error(&field, node.span, format!("there is no version `{shown}` of stack files")).hint =
            Some("write `version: 1.0`, or leave it out".into());
    }
}

/// The stack's name: `name:`, else that of the folder; as a label on any platform may have it.
pub fn name(report: &mut Report, root: &Node, folder: &Path) -> String {
    let top = Field::ROOT;
    let field = top.key("name");
    if let Some(node) = root.get("name")
        && let Some(name) = report.word(&field, node)
    {
        let fits = name.len() <= 63
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !fits {
            let shown = report.source().shown(node.span);
            report.error(&field, node.span, format!("`{shown}` can't be the stack's name")).hint =
                Some("at most 63 of A-Z, a-z, 0-9, `-`, `_` and `.`, the first and the last a letter or digit".into());
        }
        return name;
    }
    let folder = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mapped: String =
        folder.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(63).collect();
    let name = mapped.trim_matches(['-', '_', '.']);
    if name.is_empty() { "stack".into() } else { name.into() }
}

/// `provider:`
pub fn provider(report: &mut Report, root: &Node) -> Provider {
    let mut provider = Provider::default();
    let top = Field::ROOT;
    let field = top.key("provider");
    let Some(entry) = root.entry("provider").filter(|e| !e.node.is_null()) else {
        let start = root.span.start;
        let span = root.entry("provider").map_or(Span { start, end: start }, |e| e.span);
        report.error(&field, span, "no provider is named").hint =
            Some("add `provider: {name: local}`; the others are openfaas, knative and lambda".into());
        return provider;
    };
    let entries = report.entries(&field, &entry.node);
    report.unknown_keys(&field, entries, &schema::PROVIDER);
    match entry.node.get("name") {
        None if !entries.is_empty() => {
            report.error(&field.key("name"), entry.span, "the provider has no name").hint =
                Some("add `name: local`, or openfaas, knative or lambda".into());
        }
        None => {}
        Some(node) => {
            let at = field.key("name");
            if let Some(name) = report.word(&at, node) {
                match ProviderKind::from_name(&name) {
                    Some(kind) => provider.kind = kind,
                    None => {
                        let names = ProviderKind::ALL.map(ProviderKind::as_str);
                        let ours = WORDS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
                        let near = ours.or_else(|| schema::nearest(&name, names));
                        let shown = report.source().shown(node.span);
                        report.error(&at, node.span, format!("unknown provider `{shown}`")).hint =
                            Some(near.map_or_else(
                                || format!("there is: {}", names.join(", ")),
                                |near| format!("did you mean `{near}`?"),
                            ));
                    }
                }
            }
        }
    }
    if let Some(node) = entry.node.get("gateway") {
        let at = field.key("gateway");
        provider.gateway = report.word(&at, node);
        let fits = |g: &str| url::Url::parse(g).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        if provider.gateway.as_deref().is_some_and(|g| !fits(g)) {
            let shown = report.source().shown(node.span);
            report.error(&at, node.span, format!("`{shown}` is no gateway's URL")).hint =
                Some("write it as `http://127.0.0.1:8080`".into());
        }
    }
    for (name, level, into) in [
        ("knative", &schema::PROVIDER_KNATIVE, &mut provider.knative),
        ("lambda", &schema::PROVIDER_LAMBDA, &mut provider.lambda),
    ] {
        if let Some(node) = entry.node.get(name) {
            let at = field.key(name);
            *into = report.json(&at, node);
            report.unknown_keys(&at, node.entries(), level);
        }
    }
    provider
}

/// `configuration:`
pub fn configuration(report: &mut Report, root: &Node, folder: &Path) -> Configuration {
    let mut configuration = Configuration::default();
    let Some(node) = root.get("configuration") else { return configuration };
    let top = Field::ROOT;
    let field = top.key("configuration");
    let entries = report.entries(&field, node);
    report.unknown_keys(&field, entries, &schema::CONFIGURATION);
    if let Some(copy) = node.get("copy") {
        let paths = report.texts(&field.key("copy"), copy);
        configuration.copy = paths.iter().map(|p| absolute(folder, p)).collect();
    }
    if let Some(templates) = node.get("templates") {
        let field = field.key("templates");
        for item in report.items(&field, templates) {
            let entries = report.entries(&field, item);
            report.unknown_keys(&field, entries, &schema::TEMPLATE);
            let source = item.get("source").and_then(|n| report.word(&field.key("source"), n));
            match item.get("name").and_then(|n| report.word(&field.key("name"), n)) {
                Some(name) => configuration.templates.push(TemplateSource { name, source }),
                None if entries.is_empty() => {}
                None => {
                    report.error(&field, item.span, "the template has no name").hint =
                        Some("write `- name: LANG` and, unless the store has it, `source: URL`".into());
                }
            }
        }
    }
    configuration
}

/// Lays what the provider says for all functions under what each one says: an archive is built for an architecture.
pub fn defaults(provider: &Provider, functions: &mut [crate::function::Function]) {
    let said = provider.lambda.get("architecture").and_then(serde_json::Value::as_str).filter(|said| !said.is_empty());
    let (ProviderKind::Lambda, Some(said)) = (provider.kind, said) else { return };
    for function in functions.iter_mut().filter(|function| function.build.platforms.is_empty()) {
        let own = function.extra.entry("lambda".into()).or_insert(serde_json::Value::Null);
        if own.is_null() {
            *own = serde_json::json!({});
        }
        if let Some(own) = own.as_object_mut() {
            own.entry("architecture").or_insert_with(|| said.into());
        }
    }
}
