//! `faas import`: functions that other tools deployed, as a stack file.
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::session::GatewayFlags;
use super::{Global, session};
use crate::backend::knative::import::{Imported, document};
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};

/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// Write functions of Knative's tools as a stack file: a func.yaml, Services as YAML, or those of a cluster
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas import func.yaml > stack.yml\n  kubectl get ksvc -o yaml | faas import - > stack.yml\n  \
                  faas import --service tax --service shop > stack.yml"
)]
pub struct Import {
    /// A func.yaml, or a file with Knative Services; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["service", "all"])]
    file: Option<PathBuf>,
    /// A Knative Service of the cluster; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    service: Vec<String>,
    /// All Knative Services of the namespace
    #[arg(long, conflicts_with_all = ["file", "service"])]
    all: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Import {
    /// Writes it.
    ///
    /// # Errors
    /// A file that can't be read or is none of these; a Service that is not there.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let imported = match &self.file {
            Some(file) => from_file(context, file)?,
            None => {
                let knative = session::knative(context, &self.gateway)?;
                let namespace = self.gateway.namespace.as_deref();
                let services = crate::runtime::block_on(knative.raw_services(namespace, &self.service))?;
                let all: Result<Vec<_>> = services.iter().map(document).collect();
                all?.into_iter().flatten().collect()
            }
        };
        if imported.is_empty() {
            return Err(Fault::not_found("there is no function to import"));
        }
        let mut functions = Map::new();
        for Imported { name, entry, notes } in imported {
            for note in notes {
                context.out.warn(format!("{name}: {note}"));
            }
            if functions.insert(name.clone(), Value::Object(entry)).is_some() {
                return Err(Fault::usage(format!("there are two functions by the name `{name}`"))
                    .hint("import those of one namespace at a time"));
            }
        }
        let stack = json!({ "version": "1.0", "provider": { "name": "knative" }, "functions": functions });
        let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
        let text =
            serde_saphyr::to_string_with_options(&stack, options).or_fault(|| "can't write the stack file".into())?;
        context.out.raw(text.as_bytes())
    }
}

fn from_file(context: &Context, file: &Path) -> Result<Vec<Imported>> {
    let name = file.display().to_string();
    let what = || format!("can't read {name}");
    let mut text = String::new();
    if name == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text).or_fault(what)?;
    } else {
        let path = context.absolute(file);
        let path = if path.is_dir() { path.join("func.yaml") } else { path };
        let open = std::fs::File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no file {}", path.display())),
            _ => Fault::failed(what()).cause(e),
        })?;
        open.take(LARGEST).read_to_string(&mut text).or_fault(what)?;
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|e| Fault::usage(format!("{name} is no YAML")).cause(e))?;
    let all: Result<Vec<_>> = documents.iter().filter(|d| !d.is_null()).map(document).collect();
    Ok(all?.into_iter().flatten().collect())
}
