//! Which variables hold what is nobody's business, by their names.

/// Words at the end of a part of a name, as of `DB_PASSWORD` and `githubtoken`.
const ENDS: [&str; 15] = [
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "ACCESSKEY",
    "PRIVATEKEY",
    "PGPASS",
    "DSN",
];
/// Words that are a part of a name by themselves.
const WHOLE: [&str; 9] = ["PASS", "PWD", "PAT", "JWT", "CREDS", "PSK", "PRIVATE", "AUTH", "AUTHORIZATION"];
/// Parts that only say something together.
const TOGETHER: [&str; 2] = ["API_KEY", "ACCESS_KEY"];

/// Whether a variable of this name is likely to hold a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let mut parts = name.split('_');
    parts.any(|part| WHOLE.contains(&part) || ENDS.iter().any(|word| part.ends_with(word)))
        || name.split('_').next_back() == Some("KEY")
        || TOGETHER.iter().any(|words| name.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "NPM_TOKEN",
            "password",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "API-KEY",
            "GITHUB_TOKEN_RO",
            "DB_PASS",
            "DB_PWD",
            "PGPASS",
            "GITHUB_PAT",
            "JWT",
            "STRIPE_KEY",
            "dbpassword",
            "BASIC_AUTH",
            "SENTRY_DSN",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["VERSION", "TOKENIZER", "BASE", "KEYBOARD", "ADDITIONAL_PACKAGE", "PATH", "PWDS", "COMPASS", "AUTHOR"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
