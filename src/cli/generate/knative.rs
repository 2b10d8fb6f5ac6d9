//! The functions of a stack as Knative Services.
use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Generate, Source, yaml};
use crate::artifact::Artifact;
use crate::backend::{Change, How, knative};
use crate::build::tag;
use crate::context::Context;
use crate::error::Result;
use crate::plan::{check, spec_hash};

impl Generate {
    /// Writes Services, and what calls them.
    pub(super) fn knative(&self, context: &Context, source: &Source<'_>) -> Result<()> {
        let functions = &source.functions;
        let platform = knative::Knative::new(knative::Settings::default());
        for warning in check::check(functions, &platform, None, |field| source.place(field))? {
            context.out.problem(&warning);
        }
        let mut text = String::new();
        for function in functions {
            let reference = tag::reference(function, self.tag.tag, source.root)?;
            let digest = reference.split_once('@').map(|(_, digest)| digest.to_owned());
            let change = Change {
                function: function.clone(),
                artifact: Artifact::Image { reference, digest },
                spec: spec_hash(function),
                stack: source.name.to_owned(),
                how: How::Upsert,
                force: false,
                history: Vec::new(),
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
}
