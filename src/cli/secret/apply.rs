//! `faas secret apply`: every file of `.secrets/` as a secret.
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretSlice;
use serde::Serialize;

use super::{is_subdomain, named, secrets, value};
use crate::backend::{self, Existing, Written};
use crate::cli::session::{GatewayFlags, Session};
use crate::cli::{Global, compat};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::plan::{self, Outcome};

/// Create or update a secret for every file in .secrets/
#[derive(Args)]
#[command(after_help = "Example:\n  faas secret apply")]
pub struct Apply {
    /// The folder
    #[arg(long, default_value = ".secrets", value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    trim: value::Trim,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Serialize)]
struct Row {
    name: String,
    result: Written,
    #[serde(skip)]
    status: Option<u16>,
}

impl Apply {
    /// Writes them; all are tried.
    ///
    /// # Errors
    /// What failed, secret by secret; the code is the worst.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::beside(context, global, &self.gateway)?;
        let files = self.files(context)?;
        let secrets = secrets(&session)?;
        let whole = compat::ways::keeps_bytes_of_files(context.out.dialect);
        let mut rows = Vec::new();
        let outcomes = crate::runtime::block_on(async {
            let mut outcomes = Vec::new();
            for file in &files {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let one = async {
                    let bytes = value::file(file, file)?;
                    let bytes = if whole { bytes } else { self.trim.of(bytes) };
                    let secret = backend::Secret { name: named(&session, &name)?, value: SecretSlice::from(bytes) };
                    secrets.create(&secret, Existing::Replace).await
                };
                match one.await {
                    Ok(result) => {
                        rows.push(Row { name: name.into(), result, status: session.backend.last_status() });
                        outcomes.push(Outcome { error: None, ..Outcome::failed("", Fault::failed("")) });
                    }
                    Err(fault) => outcomes.push(Outcome::failed(&name, fault)),
                }
            }
            Ok(outcomes)
        })?;
        let ours = |row: &Row| match row.result {
            Written::Created => format!("Created secret {}.\n", row.name),
            Written::Updated => format!("Updated secret {}.\n", row.name),
        };
        let theirs = |row: &Row| {
            let name = backend::SecretName { name: row.name.clone(), namespace: session.namespace() };
            compat::words::secret_created(&name, row.result, row.status, "still")
        };
        context.out.answer(&rows, || rows.iter().map(ours).collect(), |_| rows.iter().map(theirs).collect())?;
        plan::sum_up_of("can't write the secret", "secrets", &outcomes)
    }

    /// The folder's files by name; folders in it are left out, and what is hidden, as a `.gitignore`.
    fn files(&self, context: &Context) -> Result<Vec<PathBuf>> {
        let folder = context.absolute(&self.folder);
        let shown = self.folder.display();
        let entries = std::fs::read_dir(&folder).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Fault::not_found(format!("there is no folder {shown}")).hint("put one file a secret into it")
            }
            _ => Fault::failed(format!("can't read the folder {shown}")).cause(e),
        })?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
        files.sort();
        let passes_over = compat::ways::passes_over_no_secrets(context.out.dialect);
        files.retain(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                context.out.note(format_args!("{shown}/{name} is hidden, and no secret"));
            } else if passes_over && !is_subdomain(&name) {
                context.out.warn(format_args!("{shown}/{name} is left out: `{name}` is no name for a secret"));
            } else {
                return true;
            }
            false
        });
        Ok(files)
    }
}
