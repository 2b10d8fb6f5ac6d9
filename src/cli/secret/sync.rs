//! `faas secret sync`: the secrets that the stack's functions name, from `.secrets/` to the platform.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretSlice;
use serde::Serialize;

use super::{is_subdomain, secrets, value};
use crate::backend::{self, Existing, SecretName, Written};
use crate::cli::session::{GatewayFlags, Session};
use crate::cli::{Global, stack_file};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::table;

/// Bring the secrets that the stack's functions name to the platform, and say which have no value
#[derive(Args)]
#[command(after_help = "Examples:\n  faas secret sync\n  faas secret sync --dry-run")]
pub struct Sync {
    /// The folder of the values, one file a secret [default: .secrets beside the stack file]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Leave secrets that the platform has as they are
    #[arg(long)]
    no_replace: bool,
    /// Change nothing, and say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    trim: value::Trim,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Serialize)]
struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The functions that name it.
    functions: Vec<String>,
    result: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Created,
    Updated,
    /// The platform has it, and there is no value here, or it is not to be replaced.
    There,
    /// The platform has it not, and there is no value here.
    NoValue,
}

impl Sync {
    /// Brings them.
    ///
    /// # Errors
    /// When one has no value anywhere, or can't be written.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let folder = match &self.folder {
            Some(folder) => context.absolute(folder),
            None => stack.origin.root.join(".secrets"),
        };
        let session = Session::for_deploy(context, &self.gateway, Some(stack), Duration::ZERO, !self.dry_run)?;
        let mut wanted: BTreeMap<(Option<String>, String), Vec<String>> = BTreeMap::new();
        for function in session.functions() {
            for secret in &function.secrets {
                if !is_subdomain(secret) {
                    return Err(Fault::usage(format!("`{secret}` of {} is no name for a secret", function.name)));
                }
                let key = (function.namespace.clone(), secret.clone());
                wanted.entry(key).or_default().push(function.name.clone());
            }
        }
        if wanted.is_empty() {
            context.out.note("no function of the stack names a secret: nothing to do");
            return context.out.result(&Vec::<Row>::new(), String::new);
        }
        let platform = secrets(&session)?;
        let rows = crate::runtime::block_on(async {
            let namespaces: BTreeSet<Option<String>> = wanted.keys().map(|(namespace, _)| namespace.clone()).collect();
            let mut there = BTreeSet::new();
            for namespace in namespaces {
                let names = platform.list(namespace.as_deref()).await?;
                there.extend(names.into_iter().map(|secret| (namespace.clone(), secret.name)));
            }
            let mut rows = Vec::new();
            for (key, functions) in wanted {
                let file = folder.join(&key.1);
                let has_value = file.is_file();
                let is_there = there.contains(&key);
                let (namespace, name) = key;
                let result = match (has_value, is_there) {
                    (false, true) => Outcome::There,
                    (false, false) => Outcome::NoValue,
                    (true, true) if self.no_replace => Outcome::There,
                    (true, true) if self.dry_run => Outcome::Updated,
                    (true, false) if self.dry_run => Outcome::Created,
                    (true, _) => {
                        let bytes = value::file(&file, &file)?;
                        let bytes = self.trim.of(bytes);
                        let secret_name = SecretName { name: name.clone(), namespace: namespace.clone() };
                        let secret = backend::Secret { name: secret_name, value: SecretSlice::from(bytes) };
                        match platform.create(&secret, Existing::Replace).await? {
                            Written::Created => Outcome::Created,
                            Written::Updated => Outcome::Updated,
                        }
                    }
                };
                rows.push(Row { name, namespace, functions, result });
            }
            Ok(rows)
        })?;
        context.out.result(&rows, || {
            let word = |outcome: Outcome| match outcome {
                Outcome::Created => "created",
                Outcome::Updated => "updated",
                Outcome::There => "there already",
                Outcome::NoValue => "no value",
            };
            let row = |row: &Row| {
                let namespace = row.namespace.clone().unwrap_or_default();
                vec![row.name.clone(), namespace, word(row.result).to_owned(), row.functions.join(", ")]
            };
            table::columns(&["SECRET", "NAMESPACE", "RESULT", "FUNCTIONS"], &rows.iter().map(row).collect::<Vec<_>>())
        })?;
        let missing: Vec<&str> =
            rows.iter().filter(|row| row.result == Outcome::NoValue).map(|row| row.name.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let shown = folder.strip_prefix(&context.cwd).unwrap_or(&folder).display();
        Err(Fault::not_found(format!("there is no value for {}", missing.join(", ")))
            .hint(format!("put it into {shown}/{}, or set it by `faas secret create {0}`", missing[0])))
    }
}
