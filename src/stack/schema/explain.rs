//! What a key of the stack file means: found by its whole path, or by as much of its end as tells it.
use serde::Serialize;

use super::{Key, Level, STACK, Shape, TARGET, nearest};

/// All that there is to tell of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Where it stands, as `functions.NAME.timeout`.
    pub path: String,
    /// What it may be set to.
    pub value: String,
    /// What it means.
    pub about: &'static str,
    /// How it is written.
    pub example: String,
    /// Whether a target may set it for all functions at once.
    pub for_all: bool,
    /// The keys below it, with what they mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<(&'static str, &'static str)>,
}

/// Every key with its path, those below others after them; targets repeat what functions have, and are left out below.
fn all() -> Vec<(String, &'static Key)> {
    fn walk(level: &'static Level, above: &str, into: &mut Vec<(String, &'static Key)>) {
        for key in level.keys {
            let path = if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
            into.push((path.clone(), key));
            match key.shape {
                Shape::Level(below) => walk(below, &path, into),
                Shape::List(below) => walk(below, &path, into),
                Shape::Named(below) => walk(below, &format!("{path}.NAME"), into),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&STACK, "", &mut found);
    found.retain(|(path, _)| path.matches('.').count() < 3 || !path.starts_with("targets.NAME."));
    found
}

/// The paths of all keys.
#[must_use]
pub fn paths() -> Vec<String> {
    all().into_iter().map(|(path, _)| path).collect()
}

/// All keys as Markdown, a section for each that has keys below it.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# All keys of the stack file\n\nMade by `faas explain --keys`; `faas explain KEY` tells the same at a prompt. NAME stands \
         for the name of a function or target. A target takes the keys of a function, too.\n",
    );
    let all = all();
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;");
    let table = |text: &mut String, above: &str| {
        let depth = if above.is_empty() { 0 } else { above.matches('.').count() + 1 };
        let below = all.iter().filter(|(path, _)| {
            path.strip_prefix(above).is_some_and(|rest| above.is_empty() || rest.starts_with('.'))
                && path.matches('.').count() == depth
        });
        *text += "\n| key | value | |\n|---|---|---|\n";
        for (path, key) in below {
            let name = path.rsplit('.').next().unwrap_or(path);
            *text += &format!("| `{name}` | {} | {} |\n", cell(&value(key.shape)), cell(key.about));
        }
    };
    table(&mut text, "");
    for (path, key) in &all {
        let above = match key.shape {
            Shape::Level(_) | Shape::List(_) => path.clone(),
            Shape::Named(_) => format!("{path}.NAME"),
            _ => continue,
        };
        if all.iter().any(|(below, _)| below.strip_prefix(&above).is_some_and(|rest| rest.starts_with('.'))) {
            text += &format!("\n## {above}\n");
            table(&mut text, &above);
        }
    }
    text
}

/// The keys that `asked` may mean: the one whose path it is, else all whose path ends with it; names of functions and
/// targets may stand in the place of NAME. The nearest one as the error when there is none.
///
/// # Errors
/// The nearest key's path, where one is near.
pub fn explain(asked: &str) -> Result<Vec<Explained>, Option<String>> {
    let asked = asked.trim().trim_matches('.');
    let fits = |path: &str, whole: bool| {
        let (path, asked): (Vec<&str>, Vec<&str>) = (path.split('.').collect(), asked.split('.').collect());
        let alike = |(have, want): (&&str, &&str)| have == want || *have == "NAME";
        path.len() >= asked.len()
            && (!whole || path.len() == asked.len())
            && path.iter().rev().zip(asked.iter().rev()).all(alike)
            // NAME alone stands for every word there is.
            && path.last() == asked.last()
    };
    let all = all();
    let mut found: Vec<&(String, &Key)> = all.iter().filter(|(path, _)| fits(path, true)).collect();
    if found.is_empty() {
        found = all.iter().filter(|(path, _)| fits(path, false)).collect();
        // What a function's key means, it means in targets too.
        let own = found.iter().any(|(path, _)| !path.starts_with("targets."));
        found.retain(|(path, _)| !own || !path.starts_with("targets."));
    }
    if let (true, Some(explained)) = (found.is_empty(), in_target(asked, &all)) {
        return Ok(vec![explained]);
    }
    if found.is_empty() {
        let last = asked.rsplit('.').next().unwrap_or(asked);
        let near = nearest(last, all.iter().map(|(_, key)| key.name));
        return Err(near.map(str::to_owned));
    }
    Ok(found.into_iter().map(|(path, key)| explained(path, key)).collect())
}

/// A key that a target has from elsewhere: from the top of the file, or from functions, for all of which it may set it.
fn in_target(asked: &str, all: &[(String, &'static Key)]) -> Option<Explained> {
    let (_name, rest) = asked.strip_prefix("targets.")?.split_once('.')?;
    let first = rest.split('.').next().unwrap_or(rest);
    let above = match first {
        first if TARGET.has(first) => "",
        first if super::for_all_functions(first) => "functions.NAME.",
        _ => return None,
    };
    let wanted = format!("{above}{rest}");
    let is_it = |path: &str| {
        let (path, wanted): (Vec<&str>, Vec<&str>) = (path.split('.').collect(), wanted.split('.').collect());
        let alike = |(have, want): (&&str, &&str)| have == want || *have == "NAME";
        path.len() == wanted.len() && path.iter().zip(&wanted).all(alike)
    };
    let (path, key) = all.iter().find(|(path, _)| is_it(path))?;
    let below = path.strip_prefix(above).unwrap_or(path);
    Some(explained(&format!("targets.NAME.{below}"), key))
}

fn explained(path: &str, key: &'static Key) -> Explained {
    let keys = match key.shape {
        Shape::Level(below) | Shape::Named(below) | Shape::List(below) => {
            below.keys.iter().map(|key| (key.name, key.about)).collect()
        }
        _ => Vec::new(),
    };
    let for_all =
        path.starts_with("functions.NAME.") && path.matches('.').count() == 2 && super::for_all_functions(key.name);
    Explained {
        path: path.to_owned(),
        value: value(key.shape),
        about: key.about,
        example: example(path, key),
        for_all,
        keys,
    }
}

/// The key with its value, below all that it stands below.
fn example(path: &str, key: &Key) -> String {
    let mut text = String::new();
    let parts: Vec<&str> = path.split('.').collect();
    let in_list = path.starts_with("configuration.templates.");
    for (depth, part) in parts.iter().enumerate() {
        let name = match (*part, parts.first()) {
            ("NAME", Some(&"targets")) if depth == 1 => "prod",
            ("NAME", _) => "tax",
            (part, _) => part,
        };
        let last = depth + 1 == parts.len();
        let dash = if in_list && last { "- " } else { "" };
        text += &format!(
            "{}{dash}{name}:{}\n",
            "  ".repeat(depth),
            if last { format!(" {}", key.example) } else { String::new() }
        );
    }
    text
}

/// What a key may be set to, in words.
fn value(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".into(),
        Shape::Word(words) => format!("one of {}", words.join(", ")),
        Shape::Flag => "true or false".into(),
        Shape::Count => "a whole number, 0 or more".into(),
        Shape::Duration => "a duration as 30s or 1h2m, or a number of seconds".into(),
        Shape::Texts => "a list of texts".into(),
        Shape::Words => "a text with commas, or a list of texts".into(),
        Shape::Map => "a mapping of names to texts".into(),
        Shape::Free => "a mapping that the platform reads as it is".into(),
        Shape::Level(_) => "a mapping".into(),
        Shape::Named(_) => "a mapping of names to mappings".into(),
        Shape::List(_) => "a list of mappings".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_of(asked: &str) -> Vec<String> {
        explain(asked).unwrap().into_iter().map(|e| e.path).collect()
    }

    #[test]
    fn a_key_is_found_by_its_path_its_end_and_through_a_functions_name() {
        assert_eq!(paths_of("functions.NAME.timeout"), ["functions.NAME.timeout"]);
        assert_eq!(paths_of("functions.tax.scale.min"), ["functions.NAME.scale.min"]);
        assert_eq!(paths_of("timeout"), ["functions.NAME.timeout"]);
        assert_eq!(paths_of("scale.min"), ["functions.NAME.scale.min"]);
        assert_eq!(paths_of("memory"), ["functions.NAME.limits.memory", "functions.NAME.requests.memory"]);
        assert_eq!(paths_of("functions"), ["functions"]);
        assert_eq!(paths_of("prefix"), ["targets.NAME.prefix"]);
        for path in ["targets.NAME.timeout", "targets.NAME.limits.memory", "targets.NAME.functions.NAME.scale.min"] {
            let named = path.replacen("NAME", "prod", 1);
            assert_eq!((paths_of(path), paths_of(&named)), (vec![path.to_owned()], vec![path.to_owned()]));
        }
        assert_eq!(paths_of("targets.prod.provider.gateway"), ["targets.NAME.provider.gateway"]);
        // What one function is, no target says of all.
        assert!(explain("targets.prod.handler").is_err());
        assert_eq!(explain("timout"), Err(Some("timeout".into())));
        assert_eq!(explain("qqqqqq"), Err(None));
    }

    #[test]
    fn every_example_is_read_by_the_reader() {
        for path in paths() {
            for explained in explain(&path).unwrap() {
                // What no stack goes without, and what goes with the key.
                let with = match path.as_str() {
                    "provider" | "provider.name" => "",
                    "functions.NAME.handler" => "    lang: python3\nprovider: {name: local}\n",
                    "functions.NAME.lang" => "    handler: ./tax\nprovider: {name: local}\n",
                    "functions.NAME.image" => "provider: {name: local}\n",
                    "configuration.templates.source" => "      name: a\nprovider: {name: local}\n",
                    path if path.starts_with("provider.") => "  name: local\n",
                    path if path.starts_with("functions.NAME.") => "    image: a\nprovider: {name: local}\n",
                    path if path.starts_with("targets.") => "functions:\n  tax: {image: a}\nprovider: {name: local}\n",
                    _ => "provider: {name: local}\n",
                };
                let text = format!("{}{with}", explained.example);
                let read = |_: &std::path::Path| Ok("environment: {A: b}".to_owned());
                let options = crate::stack::Options {
                    lookup: &|_| None,
                    substitute: true,
                    target: None,
                    strict: true,
                    filter: None,
                    regex: None,
                    read: &read,
                };
                let origin = crate::stack::Origin { name: "s.yml".into(), root: "/s".into() };
                let parsed = crate::stack::parse(text.as_bytes(), origin, &options);
                assert!(parsed.is_ok(), "{path}: {text}{:?}", parsed.err().map(|f| f.problems));
            }
        }
    }
}
