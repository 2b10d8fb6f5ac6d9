//! What a person types at the terminal and nobody shall see; Ctrl-C leaves the terminal as it was.
use secrecy::SecretString;

use super::ask;
use crate::error::Result;

/// Asks for it with `prompt`.
///
/// # Errors
/// When nobody can be asked; [`crate::error::Kind::Interrupted`] on Ctrl-C.
pub fn ask(prompt: impl Into<String>) -> Result<SecretString> {
    let prompt = prompt.into();
    let asked = ask::at_terminal(move || dialoguer::Password::new().with_prompt(prompt).interact());
    asked.map(SecretString::from)
}
