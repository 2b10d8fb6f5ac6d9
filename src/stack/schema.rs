//! The keys that a stack file may have, and the nearest one to a key that it may not.

/// The keys of one sort of mapping.
pub struct Level {
    /// What the mapping is, for messages.
    pub name: &'static str,
    /// Where it stands, for messages.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
}

/// The file itself.
pub const STACK: Level = Level {
    name: "the stack file",
    path: "",
    keys: &["version", "name", "provider", "configuration", "functions", "targets"],
};
/// `provider:`
pub const PROVIDER: Level =
    Level { name: "`provider`", path: "provider.", keys: &["name", "gateway", "knative", "lambda"] };
/// `provider.knative:`
pub const PROVIDER_KNATIVE: Level = Level {
    name: "`provider.knative`",
    path: "provider.knative.",
    keys: &["context", "namespace", "ingress", "kubeconfig", "force"],
};
/// `provider.lambda:`
pub const PROVIDER_LAMBDA: Level = Level {
    name: "`provider.lambda`",
    path: "provider.lambda.",
    keys: &["region", "profile", "role", "architecture", "endpoint", "secrets", "bucket", "registry"],
};
/// `configuration:`
pub const CONFIGURATION: Level =
    Level { name: "`configuration`", path: "configuration.", keys: &["templates", "copy"] };
/// An item of `configuration.templates:`
pub const TEMPLATE: Level = Level { name: "a template", path: "configuration.templates.", keys: &["name", "source"] };
/// A function.
pub const FUNCTION: Level = Level {
    name: "a function",
    path: "functions.NAME.",
    keys: &[
        "lang",
        "handler",
        "image",
        "fprocess",
        "environment",
        "environment_file",
        "secrets",
        "build_secrets",
        "build_args",
        "build_options",
        "skip_build",
        "constraints",
        "labels",
        "annotations",
        "limits",
        "requests",
        "readonly_root_filesystem",
        "namespace",
        "platforms",
        "timeout",
        "concurrency",
        "scale",
        "schedule",
        "topic",
        "domain",
        "url",
        "knative",
        "lambda",
    ],
};
/// `limits:` and `requests:` of a function.
pub const RESOURCES: Level =
    Level { name: "a quantity of resources", path: "functions.NAME.limits.", keys: &["memory", "cpu"] };
/// `scale:` of a function.
pub const SCALE: Level =
    Level { name: "`scale`", path: "functions.NAME.scale.", keys: &["min", "max", "target", "idle"] };
/// An overlay under `targets:`, without the keys of functions that it may also have.
pub const TARGET: Level = Level {
    name: "a target",
    path: "targets.NAME.",
    keys: &["name", "provider", "configuration", "functions", "prefix"],
};
/// A file named in `environment_file:`
pub const ENVIRONMENT_FILE: Level = Level { name: "an environment file", path: "", keys: &["environment"] };

/// Keys of a function that a target may set for all functions at once: those that don't say what one function is.
pub fn for_all_functions(key: &str) -> bool {
    FUNCTION.keys.contains(&key) && !matches!(key, "lang" | "handler" | "image" | "fprocess")
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
    if let Some(near) = nearest(key, level.keys.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let word = WORDS.iter().find(|(word, _)| *word == key).map_or(key, |(_, ours)| ours);
    if word != key && level.keys.contains(&word) {
        return Some(format!("did you mean `{word}`?"));
    }
    let others =
        [&STACK, &FUNCTION, &PROVIDER, &CONFIGURATION, &SCALE, &RESOURCES, &PROVIDER_LAMBDA, &PROVIDER_KNATIVE];
    let home = others.iter().find(|other| other.path != level.path && other.keys.contains(&word))?;
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
    }

    #[test]
    fn the_documentation_names_every_key() {
        let text = include_str!("../../docs/stack-file.md");
        for key in [&STACK, &PROVIDER, &CONFIGURATION, &SCALE, &RESOURCES, &TARGET, &FUNCTION]
            .into_iter()
            .chain([&PROVIDER_KNATIVE, &PROVIDER_LAMBDA, &TEMPLATE])
            .flat_map(|level| level.keys)
        {
            assert!(text.contains(key), "docs/stack-file.md lacks `{key}`");
        }
    }
}
