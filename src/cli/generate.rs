//! `faas generate`: the platform's own objects as YAML, for GitOps. No platform is asked, and none is changed.
use std::collections::BTreeSet;
use std::fmt::Write;

use clap::Args;

#[cfg(feature = "lambda")]
mod lambda;

use super::build::TagFlag;
use super::{Global, stack_file};
use crate::artifact::Artifact;
use crate::backend::{Change, How, knative};
use crate::build::tag;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::plan::{run, spec_hash};
use crate::stack::ProviderKind;
#[cfg(not(feature = "lambda"))]
use crate::stack::Stack;

/// The API whose objects are written.
const API: &str = "serving.knative.dev/v1";
/// A template of AWS SAM, in YAML.
const SAM: &str = "aws-sam";
/// Terraform's JSON.
const TERRAFORM: &str = "terraform";

/// Write the functions of the stack as Knative Services, as a template of AWS SAM or for Terraform
#[derive(Args)]
#[command(after_help = "Examples:\n  faas generate --api serving.knative.dev/v1 > functions.yaml\n  \
                        faas generate -n shop --tag sha | kubectl apply -f -\n  \
                        faas generate --api terraform > functions.tf.json")]
pub struct Generate {
    /// The API of the objects, or aws-sam, or terraform [default: serving.knative.dev/v1, for provider lambda aws-sam]
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// The namespace of the objects [default: the stack's, else none]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    tag: TagFlag,
}

impl Generate {
    /// Writes them.
    ///
    /// # Errors
    /// A stack that is wrong; an API that is not written here.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let api = self.api.as_deref().unwrap_or(match stack.provider.kind {
            ProviderKind::Lambda => SAM,
            _ => API,
        });
        if [SAM, TERRAFORM].contains(&api) {
            return self.lambda(context, &stack, api);
        }
        if api != API {
            return Err(Fault::unsupported(format!("objects of {api} are not written here"))
                .cause(format!("only those of {API}, {SAM} and {TERRAFORM} are"))
                .hint("`faas deploy` speaks to OpenFaaS itself"));
        }
        let functions: Vec<Function> = stack
            .functions
            .iter()
            .map(|f| Function { namespace: self.namespace.clone().or_else(|| f.namespace.clone()), ..f.clone() })
            .collect();
        let platform = knative::Knative::new(knative::Settings::default());
        for warning in run::check(&functions, &platform, None, |field| stack.place(field))? {
            context.out.problem(&warning);
        }
        let mut text = String::new();
        for function in &functions {
            let reference = tag::reference(function, self.tag.tag, &stack.origin.root)?;
            let digest = reference.split_once('@').map(|(_, digest)| digest.to_owned());
            let change = Change {
                function: function.clone(),
                artifact: Artifact::Image { reference, digest },
                spec: spec_hash(function),
                stack: stack.name.clone(),
                how: How::Upsert,
                force: false,
            };
            let service = knative::manifest(&change, &BTreeSet::new())?;
            text.push_str("---\n");
            if !function.secrets.is_empty() {
                let _ = writeln!(text, "# Needs these secrets: {}", function.secrets.join(", "));
            }
            text.push_str(&yaml(&service, &function.name)?);
            for trigger in knative::triggers::of(function) {
                text.push_str("---\n");
                text.push_str(&yaml(&trigger, &function.name)?);
            }
        }
        context.out.raw(text.as_bytes())
    }

    #[cfg(not(feature = "lambda"))]
    fn lambda(&self, _: &Context, _: &Stack, api: &str) -> Result<()> {
        Err(Fault::unsupported(format!("{api} is not written by this build of faas"))
            .hint("`faas version` lists the backends that it has"))
    }
}

fn yaml(object: &serde_json::Value, what: &str) -> Result<String> {
    let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
    serde_saphyr::to_string_with_options(object, options).or_fault(|| format!("can't write {what} as YAML"))
}
