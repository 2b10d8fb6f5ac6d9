//! `faas print-token`: what a JWT says. Nothing of it is verified.
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::chart::export::sorted;
use super::secret::file;
use crate::context::Context;
use crate::error::{Fault, Result};

/// Print what a token (JWT) says
#[derive(Args)]
#[command(hide = true)]
pub struct PrintToken {
    /// The file of the token
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl PrintToken {
    /// Prints it.
    ///
    /// # Errors
    /// When the file can't be read, or holds no token.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let token = file::text(&context.absolute(&self.file), &self.file)?;
        let parts: Vec<&str> = token.trim().split('.').collect();
        let [header, payload, _] = parts.as_slice() else {
            return Err(Fault::usage(format!("token should have 3 parts, got {}", parts.len())));
        };
        let said = json!({ "header": decoded(header, "header")?, "payload": decoded(payload, "payload")? });
        let text = serde_json::to_string_pretty(&said).unwrap_or_default();
        context.out.raw(format!("{text}\n").as_bytes())
    }
}

fn decoded(part: &str, what: &str) -> Result<Value> {
    let wrong = |cause: String| Fault::usage(format!("the token's {what} can't be read")).cause(cause);
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|error| wrong(error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(sorted(value))
}
