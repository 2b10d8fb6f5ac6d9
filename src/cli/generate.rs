//! `faas generate`: the platform's own objects as YAML, for GitOps. No platform is asked, and none is changed.
use std::collections::BTreeSet;
use std::fmt::Write;

use clap::Args;

use super::build::TagFlag;
use super::{Global, stack_file};
use crate::artifact::Artifact;
use crate::backend::{Change, How, knative};
use crate::build::tag;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::plan::{run, spec_hash};
use crate::stack::{ProviderKind, Stack};

/// The API whose objects are written.
const API: &str = "serving.knative.dev/v1";
/// The other one: a template of AWS SAM.
const SAM: &str = "aws-sam";

/// Write the functions of the stack as Knative Services or as a template of AWS SAM, for GitOps
#[derive(Args)]
#[command(after_help = "Examples:\n  faas generate --api serving.knative.dev/v1 > functions.yaml\n  \
                        faas generate -n shop --tag sha | kubectl apply -f -")]
pub struct Generate {
    /// The API of the objects, or aws-sam [default: serving.knative.dev/v1, for provider lambda aws-sam]
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
        if api == SAM {
            return self.sam(context, &stack);
        }
        if api != API {
            return Err(Fault::unsupported(format!("objects of {api} are not written here"))
                .cause(format!("only those of {API} and {SAM} are"))
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
            text.push_str(&yaml(&service, function)?);
            for trigger in knative::triggers::of(function) {
                text.push_str("---\n");
                text.push_str(&yaml(&trigger, function)?);
            }
        }
        context.out.raw(text.as_bytes())
    }

    #[cfg(not(feature = "lambda"))]
    fn sam(&self, _: &Context, _: &Stack) -> Result<()> {
        Err(Fault::unsupported("templates of AWS SAM are not written by this build of faas")
            .hint("`faas version` lists the backends that it has"))
    }

    /// Writes a template of AWS SAM. Archives are built, and lie in `build/` beside the stack file.
    #[cfg(feature = "lambda")]
    fn sam(&self, context: &Context, stack: &Stack) -> Result<()> {
        use crate::artifact::ArtifactKind;
        use crate::backend::{Backend, lambda};
        use crate::build::{self, Options, Project};
        let settings = lambda::Settings::read(&stack.provider.lambda)?;
        let platform = lambda::Lambda::new(settings.clone());
        let functions: Vec<Function> = stack
            .functions
            .iter()
            .map(|f| Function { namespace: self.namespace.clone().or_else(|| f.namespace.clone()), ..f.clone() })
            .collect();
        for warning in run::check(&functions, &platform, None, |field| stack.place(field))? {
            context.out.problem(&warning);
        }
        let root = &stack.origin.root;
        let catalogue = crate::template::Catalogue::new(root);
        let project = Project::new(context, root, &stack.configuration.copy, &catalogue);
        let progress = crate::output::progress::for_output(&context.out);
        let mut resources = Vec::new();
        for function in &functions {
            let place = format!("build/{}.zip", function.name);
            let artifact = match platform.wants(function) {
                ArtifactKind::Image => {
                    let reference = tag::reference(function, self.tag.tag, root)?;
                    let digest = reference.split_once('@').map(|(_, digest)| digest.to_owned());
                    Artifact::Image { reference, digest }
                }
                kind => {
                    let options = Options::default();
                    let work = build::build(function, kind, &project, &options, progress.as_ref());
                    let artifact = crate::runtime::block_on(work)?.artifact;
                    if let Artifact::Archive { path, .. } = &artifact {
                        let to = root.join(&place);
                        std::fs::create_dir_all(&project.build_dir)
                            .and_then(|()| std::fs::copy(path, &to))
                            .or_fault(|| format!("can't write {}", to.display()))?;
                    }
                    artifact
                }
            };
            let (spec, name) = (spec_hash(function), stack.name.clone());
            let change =
                Change { function: function.clone(), artifact, spec, stack: name, how: How::Upsert, force: false };
            resources.push(lambda::template::resource(&change, &settings, &place)?);
        }
        let template = lambda::template::template(resources);
        let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
        let yaml = serde_saphyr::to_string_with_options(&template, options)
            .or_fault(|| "can't write the template as YAML".into())?;
        context.out.raw(yaml.as_bytes())
    }
}

fn yaml(object: &serde_json::Value, function: &Function) -> Result<String> {
    let options = serde_saphyr::ser_options! { indent_step: 2, compact_list_indent: false };
    serde_saphyr::to_string_with_options(object, options).or_fault(|| format!("can't write {} as YAML", function.name))
}
