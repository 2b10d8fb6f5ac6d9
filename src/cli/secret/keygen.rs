//! `faas secret keygen`: a key pair for sealed secrets.
use std::path::PathBuf;

use clap::Args;

use super::file;
use crate::context::Context;
use crate::error::Result;
use crate::output::Dialect;
use crate::seal;

/// Make a key pair, to seal secrets with and to open them
#[derive(Args)]
#[command(after_help = "Example:\n  faas secret keygen -o keys/builder")]
pub struct Keygen {
    /// The file of the private key; the public one's has .pub after it
    #[arg(short = 'o', id = "file", default_value = "key", value_name = "FILE")]
    file: PathBuf,
    /// Replace keys that are there
    #[arg(long)]
    overwrite: bool,
}

impl Keygen {
    /// Makes it.
    ///
    /// # Errors
    /// When the files can't be written, or are there.
    pub fn run(self, context: &Context) -> Result<()> {
        let pair = seal::generate();
        let private = &self.file;
        let mut public = private.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        let replace = self.overwrite || context.out.dialect == Dialect::FaasCli;
        if let Some(there) = [private, &public].into_iter().find(|path| !replace && context.absolute(path).exists()) {
            return Err(file::taken(there));
        }
        let aside = context.absolute(private);
        if !self.overwrite && replace && aside.exists() {
            let kept = file::put_aside(&aside, private)?;
            context.out.warn(format_args!("the key that was in {} is in {} now", private.display(), kept.display()));
        }
        file::write(&context.absolute(private), private, pair.private.as_bytes(), file::PRIVATE, replace)?;
        file::write(&context.absolute(&public), &public, pair.public.as_bytes(), file::PUBLIC, replace)?;
        let id = seal::key_id(&pair.public)?;
        let made = serde_json::json!({ "privateKey": private, "publicKey": public, "keyId": id });
        context.out.result(&made, || {
            let (private, public) = (private.display(), public.display());
            format!("Wrote private key: {private}\nWrote public key:  {public}\nKey ID:            {id}\n")
        })
    }
}
