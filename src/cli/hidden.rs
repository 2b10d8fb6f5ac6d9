//! What a person types at the terminal and nobody shall see; Ctrl-C leaves the terminal as it was.
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::error::{OrFault, Result};

/// Asks for it with `prompt`.
///
/// # Errors
/// When nobody can be asked; [`crate::error::Kind::Interrupted`] on Ctrl-C.
pub fn ask(prompt: impl Into<String>) -> Result<SecretString> {
    // What the prompt reads from: stdin may be a file.
    let terminal = std::fs::File::open("/dev/tty").ok();
    let before = terminal.as_ref().and_then(|terminal| tcgetattr(terminal).ok());
    let prompt = prompt.into();
    let asked = crate::runtime::block_on(async {
        let ask = move || dialoguer::Password::new().with_prompt(prompt).interact();
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.or_fault(|| "can't ask".into())?.or_fault(|| "can't ask at this terminal".into())
    });
    if let (Err(_), Some(terminal), Some(before)) = (&asked, &terminal, &before) {
        let _ = tcsetattr(terminal, OptionalActions::Now, before);
        eprintln!();
    }
    asked.map(SecretString::from)
}
