//! Where a secret's value comes from: a flag, a file, stdin or a prompt.
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{SecretSlice, SecretString};

use crate::cli::compat;
use crate::cli::password::in_arguments;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};

/// The largest secret: Kubernetes takes no more.
const LARGEST: u64 = 1 << 20;

/// Where a secret's value comes from; stdin when no flag says.
#[derive(Args)]
pub struct Value {
    /// The value; other users of this machine can see it while the command runs
    #[arg(long, value_name = "VALUE", conflicts_with = "from_file")]
    from_literal: Option<SecretString>,
    /// The file that holds the value, binary or text
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    trim: Trim,
}

/// Whether values are trimmed.
#[derive(Args, Clone, Copy)]
pub struct Trim {
    /// Remove white space around values that are text
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL")]
    trim: bool,
}

impl Trim {
    /// The bytes, without white space around them where that is wanted and they are text.
    pub fn of(self, bytes: Vec<u8>) -> Vec<u8> {
        if self.trim { trimmed(bytes) } else { bytes }
    }
}

impl Value {
    /// The bytes.
    ///
    /// # Errors
    /// When they can't be read, or there are none.
    pub fn read(&self, context: &Context) -> Result<SecretSlice<u8>> {
        let bytes = if let Some(literal) = &self.from_literal {
            in_arguments(context, "--from-literal", "--from-file and stdin");
            secrecy::ExposeSecret::expose_secret(literal).as_bytes().to_vec()
        } else if let Some(path) = &self.from_file {
            file(&context.absolute(path), path)?
        } else if std::io::stdin().is_terminal() {
            let typed = crate::cli::hidden::ask("Value of the secret")?;
            secrecy::ExposeSecret::expose_secret(&typed).as_bytes().to_vec()
        } else {
            limited(std::io::stdin().lock(), "stdin")?
        };
        let whole = self.from_file.is_some() && compat::ways::keeps_bytes_of_files(context.out.dialect);
        let bytes = if whole { bytes } else { self.trim.of(bytes) };
        if bytes.is_empty() {
            return Err(
                Fault::usage("the secret's value is empty").hint("give one by --from-literal, --from-file or stdin")
            );
        }
        Ok(SecretSlice::from(bytes))
    }
}

/// A file's bytes.
///
/// # Errors
/// When it can't be read, or is larger than a secret may be.
pub fn file(path: &Path, shown: &Path) -> Result<Vec<u8>> {
    let name = shown.display().to_string();
    let file = std::fs::File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no file {name}")),
        _ => Fault::failed(format!("can't read {name}")).cause(e),
    })?;
    limited(file, &name)
}

/// Text without white space around it; anything else as it is.
fn trimmed(bytes: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.trim().len() < text.len() => text.trim().as_bytes().to_vec(),
        _ => bytes,
    }
}

fn limited(from: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes).or_fault(|| format!("can't read {name}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::usage(format!("{name} is larger than {} KiB, too large for a secret", LARGEST >> 10)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_bytes_are_not() {
        assert_eq!(trimmed(b" pw\r\n".to_vec()), b"pw");
        assert_eq!(trimmed(vec![0xff, b'\n']), [0xff, b'\n']);
    }
}
