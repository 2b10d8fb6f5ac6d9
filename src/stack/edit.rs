//! Writing stack files: a new one, and a function added to one that is there, with its comments, order, quotes and
//! line ends kept.
use super::compose::compose;
use super::node::{self, Node, Value};
use super::report::{Field, Report};
use super::source::Source;
use super::{NewFunction, ProviderKind};
use crate::error::{Fault, Result};
use crate::function::Resources;

/// A new stack file with one function.
#[must_use]
pub fn fresh(provider: ProviderKind, gateway: &str, function: &NewFunction) -> String {
    let mut text = format!("version: 1.0\nprovider:\n  name: {}\n", provider.as_str());
    // AWS is found by region and credentials, a cluster by the kubeconfig.
    if !gateway.is_empty() && !matches!(provider, ProviderKind::Lambda | ProviderKind::Knative) {
        text += &format!("  gateway: {}\n", quoted(gateway));
    }
    text + "functions:\n" + &block(function, 2, 2)
}

/// The text with the function added at the end of `functions:`; `name` is the file's in messages. Everything else in it stays as it is, to the byte.
///
/// # Errors
/// The text is no stack file, or has a function of that name ([`crate::error::Kind::Usage`]).
pub fn append(text: &str, name: &str, function: &NewFunction) -> Result<String> {
    let (bom, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let source = Source::new(name, text);
    let root = read(&source, name)?;
    let functions = root.entry("functions");
    if functions.is_some_and(|f| f.node.entry(&function.name).is_some()) {
        return Err(Fault::usage(format!("there is a function `{}` in {name} already", function.name))
            .hint("choose another name"));
    }
    let line_end = if text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r')) { "\r\n" } else { "\n" };
    let (at, skip, insert) = match functions.map(|f| (f, &f.node)) {
        None => {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            (text.len(), 0, format!("{gap}functions:\n{}", block(function, 2, 2)))
        }
        Some((entry, node)) if node.is_null() => {
            let (at, gap) = line_after(text, entry.span.end);
            (at, 0, format!("{gap}{}", block(function, 2, 2)))
        }
        Some((_, node)) if text[node.span.start..].starts_with('{') => {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let new = if is_json { json(function) } else { flow(function) };
            match node.entries().last() {
                None => (node.span.start + 1, 0, new),
                Some(last) => (last.node.span.end.max(last.span.end), 0, after(text, last.span.start, &new)),
            }
        }
        Some((_, node)) => below(text, node, function)?,
    };
    let insert = insert.replace('\n', line_end);
    let new = format!("{}{insert}{}", &text[..at], &text[at + skip..]);
    let before = root.json();
    if !is_as_meant(&new, before, function) {
        return Err(Fault::failed(format!("`{}` can't be added to {name} without changing it", function.name))
            .hint(format!("add it by hand, below `functions:`:\n{}", block(function, 2, 2))));
    }
    Ok(format!("{bom}{new}"))
}

/// The platform of a stack file, when it can be read and names one.
#[must_use]
pub fn provider(text: &str) -> Option<ProviderKind> {
    let source = Source::new("", text.strip_prefix('\u{feff}').unwrap_or(text));
    let root = read(&source, "").ok()?.json();
    ProviderKind::from_name(root["provider"]["name"].as_str()?)
}

fn read<'s>(source: &'s Source, name: &str) -> Result<Node<'s>> {
    let mut report = Report::new(source, false);
    match compose(source, &mut report) {
        Some(root) if !report.failed() && matches!(root.value, Value::Map(_)) => Ok(root),
        Some(root) if !report.failed() && !root.is_null() => {
            report.error(&Field::ROOT, root.span, "a stack file is a mapping");
            Err(Fault::usage(format!("{name} can't be edited")).problems(report.finish()))
        }
        _ if report.failed() => Err(Fault::usage(format!("{name} can't be edited")).problems(report.finish())),
        _ => Err(Fault::usage(format!("{name} is empty")).hint("`faas new` without `--append` writes a new one")),
    }
}

/// Where and how to add below the last function of a block mapping.
fn below(text: &str, node: &Node, function: &NewFunction) -> Result<(usize, usize, String)> {
    let column = |at: usize| at - text[..at].rfind('\n').map_or(0, |i| i + 1);
    let Some(first) = node.entries().iter().find(|e| (node.span.start..node.span.end).contains(&e.span.start)) else {
        return Err(Fault::usage("`functions` in the stack file isn't a mapping"));
    };
    let outer = column(first.span.start);
    let inner = node.entries().iter().find_map(|e| {
        let field = e.node.entries().first()?.span.start;
        let is_below = text[e.span.end..].len() > text.get(field..)?.len() && text[e.span.end..field].contains('\n');
        is_below.then(|| column(field).checked_sub(outer)).flatten()
    });
    let (mut at, gap) = line_after(text, node.span.end);
    // Comments further in than a function's name belong to the function above.
    while let Some(line) = text[at..].split_inclusive('\n').next() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if !line.trim_start().starts_with('#') || indent <= outer {
            break;
        }
        at += line.len();
    }
    let gap = if gap.is_empty() && at > 0 && !text[..at].ends_with('\n') { "\n" } else { gap };
    let spaced = node.entries().windows(2).last().is_some_and(|pair| {
        let (end, start) = (pair[0].node.span.end, pair[1].span.start);
        text.get(end..start).is_some_and(|between| {
            between.lines().skip(1).any(|l| l.trim().is_empty() && l.len() < 2) && between.matches('\n').count() > 1
        })
    });
    let space = if spaced { "\n" } else { "" };
    Ok((at, 0, format!("{gap}{space}{}", block(function, outer, inner.unwrap_or(2)))))
}

/// The start of the line after the one that `at` is in (or ends), and the line end that is missing before it.
fn line_after(text: &str, at: usize) -> (usize, &'static str) {
    if text[..at].ends_with('\n') {
        return (at, "");
    }
    text[at..].find('\n').map_or((text.len(), "\n"), |i| (at + i + 1, ""))
}

fn resources(name: &str, resources: &Resources) -> Option<(String, Vec<(&'static str, String)>)> {
    let fields: Vec<_> = [("memory", &resources.memory), ("cpu", &resources.cpu)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect();
    (!fields.is_empty()).then(|| (name.into(), fields))
}

/// Its fields that have fields of their own.
fn nested(function: &NewFunction) -> impl Iterator<Item = (String, Vec<(&'static str, String)>)> {
    let package = function.lambda_image.then(|| ("lambda".to_owned(), vec![("package", "image".to_owned())]));
    [resources("limits", &function.limits), resources("requests", &function.requests), package].into_iter().flatten()
}

/// Its fields that are a word each.
fn plain(function: &NewFunction) -> impl Iterator<Item = (&'static str, &str)> {
    let image = function.image.as_deref().map(|image| ("image", image));
    [("lang", &*function.lang), ("handler", &*function.handler)].into_iter().chain(image)
}

fn block(function: &NewFunction, outer: usize, inner: usize) -> String {
    let (outer, inner, inmost) = (" ".repeat(outer), " ".repeat(outer + inner), " ".repeat(outer + 2 * inner));
    let mut text = format!("{outer}{}:\n", quoted(&function.name));
    for (key, value) in plain(function) {
        text += &format!("{inner}{key}: {}\n", quoted(value));
    }
    for (name, fields) in nested(function) {
        text += &format!("{inner}{name}:\n");
        for (key, value) in fields {
            text += &format!("{inmost}{key}: {}\n", quoted(&value));
        }
    }
    text
}

fn flow(function: &NewFunction) -> String {
    let value = |text: &str| if text.contains([',', '[', ']', '{', '}']) { single(text) } else { quoted(text) };
    let mut fields: Vec<String> = plain(function).map(|(key, text)| format!("{key}: {}", value(text))).collect();
    for (name, inner) in nested(function) {
        let inner: Vec<String> = inner.iter().map(|(key, text)| format!("{key}: {}", value(text))).collect();
        fields.push(format!("{name}: {{{}}}", inner.join(", ")));
    }
    format!("{}: {{{}}}", value(&function.name), fields.join(", "))
}

/// Whether the new text reads as the old one with the function at the end, and nothing else.
fn is_as_meant(new: &str, before: serde_json::Value, function: &NewFunction) -> bool {
    let mut expected = before;
    let mut added: serde_json::Value =
        plain(function).map(|(key, value)| (key.to_owned(), serde_json::Value::from(value))).collect();
    for (name, fields) in nested(function) {
        added[name] = fields.into_iter().map(|(k, v)| (k.to_owned(), serde_json::Value::from(v))).collect();
    }
    if !expected["functions"].is_object() {
        expected["functions"] = serde_json::json!({});
    }
    expected["functions"][&function.name] = added;
    let source = Source::new("", new);
    // As text, since the order counts.
    let expected = expected.to_string();
    read(&source, "").is_ok_and(|root| expected == *root.json().to_string())
}

/// What follows the entry at `last` in a flow mapping: on a line of its own where that one has one.
fn after(text: &str, last: usize, new: &str) -> String {
    let line = text[..last].rfind('\n').map_or(0, |at| at + 1);
    // What the span of a key leaves out is its quote.
    let indent = text[line..last].trim_end_matches('"');
    match line > 0 && indent.trim().is_empty() {
        true => format!(",\n{indent}{new}"),
        false => format!(", {new}"),
    }
}

/// In JSON, which a stack file in JSON stays.
fn json(function: &NewFunction) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut fields: Vec<String> = plain(function).map(|(key, value)| format!("\"{key}\": {}", text(value))).collect();
    for (name, inner) in nested(function) {
        let inner: Vec<String> = inner.iter().map(|(key, value)| format!("\"{key}\": {}", text(value))).collect();
        fields.push(format!("\"{name}\": {{{}}}", inner.join(", ")));
    }
    format!("{}: {{{}}}", text(&function.name), fields.join(", "))
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text as a scalar in a block: plain where it is read back as text.
fn quoted(text: &str) -> String {
    if !needs_quotes(text) {
        return text.into();
    }
    if text.chars().any(char::is_control) {
        // A JSON string is a double-quoted scalar.
        return serde_json::Value::from(text).to_string();
    }
    single(text)
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || node::boolean(text).is_some()
        || node::integer(text).is_some()
        || text.parse::<f64>().is_ok()
        || matches!(text, "~" | "null" | "Null" | "NULL")
        || text.starts_with(|c: char| "!&*-?|>@`%\"'#,[]{}: ".contains(c))
        || text.ends_with([':', ' '])
        || text.contains(": ")
        || text.contains(" #")
        || text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> NewFunction {
        NewFunction {
            lambda_image: false,
            name: name.into(),
            lang: "python3".into(),
            handler: format!("./{name}"),
            image: Some(format!("{name}:latest")),
            limits: Resources::default(),
            requests: Resources::default(),
        }
    }

    const NEW: &str = "    lang: python3\n    handler: ./new\n    image: new:latest\n";

    #[track_caller]
    fn appended(text: &str, expected: &str) {
        match append(text, "s.yml", &function("new")) {
            Ok(got) => assert_eq!(got, expected),
            Err(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn a_fresh_file_is_as_faas_cli_writes_it() {
        let mut tax = function("tax");
        assert_eq!(
            fresh(ProviderKind::OpenFaas, "http://127.0.0.1:8080", &tax),
            "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n  tax:\n    \
             lang: python3\n    handler: ./tax\n    image: tax:latest\n"
        );
        tax.limits.memory = Some("128Mi".into());
        tax.requests.cpu = Some("1".into());
        let text = fresh(ProviderKind::Local, "", &tax);
        assert!(text.ends_with("    limits:\n      memory: 128Mi\n    requests:\n      cpu: '1'\n"), "{text}");
    }

    #[test]
    fn the_function_goes_below_the_last_one_even_when_more_follows() {
        let head = "# mine\nfunctions:\n  a:\n    image: \"x\" # c\n    environment: {A: 1}\n    # end of a\n";
        let tail = "\nconfiguration:\n  copy: [x] # tail\n";
        appended(&format!("{head}{tail}"), &format!("{head}  new:\n{NEW}{tail}"));
    }

    #[test]
    fn indents_and_blank_lines_are_those_of_the_file() {
        appended(
            "functions:\n    a:\n          image: x\n\n    b:\n          image: y\n",
            "functions:\n    a:\n          image: x\n\n    b:\n          image: y\n\n    new:\n          lang: \
             python3\n          handler: ./new\n          image: new:latest\n",
        );
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_stay() {
        let text = "\u{feff}functions:\r\n  a:\r\n    image: x";
        appended(text, &format!("{text}\r\n  new:\r\n{}", NEW.replace('\n', "\r\n")));
    }

    #[test]
    fn a_file_without_functions_gets_them() {
        appended("version: 1.0", &format!("version: 1.0\nfunctions:\n  new:\n{NEW}"));
        appended("functions: # none\nversion: 1.0\n", &format!("functions: # none\n  new:\n{NEW}version: 1.0\n"));
    }

    #[test]
    fn flow_mappings_stay_flow() {
        let new = "new: {lang: python3, handler: ./new, image: new:latest}";
        appended("functions: {}\n", &format!("functions: {{{new}}}\n"));
        appended("functions: {a: {image: x} }\n", &format!("functions: {{a: {{image: x}}, {new} }}\n"));
        appended("{functions: {a: {image: x}}}\n", &format!("{{functions: {{a: {{image: x}}, {new}}}}}\n"));
        appended("functions: {\n  a: {image: x},\n}\n", &format!("functions: {{\n  a: {{image: x}},\n  {new},\n}}\n"));
    }

    #[test]
    fn json_stays_json() {
        let new = r#""new": {"lang": "python3", "handler": "./new", "image": "new:latest"}"#;
        appended(r#"{"functions": {}}"#, &format!(r#"{{"functions": {{{new}}}}}"#));
        appended(
            r#"{"functions": {"a": {}}, "version": 1.0}"#,
            &format!(r#"{{"functions": {{"a": {{}}, {new}}}, "version": 1.0}}"#),
        );
        let lines = |more: &str| {
            format!("{{\n  \"functions\": {{\n    \"a\": {{\n      \"image\": \"x\"\n    }}{more}\n  }}\n}}\n")
        };
        appended(&lines(""), &lines(&format!(",\n    {new}")));
    }

    #[test]
    fn anchors_block_scalars_and_variables_stay() {
        let base = "x-base: &base\n  lang: node\nx-env: &env {A: 1}\nfunctions:\n";
        for last in [
            "  a:\n    <<: *base\n",
            "  a:\n    image: ${REG:-docker.io}/x:1\n    environment: *env\n",
            "  a:\n    environment:\n      A: |\n        one\n        two\n",
            "  a:\n    image: x\n    secrets:\n    - one\n    - two\n",
        ] {
            let text = format!("{base}{last}");
            appended(&format!("{text}version: 1.0\n"), &format!("{text}  new:\n{NEW}version: 1.0\n"));
        }
    }

    #[test]
    fn what_cant_be_edited_is_refused() {
        for (text, message) in [
            ("functions:\n  new:\n    image: x\n", "there is a function `new`"),
            ("functions: [a]\n", "isn't a mapping"),
            ("functions: 'x\n", "can't be edited"),
            ("", "is empty"),
            ("- a\n", "can't be edited"),
            ("functions: ~\n", "without changing it"),
            ("functions: &f {}\nx: *f\n", "without changing it"),
        ] {
            let fault = append(text, "s.yml", &function("new")).expect_err(text);
            assert!(fault.message.contains(message), "{text}: {fault:?}");
        }
    }
}
