//! A password from a flag, from stdin or from the person at the terminal.
use std::io::{IsTerminal, Read};

use secrecy::{ExposeSecret, SecretString};

use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::output::Dialect;

/// Warns of a secret that was given as an argument; faas-cli says nothing of it.
pub fn in_arguments(context: &Context, flag: &str, instead: &str) {
    if context.out.dialect == Dialect::Faas {
        context.out.warn(format!("{flag} can be seen by other users of this machine; {instead} can't"));
    }
}

/// The password: `given` by a flag, else from stdin when `from_stdin` says so, else asked for with `prompt`. Where nobody
/// can be asked, `example` says how to hand it over.
///
/// # Errors
/// None is given, it is empty, or it can't be read.
pub fn read(
    context: &Context,
    given: Option<&str>,
    from_stdin: bool,
    prompt: &str,
    example: &str,
) -> Result<SecretString> {
    let password = if let Some(password) = given {
        context.out.warn("--password can be seen by other users of this machine; --password-stdin can't");
        SecretString::from(password)
    } else if from_stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).or_fault(|| "can't read the password from stdin".into())?;
        SecretString::from(text.trim())
    } else if std::io::stdin().is_terminal() {
        super::hidden::ask(prompt)?
    } else {
        return Err(Fault::usage("no password is given").hint(example));
    };
    if password.expose_secret().is_empty() {
        return Err(Fault::usage("the password is empty"));
    }
    Ok(password)
}
