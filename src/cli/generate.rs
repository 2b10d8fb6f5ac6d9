//! `faas generate`: the platform's own objects as YAML, for GitOps. No platform is asked, and none is changed.
use std::path::Path;

use clap::Args;

use super::build::TagFlag;
use super::{Global, stack_file, store, values};
use crate::backend::gateway_api::manifest;
use crate::build::{TagMode, tag};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::stack::{ProviderKind, Stack};

#[cfg(feature = "knative")]
mod knative;
#[cfg(feature = "lambda")]
mod lambda;

/// All that there are; what a platform newer than this calls its own is taken as well.
pub(super) const APIS: [&str; 4] = ["openfaas.com/v1", KNATIVE, SAM, TERRAFORM];

/// Knative's API.
const KNATIVE: &str = "serving.knative.dev/v1";
/// What is no API: a template of AWS SAM, in YAML.
const SAM: &str = "aws-sam";
/// Terraform's JSON.
const TERRAFORM: &str = "terraform";
/// Where OpenFaaS's functions are unless told otherwise.
const OPENFAAS_NAMESPACE: &str = "openfaas-fn";

/// Write functions as OpenFaaS Functions, Knative Services, a template of AWS SAM or for Terraform
#[derive(Args)]
#[command(after_help = "Examples:\n  faas generate --api serving.knative.dev/v1 > functions.yaml\n  \
                        faas generate -n shop --tag sha | kubectl apply -f -\n  \
                        faas generate --api terraform > functions.tf.json\n  faas generate --from-store figlet")]
pub struct Generate {
    /// The API of the objects: openfaas.com/v1, serving.knative.dev/v1, aws-sam or terraform [default: that of the stack's provider]
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// The namespace of the objects [default: the stack's, else openfaas-fn for OpenFaaS, none for Knative]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    tag: TagFlag,
    /// A function of the store instead of the stack's
    #[arg(long, value_name = "NAME")]
    from_store: Option<String>,
    /// With --from-store: the store [default: OPENFAAS_STORE, else OpenFaaS's]
    #[arg(short, long, requires = "from_store", value_name = "URL")]
    url: Option<String>,
    /// With --from-store: another name for it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// With --from-store: the platform of the image
    #[arg(long, default_value = "x86_64", value_name = "PLATFORM")]
    arch: String,
    /// With --from-store: an annotation
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    annotation: Vec<(String, String)>,
    /// With --from-store: a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    label: Vec<(String, String)>,
}

/// What objects are written of.
struct Source<'a> {
    functions: Vec<Function>,
    /// The stack's name, as the owner's mark.
    name: &'a str,
    /// The project's folder.
    root: &'a Path,
    /// The stack; `None` for a function of the store.
    stack: Option<&'a Stack>,
}

impl<'a> Source<'a> {
    fn of(stack: &'a Stack, namespace: Option<&str>) -> Self {
        let namespace = |f: &Function| namespace.map(str::to_owned).or_else(|| f.namespace.clone());
        let functions = stack.functions.iter().map(|f| Function { namespace: namespace(f), ..f.clone() }).collect();
        Self { functions, name: &stack.name, root: &stack.origin.root, stack: Some(stack) }
    }

    #[cfg(feature = "knative")]
    fn place(&self, field: &str) -> Option<crate::problem::Place> {
        self.stack.and_then(|stack| stack.place(field))
    }
}

impl Generate {
    /// Writes them.
    ///
    /// # Errors
    /// A stack that is wrong; an API that is not written here; a function that the store has not.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let stack = match &self.from_store {
            Some(_) => None,
            None => Some(stack_file::load(context, global)?.ok_or_else(|| {
                stack_file::missing().hint("name one with `-f FILE`, or a function of the store with --from-store")
            })?),
        };
        let source = match (&stack, &self.from_store) {
            (Some(stack), _) => Source::of(stack, self.namespace.as_deref()),
            (None, name) => self.of_store(name.as_deref().unwrap_or_default(), context)?,
        };
        let kind = stack.as_ref().map_or(ProviderKind::OpenFaas, |stack| stack.provider.kind);
        let api = self.api.as_deref().filter(|api| !api.is_empty()).unwrap_or(match kind {
            ProviderKind::Lambda => SAM,
            ProviderKind::OpenFaas => manifest::API,
            _ => KNATIVE,
        });
        match api {
            SAM | TERRAFORM => match &stack {
                Some(stack) => self.lambda(context, stack, api),
                None => Err(Fault::unsupported("functions of the store are images of OpenFaaS, none of Lambda's")
                    .hint("leave --api out, or choose another")),
            },
            KNATIVE => self.knative(context, &source),
            manifest::API => self.openfaas(context, source),
            _ => Err(Fault::unsupported(format!("objects of {api} are not written here"))
                .cause(format!("only those of {}, {KNATIVE}, {SAM} and {TERRAFORM} are", manifest::API))
                .hint("`faas deploy` speaks to the platform itself")),
        }
    }

    /// One function of the store.
    fn of_store<'a>(&self, name: &str, context: &'a Context) -> Result<Source<'a>> {
        if self.tag.tag == TagMode::Digest {
            return Err(Fault::usage("digest tag format is not supported for store functions"));
        }
        let store = store::read(self.url.as_deref(), context)?;
        let item = store.items.iter().find(|item| item.name == name || item.title == name);
        let item = item.ok_or_else(|| {
            Fault::not_found(format!("unable to find '{name}' in store")).hint("`faas store list` names all")
        })?;
        let mut function = item.function(self.name.as_deref(), &self.arch)?;
        function.annotations.extend(self.annotation.iter().cloned());
        function.labels.extend(self.label.iter().cloned());
        function.namespace.clone_from(&self.namespace);
        Ok(Source { functions: vec![function], name: "", root: &context.cwd, stack: None })
    }

    fn openfaas(&self, context: &Context, source: Source<'_>) -> Result<()> {
        let Source { mut functions, root, .. } = source;
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = String::new();
        for function in &functions {
            let image = tag::reference(function, self.tag.tag, root)?;
            let namespace = function.namespace.as_deref().unwrap_or(OPENFAAS_NAMESPACE);
            text.push_str("---\n");
            text.push_str(&yaml(&manifest::resource(function, &image, namespace), &function.name)?);
        }
        context.out.raw(text.as_bytes())
    }

    #[cfg(not(feature = "knative"))]
    fn knative(&self, _: &Context, _: &Source<'_>) -> Result<()> {
        Err(Fault::unsupported("Knative Services are not written by this build of faas")
            .hint("`faas version` lists the backends that it has"))
    }

    #[cfg(not(feature = "lambda"))]
    fn lambda(&self, _: &Context, _: &Stack, api: &str) -> Result<()> {
        Err(Fault::unsupported(format!("{api} is not written by this build of faas"))
            .hint("`faas version` lists the backends that it has"))
    }
}

fn yaml(object: &serde_json::Value, what: &str) -> Result<String> {
    crate::output::yaml::write(object)
        .map_err(|fault| Fault { message: format!("can't write {what} as YAML"), ..fault })
}
