//! `faas secret unseal`: what is in a file of sealed secrets.
use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use secrecy::zeroize::Zeroizing;

use super::file;
use crate::context::Context;
use crate::error::Result;
use crate::seal;

/// Open sealed secrets with the private key, and print them
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas secret unseal key --key token\n  faas secret unseal key --in build/com.openfaas.secrets -j"
)]
pub struct Unseal {
    /// The file of the private key
    #[arg(value_name = "PRIVATE-KEY")]
    private: PathBuf,
    /// The file of sealed secrets
    #[arg(long = "in", default_value = seal::FILE, value_name = "FILE")]
    file: PathBuf,
    /// Only this one, as it is, without its name
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl Unseal {
    /// Prints them.
    ///
    /// # Errors
    /// When a file can't be read, or the key does not fit.
    pub fn run(self, context: &Context) -> Result<()> {
        let private = file::text(&context.absolute(&self.private), &self.private)?;
        let envelope = file::text(&context.absolute(&self.file), &self.file)?;
        let values = seal::unseal(&private, &envelope, self.key.as_deref())?;
        let out = context.out.json_if(self.json);
        if let Some(value) = values.values().next().filter(|_| self.key.is_some() && out.is_table()) {
            return out.raw(value);
        }
        let text = |bytes: &[u8]| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
        let shown: BTreeMap<&String, Zeroizing<String>> = values.iter().map(|(name, v)| (name, text(v))).collect();
        let plain: BTreeMap<&String, &str> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if out.is_table() {
            // To the byte, whatever is in them.
            let all: String = plain.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            return out.raw(Zeroizing::new(all).as_bytes());
        }
        out.result(&plain, String::new)
    }
}
