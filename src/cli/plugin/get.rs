//! `faas plugin get`.
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::cli::compat;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::progress;
use crate::plugin::{self, Wanted};
use crate::registry::Registries;

/// Get a plugin out of its registry
#[derive(Args)]
#[command(after_help = "Example:\n  faas plugin get pro && faas pro --help")]
pub struct Get {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    /// The registry, and the account in it
    #[arg(long, default_value = "ghcr.io/openfaasltd", value_name = "REGISTRY")]
    registry: String,
    /// The version
    #[arg(long, default_value = "latest", value_name = "VERSION")]
    version: String,
    /// The machine that it is for, as amd64 [default: this one's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The system that it is for [default: this one's]
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// The folder for it [default: ~/.openfaas/plugins]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// Say more
    #[arg(short, long)]
    verbose: bool,
}

impl Get {
    /// Gets it.
    ///
    /// # Errors
    /// When there is no such plugin for this machine, or it can't be written.
    pub fn run(self, context: &Context) -> Result<()> {
        let started = Instant::now();
        let name = &self.name;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(Fault::usage(format!("`{name}` can't be a plugin's name")));
        }
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).map(|t| t.to_lowercase());
        let arch = match given(&self.arch).unwrap_or_else(|| std::env::consts::ARCH.to_owned()).as_str() {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        let os = given(&self.os).unwrap_or_else(|| std::env::consts::OS.to_owned());
        let image = format!("{}/{name}:{}", self.registry.trim_end_matches('/'), self.version);
        if self.verbose {
            context.out.note(format_args!("Fetching plugin: {name} {image} for: {os}/{arch}"));
        } else {
            context.out.note(format_args!("Fetching plugin: {name}"));
        }
        let home = context.dirs.home.display().to_string();
        let into = match &self.path {
            Some(path) => context.absolute(&PathBuf::from(path.display().to_string().replace("$HOME", &home))),
            None => context.dirs.home.join(plugin::FOLDER),
        };
        let registries = Registries::of(context, &context.cwd);
        let progress = progress::for_output(&context.out);
        let wanted = Wanted { name, image: &image, os: &os, arch: &arch };
        let path = crate::runtime::block_on(plugin::get(&wanted, &registries, &into, progress.as_ref()))?;
        let took = humantime::format_duration(std::time::Duration::from_millis(
            u64::try_from(started.elapsed().as_millis()).unwrap_or_default(),
        ));
        let done = serde_json::json!({ "name": name, "image": image, "path": path, "os": os, "arch": arch });
        let program = compat::ways::program(context.out.dialect);
        context.out.result(&done, || match &self.path {
            Some(_) => format!("Wrote: {} ({os}/{arch}) in ({took})\n", path.display()),
            None => format!("Downloaded in ({took})\n\nUsage:\n  {program} {name}\n"),
        })
    }
}
