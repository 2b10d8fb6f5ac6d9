//! What of two runs of a case is the same, what is better, what differs.
use std::collections::BTreeMap;

use base64::Engine;
use serde_json::Value;

use super::case::{Case, Requests, Stdout};
use super::run::{Request, Run};

/// What came of a case.
pub enum Verdict {
    Same,
    /// Aspect and reason.
    Better(BTreeMap<String, String>),
    Differs(String),
}

/// Ours against the recording.
pub fn judge(case: &Case, theirs: &Run, ours: &Run) -> Verdict {
    let mut wrong: Vec<String> = Vec::new();
    let found = aspects(case, theirs, ours);
    for (aspect, why) in &found {
        if !case.better.contains_key(*aspect) {
            wrong.push(why.clone());
        }
    }
    for (aspect, reason) in &case.better {
        assert!(
            ["exit", "stdout", "requests", "files"].contains(&aspect.as_str()),
            "{aspect} is nothing to be better in"
        );
        if !found.contains_key(aspect.as_str()) {
            wrong.push(format!("{aspect} is said to be better ({reason}), and is the same"));
        }
    }
    let last = ours.runs.last().expect("a run");
    let wanted = &case.ours;
    if let Some(exit) = wanted.exit
        && exit != last.exit
    {
        wrong.push(format!("ours exits with {}, not {exit}", last.exit));
    }
    if case.compare.stdout != Stdout::Some {
        wrong.extend(
            wanted.stdout.iter().filter(|t| !last.stdout.contains(*t)).map(|t| format!("our stdout lacks `{t}`")),
        );
    }
    wrong.extend(wanted.stderr.iter().filter(|t| !last.stderr.contains(*t)).map(|t| format!("our stderr lacks `{t}`")));
    if let Some(lines) = &wanted.requests {
        let made: Vec<String> = requests(case, ours).into_iter().map(|r| r.line).collect();
        if made != *lines {
            wrong.push(format!("ours asks {made:?}, not {lines:?}"));
        }
    }
    if wrong.is_empty() {
        return if case.better.is_empty() { Verdict::Same } else { Verdict::Better(case.better.clone()) };
    }
    wrong.push(format!("theirs: {:#?}\nours: {:#?}", theirs.runs, ours.runs));
    Verdict::Differs(wrong.join("\n"))
}

/// The same of two runs of one program, where everything is to be the same.
pub fn differences(case: &Case, then: &Run, now: &Run) -> Vec<String> {
    aspects(case, then, now).into_values().collect()
}

fn aspects(case: &Case, theirs: &Run, ours: &Run) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    for (at, (their, our)) in theirs.runs.iter().zip(&ours.runs).enumerate() {
        let line = &case.run[at];
        if their.exit != our.exit {
            found.insert("exit", format!("`{line}` exits with {}, theirs with {}", our.exit, their.exit));
        }
        if let Some(why) = stdout(case, &their.stdout, &our.stdout, their.exit != 0) {
            found.insert("stdout", format!("`{line}` {why}"));
        }
    }
    let (their, our) = (requests(case, theirs), requests(case, ours));
    if their != our {
        found.insert("requests", format!("theirs asks {their:#?}\nours asks {our:#?}"));
    }
    let (their, our) = (files(case, theirs), files(case, ours));
    if their != our {
        found.insert("files", format!("theirs leaves {their:#?}\nours leaves {our:#?}"));
    }
    if theirs.removed != ours.removed {
        found.insert("files", format!("theirs removes {:?}, ours {:?}", theirs.removed, ours.removed));
    }
    found
}

/// Where theirs failed, its error is on stdout and ours on stderr: what ours says there must be in theirs.
fn stdout(case: &Case, their: &str, our: &str, failed: bool) -> Option<String> {
    let lines = |text: &str| {
        let mut all: Vec<String> =
            text.lines().map(|line| line.trim_end().to_owned()).filter(|l| !l.is_empty()).collect();
        all.sort();
        all
    };
    let differ = || Some(format!("says\n{our}\ntheirs says\n{their}"));
    match case.compare.stdout {
        Stdout::None => None,
        Stdout::Some => case.ours.stdout.iter().find_map(|wanted| {
            let has = |text: &str| text.contains(wanted.as_str());
            (has(their) != has(our) || !has(their))
                .then(|| format!("`{wanted}` is not in both:\n{our}\ntheirs:\n{their}"))
        }),
        _ if failed => {
            let theirs = lines(their);
            lines(our).iter().any(|line| !theirs.contains(line)).then(differ)?
        }
        Stdout::Lines => (lines(their) != lines(our)).then(differ)?,
        Stdout::Exact => match (serde_json::from_str::<Value>(their), serde_json::from_str::<Value>(our)) {
            (Ok(their), Ok(our)) if their == our => None,
            _ => (their != our).then(differ)?,
        },
    }
}

/// The requests that are compared, in an order of their own, without what is ours alone or theirs by mistake.
fn requests(case: &Case, run: &Run) -> Vec<Request> {
    let writes = |line: &str| ["PUT ", "POST ", "PATCH ", "DELETE "].iter().any(|verb| line.starts_with(verb));
    let mut kept: Vec<Request> = match case.compare.requests {
        Requests::All => run.requests.clone(),
        Requests::Writes => run.requests.iter().filter(|request| writes(&request.line)).cloned().collect(),
        Requests::None => Vec::new(),
    };
    for request in &mut kept {
        // Bug 21: an empty token where there is no login.
        request.headers.retain(|_, value| value != "Bearer");
        // A DELETE names the namespace in its body; ours names it in the query, too.
        if request.line.starts_with("DELETE /system/") {
            request.line = request.line.split('?').next().unwrap_or_default().to_owned();
        }
        if let Some(annotations) = request.body.get_mut("annotations").and_then(Value::as_object_mut) {
            // By these ours knows again what it deployed.
            annotations.retain(|name, _| name != "faas.dev");
        }
        secret(&mut request.body);
        for name in ["secrets", "constraints"] {
            if let Some(list) = request.body.get_mut(name).and_then(Value::as_array_mut) {
                list.sort_by_key(ToString::to_string);
            }
        }
        prune(&mut request.body);
    }
    kept.sort_by_key(|request| (request.line.clone(), request.body.to_string()));
    kept
}

/// A secret's value is sent as text, as bytes, or both; the bytes are what counts.
fn secret(body: &mut Value) {
    let Some(map) = body.as_object_mut() else { return };
    if let Some(Value::String(text)) = map.remove("value") {
        let bytes = base64::engine::general_purpose::STANDARD.encode(text);
        map.entry("rawValue").or_insert(Value::String(bytes));
    }
}

/// An empty map, list or text means the same as none.
fn prune(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| {
            prune(value);
            !(value.is_null()
                || value == &Value::String(String::new())
                || value.as_object().is_some_and(serde_json::Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty))
        });
    }
}

/// Of a YAML or JSON file what it means, of .gitignore its lines, of another its text.
fn meaning(path: &str, text: &str) -> String {
    let value: Option<Value> = match path.rsplit('.').next() {
        Some("yml" | "yaml") => serde_saphyr::from_str(text).ok(),
        Some("json") => serde_json::from_str(text).ok(),
        Some("gitignore") => Some(text.lines().filter(|line| !line.is_empty()).collect()),
        _ => None,
    };
    let sorted = |mut value: Value| {
        value.sort_all_objects();
        value.to_string()
    };
    value.map_or_else(|| text.to_owned(), sorted)
}

fn files(case: &Case, run: &Run) -> BTreeMap<String, String> {
    let matches = |globs: &[String], path: &str| {
        globs.iter().any(|glob| globset::Glob::new(glob).expect("a glob").compile_matcher().is_match(path))
    };
    run.files
        .iter()
        .filter(|(path, _)| case.compare.files.is_empty() || matches(&case.compare.files, path))
        // Kept beside the logins, so that two commands don't write at once.
        .filter(|(path, _)| !path.ends_with("/.lock") && !matches(&case.compare.not_files, path))
        .map(|(path, text)| (path.clone(), meaning(path, text)))
        .collect()
}
