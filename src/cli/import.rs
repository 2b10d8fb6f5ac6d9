//! `faas import`: functions that other tools deployed or describe, as a stack file.
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::session::GatewayFlags;
use super::{Global, backends};
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::imported::{Imported, fn_project};
use crate::output::yaml;

/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// Write functions of other tools as a stack file: of SAM, Serverless, func, Fn, Knative or Lambda
///
/// What a stack file has no word for is listed on stderr.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas import template.yaml > stack.yml\n  faas import serverless.yml > stack.yml\n  \
                  faas import --lambda tax --lambda shop > stack.yml\n  \
                  faas import func.yaml > stack.yml\n  kubectl get ksvc -o yaml | faas import - > stack.yml\n  \
                  faas import --service tax --service shop > stack.yml"
)]
pub struct Import {
    /// A template of AWS SAM or CloudFormation, a serverless.yml, a func.yaml of func or of Fn, or a file with Knative
    /// Services; a folder with one of them; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["service", "all", "lambda"])]
    file: Option<PathBuf>,
    /// A Knative Service of the cluster; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    service: Vec<String>,
    /// All Knative Services of the namespace
    #[arg(long, conflicts_with_all = ["file", "service"])]
    all: bool,
    /// A function of AWS Lambda, by whatever tool; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "service", "all"])]
    lambda: Vec<String>,
    #[command(flatten)]
    gateway: GatewayFlags,
}

/// What was found, and for which platform.
struct Found {
    provider: Value,
    functions: Vec<Imported>,
    /// What is no function.
    notes: Vec<String>,
    /// The stack's name, where the file has one.
    name: Option<String>,
}

impl Import {
    /// Writes it.
    ///
    /// # Errors
    /// A file that can't be read or is none of these; a function that is not there.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let found = match &self.file {
            Some(file) => from_file(context, file).map_err(|fault| of_file(fault, file))?,
            None if !self.lambda.is_empty() => of_lambda(context, &self.gateway, &self.lambda)?,
            None => of_knative(context, &self.gateway, &self.service)?,
        };
        for note in &found.notes {
            context.out.warn(note);
        }
        if found.functions.is_empty() {
            let none = Fault::not_found("there is no function to import");
            return Err(self.file.iter().fold(none, |fault, file| of_file(fault, file)));
        }
        let mut functions = Map::new();
        for Imported { name, entry, notes } in found.functions {
            for note in notes {
                context.out.warn(format!("{name}: {note}"));
            }
            for key in secrets_in(&entry) {
                context.out.warn(format!(
                    "{name}: `{key}` looks like a secret, and its value stands in what was written: `faas secret create` \
                     keeps it, `secrets:` names it"
                ));
            }
            if functions.insert(name.clone(), Value::Object(entry)).is_some() {
                return Err(Fault::usage(format!("there are two functions by the name `{name}`"))
                    .hint("import those of one namespace at a time"));
            }
        }
        let mut stack = json!({ "version": "1.0" });
        if let Some(name) = found.name {
            stack["name"] = name.into();
        }
        stack["provider"] = found.provider;
        stack["functions"] = functions.into();
        context.out.raw(yaml::write(&stack)?.as_bytes())
    }
}

/// The fault with the file that it is about.
fn of_file(fault: Fault, file: &Path) -> Fault {
    let name = file.display().to_string();
    let name = if name == "-" { "stdin".to_owned() } else { name };
    if fault.message.contains(&name) {
        return fault;
    }
    Fault { message: format!("{name}: {}", fault.message), ..fault }
}

/// The variables that should not be read by everybody who reads the stack file.
fn secrets_in(entry: &Map<String, Value>) -> Vec<&str> {
    let variables = entry.get("environment").and_then(Value::as_object);
    let hot = |(key, value): &(&String, &Value)| {
        let text = value.as_str().unwrap_or_default();
        !text.is_empty() && (crate::sensitive::is_secret(key) || crate::plan::hide::has_login(value))
    };
    variables.into_iter().flatten().filter(hot).map(|(key, _)| key.as_str()).collect()
}

fn from_file(context: &Context, file: &Path) -> Result<Found> {
    let name = file.display().to_string();
    let text = read(context, file, &name)?;
    #[cfg(feature = "lambda")]
    {
        use crate::backend::lambda::import;
        // Read once more below when it is none: only this keeps CloudFormation's tags.
        if text.contains("Resources")
            && let Ok(document) = import::read(&text)
            && import::is_one(&document)
        {
            let (functions, notes) = import::template(&document)?;
            return Ok(Found { provider: json!({"name": "lambda"}), functions, notes, name: None });
        }
    }
    if let Some(found) = of_others(&text)? {
        return Ok(found);
    }
    of_documents(&text, &name)
}

/// The files of the Serverless Framework and of the Fn project, which are told by their keys.
fn of_others(text: &str) -> Result<Option<Found>> {
    let whole = serde_saphyr::from_str::<Value>(text).ok().filter(Value::is_object);
    if let Some(document) = whole.as_ref().filter(|document| fn_project::is_one(document)) {
        let functions = vec![fn_project::function(document)?];
        return Ok(Some(Found { provider: json!({"name": "openfaas"}), functions, notes: Vec::new(), name: None }));
    }
    of_serverless(text, whole)
}

#[cfg(feature = "lambda")]
fn of_serverless(text: &str, whole: Option<Value>) -> Result<Option<Found>> {
    use crate::backend::lambda::import::{self, serverless};
    // Anchors are read by the one, CloudFormation's tags by the other.
    let document = import::read(text).ok().filter(serverless::is_one).or(whole.filter(serverless::is_one));
    let Some(document) = document else { return Ok(None) };
    let serverless::Found { name, region, functions, notes } = serverless::read(&document)?;
    let mut provider = json!({"name": "lambda"});
    if let Some(region) = region {
        provider["lambda"] = json!({"region": region});
    }
    Ok(Some(Found { provider, functions, notes, name }))
}

#[cfg(not(feature = "lambda"))]
fn of_serverless(_: &str, _: Option<Value>) -> Result<Option<Found>> {
    Ok(None)
}

fn read(context: &Context, file: &Path, name: &str) -> Result<String> {
    let what = || format!("can't read {name}");
    let mut text = String::new();
    if name == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text).or_fault(what)?;
        return Ok(text);
    }
    let path = context.absolute(file);
    let path = if path.is_dir() {
        let known = ["func.yaml", "serverless.yml", "serverless.yaml", "template.yaml", "template.yml"];
        known.iter().map(|name| path.join(name)).find(|path| path.is_file()).unwrap_or(path.join(known[0]))
    } else {
        path
    };
    let open = std::fs::File::open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no file {}", path.display())),
        _ => Fault::failed(what()).cause(e),
    })?;
    open.take(LARGEST).read_to_string(&mut text).or_fault(what)?;
    Ok(text)
}

#[cfg(feature = "knative")]
fn of_documents(text: &str, name: &str) -> Result<Found> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|e| Fault::usage(format!("{name} is no YAML")).cause(e))?;
    let documents = documents.iter().filter(|d| !d.is_null());
    let all: Result<Vec<_>> = documents.map(crate::backend::knative::import::document).collect();
    Ok(of_services(all?))
}

#[cfg(not(feature = "knative"))]
fn of_documents(_: &str, name: &str) -> Result<Found> {
    Err(Fault::usage(format!("{name} is no template of AWS SAM or CloudFormation")))
}

#[cfg(feature = "knative")]
fn of_services(all: Vec<Vec<Imported>>) -> Found {
    Found {
        provider: json!({"name": "knative"}),
        functions: all.into_iter().flatten().collect(),
        notes: Vec::new(),
        name: None,
    }
}

#[cfg(feature = "knative")]
fn of_knative(context: &Context, flags: &GatewayFlags, names: &[String]) -> Result<Found> {
    let knative = backends::knative(context, flags)?;
    let services = crate::runtime::block_on(knative.raw_services(flags.namespace.as_deref(), names))?;
    let all: Result<Vec<_>> = services.iter().map(crate::backend::knative::import::document).collect();
    Ok(of_services(all?))
}

#[cfg(not(feature = "knative"))]
fn of_knative(_: &Context, _: &GatewayFlags, _: &[String]) -> Result<Found> {
    Err(Fault::unsupported("Knative Services can't be read by this build of faas")
        .hint("`faas version` lists the backends that it has"))
}

#[cfg(feature = "lambda")]
fn of_lambda(context: &Context, flags: &GatewayFlags, names: &[String]) -> Result<Found> {
    use futures_util::{StreamExt, TryStreamExt};
    let lambda = backends::lambda(context, flags, &Value::Null)?;
    let asked = names.iter().map(|name| lambda.imported(name));
    let all: Vec<(Imported, String)> =
        crate::runtime::block_on(futures_util::stream::iter(asked).buffered(8).try_collect())?;
    let region = all.first().map(|(_, region)| region.clone()).unwrap_or_default();
    let provider = json!({"name": "lambda", "lambda": {"region": region}});
    Ok(Found { provider, functions: all.into_iter().map(|(one, _)| one).collect(), notes: Vec::new(), name: None })
}

#[cfg(not(feature = "lambda"))]
fn of_lambda(_: &Context, _: &GatewayFlags, _: &[String]) -> Result<Found> {
    Err(Fault::unsupported("functions of Lambda can't be read by this build of faas")
        .hint("`faas version` lists the backends that it has"))
}
