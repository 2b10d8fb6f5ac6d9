//! Values of environment variables that look like secrets are told only as changed.
use serde_json::Value;

use crate::backend::Difference;
use crate::sensitive::is_secret;

/// What stands in the place of a value that isn't shown.
pub const HIDDEN: &str = "(secret)";

/// Hides what should not be read over somebody's shoulder, or in a CI log.
pub fn secrets(changes: &mut [Difference]) {
    for change in changes {
        let Difference { path, before, after } = change;
        let Some(name) = variable(path) else { continue };
        let hidden = is_secret(name) || [&before, &after].iter().any(|v| v.as_ref().is_some_and(has_login));
        if hidden {
            for value in [before, after].into_iter().flatten() {
                *value = Value::String(HIDDEN.into());
            }
        }
    }
}

/// The variable's name in the path of an environment's field, in any platform's words: `environment.RATE`,
/// `Environment.Variables.RATE`, `spec.template.spec.containers[0].env[RATE].value`.
fn variable(path: &str) -> Option<&str> {
    if let Some((_, rest)) = path.split_once(".env[") {
        return rest.split(']').next();
    }
    path.strip_prefix("environment.").or_else(|| path.strip_prefix("Environment.Variables."))
}

/// Whether a value is an address with a password in it.
#[must_use]
pub fn has_login(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    url::Url::parse(text).is_ok_and(|url| url.password().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(path: &str, value: &str) -> bool {
        let mut changes = [Difference { path: path.into(), before: None, after: Some(value.into()) }];
        secrets(&mut changes);
        changes[0].after == Some(HIDDEN.into())
    }

    #[test]
    fn secrets_are_hidden_and_plain_values_are_not() {
        for (path, value, expected) in [
            ("environment.DB_PASSWORD", "x", true),
            ("environment.RATE", "7", false),
            ("environment.DATABASE", "postgres://me:pw@host/db", true),
            ("environment.PAGE", "https://example.com/a", false),
            ("Environment.Variables.API_TOKEN", "x", true),
            ("spec.template.spec.containers[user-container].env[STRIPE_KEY].value", "x", true),
            ("spec.template.spec.containers[user-container].env[RATE].value", "x", false),
            ("secrets", "key", false),
            ("labels.token", "x", false),
        ] {
            assert_eq!(hidden(path, value), expected, "{path}");
        }
    }
}
