//! The keys that a stack file may have, and the nearest one to a key that it may not.

pub mod explain;
pub mod json;
mod keys;

pub use keys::{
    CONFIGURATION, ENVIRONMENT_FILE, FUNCTION, PROVIDER, PROVIDER_KNATIVE, PROVIDER_LAMBDA, RESOURCES, SCALE, STACK,
    TARGET, TEMPLATE,
};

/// The keys of one sort of mapping.
pub struct Level {
    /// What the mapping is, for messages.
    pub name: &'static str,
    /// Where it stands, for messages.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key: all that there is to know about it, for checks, messages, `faas explain` and the JSON schema.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it may be set to.
    pub shape: Shape,
    /// What it means.
    pub about: &'static str,
    /// A value, as it is written in YAML.
    pub example: &'static str,
}

/// What a key may be set to.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Text; numbers and booleans are taken as written.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A whole number, 0 or more.
    Count,
    /// A duration, or seconds.
    Duration,
    /// A list of texts.
    Texts,
    /// A text with commas, or a list of texts.
    Words,
    /// A mapping of texts.
    Map,
    /// A mapping that a platform reads as it is.
    Free,
    /// A mapping of these keys.
    Level(&'static Level),
    /// A mapping of names to mappings of these keys.
    Named(&'static Level),
    /// A list of mappings of these keys.
    List(&'static Level),
}

impl Level {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether it has a key of that name.
    pub fn has(&self, name: &str) -> bool {
        self.key(name).is_some()
    }

    /// The names of its keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// Keys of a function that a target may set for all functions at once: those that don't say what one function is.
pub fn for_all_functions(key: &str) -> bool {
    FUNCTION.has(key) && !matches!(key, "lang" | "handler" | "image" | "fprocess")
}

/// Keys that nobody reads: `x-…` and `.…`, where people keep what they share by anchors.
pub fn is_private(key: &str) -> bool {
    key.starts_with("x-") || key.starts_with('.')
}

/// Other people's words for our keys.
const WORDS: [(&str, &str); 12] = [
    ("env", "environment"),
    ("environments", "environment"),
    ("env_vars", "environment"),
    ("env_file", "environment_file"),
    ("language", "lang"),
    ("command", "fprocess"),
    ("process", "fprocess"),
    ("path", "handler"),
    ("cron", "schedule"),
    ("replicas", "scale"),
    ("resources", "limits"),
    ("readonly", "readonly_root_filesystem"),
];

/// What to write in place of `key`, or where it belongs.
pub fn hint(level: &Level, key: &str) -> Option<String> {
    // A target has most keys of functions besides its own.
    let is_target = level.path == TARGET.path;
    let more = FUNCTION.names().filter(|name| is_target && for_all_functions(name));
    if let Some(near) = nearest(key, level.names().chain(more)) {
        return Some(format!("did you mean `{near}`?"));
    }
    let word = WORDS.iter().find(|(word, _)| *word == key).map_or(key, |(_, ours)| ours);
    if word != key && (level.has(word) || is_target && for_all_functions(word)) {
        return Some(format!("did you mean `{word}`?"));
    }
    let others =
        [&STACK, &FUNCTION, &PROVIDER, &CONFIGURATION, &SCALE, &RESOURCES, &PROVIDER_LAMBDA, &PROVIDER_KNATIVE];
    let home = others.iter().find(|other| other.path != level.path && other.has(word))?;
    Some(if home.path.is_empty() {
        format!("`{word}` belongs to the top of the file")
    } else {
        format!("it belongs elsewhere: `{}{word}`", home.path)
    })
}

/// The nearest of `known` to `word`, when one is near enough to be meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let word = plain(word);
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (candidate.len().min(word.len()) / 3).max(usize::from(word.len() > 1))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_other_words_lead_to_the_key() {
        for (key, expected) in [
            ("enviroment", Some("did you mean `environment`?")),
            ("handeler", Some("did you mean `handler`?")),
            ("readOnlyRootFilesystem", Some("did you mean `readonly_root_filesystem`?")),
            ("env", Some("did you mean `environment`?")),
            ("build-args", Some("did you mean `build_args`?")),
            ("label", Some("did you mean `labels`?")),
            ("gateway", Some("it belongs elsewhere: `provider.gateway`")),
            ("memory", Some("it belongs elsewhere: `functions.NAME.limits.memory`")),
            ("targets", Some("`targets` belongs to the top of the file")),
            ("zzz", None),
        ] {
            assert_eq!(hint(&FUNCTION, key).as_deref(), expected, "{key}");
        }
        assert_eq!(hint(&STACK, "handler").as_deref(), Some("it belongs elsewhere: `functions.NAME.handler`"));
        assert_eq!(hint(&STACK, "function").as_deref(), Some("did you mean `functions`?"));
        for (key, near) in
            [("enviroment", "environment"), ("timout", "timeout"), ("providr", "provider"), ("env", "environment")]
        {
            assert_eq!(hint(&TARGET, key), Some(format!("did you mean `{near}`?")), "{key}");
        }
    }

    #[test]
    fn the_documentation_names_every_key() {
        let text = include_str!("../../docs/stack-file.md");
        for key in [&STACK, &PROVIDER, &CONFIGURATION, &SCALE, &RESOURCES, &TARGET, &FUNCTION]
            .into_iter()
            .chain([&PROVIDER_KNATIVE, &PROVIDER_LAMBDA, &TEMPLATE])
            .flat_map(Level::names)
        {
            assert!(text.contains(key), "docs/stack-file.md lacks `{key}`");
        }
    }
}
