//! `faas secret seal`: secrets into a file that only a private key opens.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::file;
use crate::cli::password::in_arguments;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::seal::{self, Clear};

/// Seal secrets for the owner of a key, in a file that may be kept in git
#[derive(Args)]
#[command(after_help = "Example:\n  faas secret seal key.pub --from-file token=.secrets/token")]
pub struct Seal {
    /// The file of the public key
    #[arg(value_name = "PUBLIC-KEY")]
    key: PathBuf,
    /// The file to write
    #[arg(short = 'o', id = "file", default_value = seal::FILE, value_name = "FILE")]
    file: PathBuf,
    /// A name and its value; other users of this machine can see it while the command runs
    #[arg(long, value_name = "NAME=VALUE")]
    from_literal: Vec<SecretString>,
    /// A name and the file of its value, text or bytes
    #[arg(long, value_name = "NAME=FILE")]
    from_file: Vec<String>,
}

impl Seal {
    /// Seals them.
    ///
    /// # Errors
    /// When there are none, the key is none, or a file can't be read or written.
    pub fn run(self, context: &Context) -> Result<()> {
        if self.from_literal.is_empty() && self.from_file.is_empty() {
            return Err(Fault::usage("provide at least one secret via --from-literal or --from-file"));
        }
        if !self.from_literal.is_empty() {
            in_arguments(context, "--from-literal", "--from-file");
        }
        let public = file::text(&context.absolute(&self.key), &self.key)?;
        let mut values: BTreeMap<String, Clear> = BTreeMap::new();
        for literal in &self.from_literal {
            let parts = literal.expose_secret().split_once('=').filter(|(name, _)| !name.is_empty());
            // What was given is not said: it may be the value alone.
            let wrong = || Fault::usage("--from-literal wants NAME=VALUE");
            let (name, value) = parts.ok_or_else(wrong)?;
            values.insert(name.to_owned(), Zeroizing::new(value.as_bytes().to_vec()));
        }
        for given in &self.from_file {
            let parts = given.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty());
            let (name, path) = parts.ok_or_else(|| Fault::usage(format!("`--from-file {given}` is no NAME=FILE")))?;
            values.insert(name.to_owned(), file::read(&context.absolute(Path::new(path)), Path::new(path))?);
        }
        let sealed = seal::seal(&public, &values)?;
        file::write(&context.absolute(&self.file), &self.file, sealed.as_bytes(), file::PRIVATE, true)?;
        let id = seal::key_id(&public)?;
        let names: Vec<&String> = values.keys().collect();
        let done = serde_json::json!({ "file": self.file, "secrets": names, "keyId": id });
        context
            .out
            .result(&done, || format!("Sealed {} secret(s) to {} (key ID: {id})\n", values.len(), self.file.display()))
    }
}
