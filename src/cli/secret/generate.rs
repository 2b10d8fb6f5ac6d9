//! `faas secret generate`: random bytes for keys that two sides share.
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use secrecy::zeroize::Zeroizing;

use super::file;
use crate::context::Context;
use crate::error::{OrFault, Result};
use crate::output::Dialect;

/// Make a random secret: bytes in base64
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas secret generate -o payload.txt\n  faas secret generate --length 64 | faas secret create api-key"
)]
pub struct Generate {
    /// How many random bytes
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    length: u32,
    /// The file to write it to, which only you can read, instead of stdout
    #[arg(short = 'o', id = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "file")]
    overwrite: bool,
}

impl Generate {
    /// Makes it.
    ///
    /// # Errors
    /// When there is no randomness, or the file can't be written.
    pub fn run(self, context: &Context) -> Result<()> {
        use crypto_box::aead::rand_core::RngCore;
        let mut bytes = Zeroizing::new(vec![0; self.length as usize]);
        crypto_box::aead::OsRng.try_fill_bytes(&mut bytes).or_fault(|| "the system gives no random bytes".into())?;
        let secret = Zeroizing::new(STANDARD.encode(&*bytes));
        let Some(path) = &self.file else {
            context.out.raw(secret.as_bytes())?;
            // As in faas-cli: what a program reads has no line end that it did not ask for.
            return if std::io::IsTerminal::is_terminal(&std::io::stdout()) { context.out.raw(b"\n") } else { Ok(()) };
        };
        let replace = self.overwrite || context.out.dialect == Dialect::FaasCli;
        file::write(&context.absolute(path), path, secret.as_bytes(), file::PRIVATE, replace)?;
        let made = serde_json::json!({ "file": path, "bytes": self.length });
        context.out.result(&made, || format!("Wrote {}-byte secret to {}\n", self.length, path.display()))
    }
}
