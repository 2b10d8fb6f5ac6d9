//! `faas generate` for Lambda: a template of AWS SAM or Terraform's JSON, and the archives that they name.
use super::{Generate, TERRAFORM, yaml};
use crate::artifact::{Artifact, ArtifactKind};
use crate::backend::{Backend, Change, How, lambda};
use crate::build::{self, Options, Project, tag};
use crate::context::Context;
use crate::error::{OrFault, Result};
use crate::function::Function;
use crate::plan::{check, spec_hash};
use crate::stack::Stack;

impl Generate {
    /// Writes a template of AWS SAM, or Terraform's JSON. Archives are built, and lie in `build/` beside the stack file.
    pub(super) fn lambda(&self, context: &Context, stack: &Stack, api: &str) -> Result<()> {
        let settings = lambda::Settings::read(&stack.provider.lambda)?;
        let platform = lambda::Lambda::new(settings.clone());
        let functions: Vec<Function> = stack
            .functions
            .iter()
            .map(|f| Function { namespace: self.namespace.clone().or_else(|| f.namespace.clone()), ..f.clone() })
            .collect();
        for warning in check::check(&functions, &platform, None, |field| stack.place(field))? {
            context.out.problem(&warning);
        }
        let root = &stack.origin.root;
        let catalogue = crate::template::Catalogue::new(root);
        let project = Project::new(context, root, &stack.configuration.copy, &catalogue);
        let progress = crate::output::progress::for_output(&context.out);
        let mut resources = Vec::new();
        let mut terraform = lambda::terraform::Terraform::new(&stack.name);
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
            let change = Change {
                function: function.clone(),
                artifact,
                spec,
                stack: name,
                how: How::Upsert,
                force: false,
                history: Vec::new(),
            };
            match api {
                TERRAFORM => terraform.add(&change, &settings, &place)?,
                _ => resources.push(lambda::template::resource(&change, &settings, &place)?),
            }
        }
        let text = match api {
            TERRAFORM => serde_json::to_string_pretty(&terraform.finish(&settings))
                .map(|text| text + "\n")
                .or_fault(|| "can't write the configuration as JSON".into())?,
            _ => yaml(&lambda::template::template(resources), "the template")?,
        };
        context.out.raw(text.as_bytes())
    }
}
