//! Questions at the terminal that Ctrl-C, SIGTERM and SIGHUP end as any other work: the terminal is left as it was, its
//! cursor too.
use std::sync::Mutex;

use dialoguer::theme::ColorfulTheme;
use dialoguer::{FuzzySelect, Input, Select};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::error::{Fault, OrFault, Result};

/// Which of `items` is chosen; `search` lets the person type a part of it.
///
/// # Errors
/// When nobody can be asked; [`crate::error::Kind::Interrupted`] on Ctrl-C and Esc.
pub fn choose(prompt: &'static str, items: Vec<String>, search: bool) -> Result<usize> {
    let chosen = at_terminal(move || {
        let theme = ColorfulTheme::default();
        if search {
            FuzzySelect::with_theme(&theme).with_prompt(prompt).items(&items).default(0).interact_opt()
        } else {
            Select::with_theme(&theme).with_prompt(prompt).items(&items).default(0).interact_opt()
        }
    })?;
    chosen.ok_or_else(Fault::interrupted)
}

/// What is typed in, once it is good; else `good` says why not, and it is asked again.
///
/// # Errors
/// When nobody can be asked; [`crate::error::Kind::Interrupted`] on Ctrl-C.
pub fn typed(
    prompt: &'static str,
    good: impl Fn(&str) -> std::result::Result<(), String> + Send + 'static,
) -> Result<String> {
    at_terminal(move || {
        let theme = ColorfulTheme::default();
        let input = Input::<String>::with_theme(&theme).with_prompt(prompt);
        input.validate_with(|text: &String| good(text)).interact_text()
    })
}

/// Asks by `question`, which waits for keys.
///
/// # Errors
/// Those of the question; [`crate::error::Kind::Interrupted`] on Ctrl-C.
pub fn at_terminal<T: Send + 'static>(question: impl FnOnce() -> dialoguer::Result<T> + Send + 'static) -> Result<T> {
    // What questions read from: stdin may be a file.
    let terminal = std::fs::File::open("/dev/tty").ok();
    let before = terminal.as_ref().and_then(|terminal| tcgetattr(terminal).ok());
    let asked = crate::runtime::block_on(async {
        let asked = tokio::task::spawn_blocking(question).await;
        asked.or_fault(|| "can't ask".into())?.map_err(failed)
    });
    if let (Err(_), Some(terminal), Some(before)) = (&asked, &terminal, &before) {
        let _ = tcsetattr(terminal, OptionalActions::Now, before);
        let _ = dialoguer::console::Term::stderr().show_cursor();
        eprintln!();
    }
    asked
}

/// Whether it may be done, which is no unless somebody says yes.
///
/// # Errors
/// When nobody can be asked; [`crate::error::Kind::Interrupted`] on Ctrl-C and Esc.
pub fn may(question: String) -> Result<bool> {
    // Several targets ask one after the other.
    static ASKS: Mutex<()> = Mutex::new(());
    let _one = ASKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let asked = dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt();
    asked.map_err(failed)?.ok_or_else(Fault::interrupted)
}

/// Ctrl-C, where it is a key that was read and no signal yet; else that it can't be asked.
pub fn failed(error: dialoguer::Error) -> Fault {
    let dialoguer::Error::IO(error) = error;
    match error.kind() {
        std::io::ErrorKind::Interrupted => {
            let _ = dialoguer::console::Term::stderr().show_cursor();
            Fault::interrupted()
        }
        _ => Fault::failed("can't ask at this terminal").cause(error),
    }
}
