//! Whether what `new` makes fits its platform: what it lacks is said before anything is written.
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::Dialect;
use crate::stack::ProviderKind;
use crate::template::Template;

/// What is to be made, and where it goes.
pub struct Fit<'a> {
    /// The platform that was named, by a flag or by the stack file that is added to.
    pub named: Option<ProviderKind>,
    /// The function's name.
    pub name: &'a str,
    /// Registry and account, where they were given.
    pub prefix: Option<&'a str>,
    /// What it is made from.
    pub template: &'a Template,
    /// Whether a stack file is added to, which may have other platforms as its targets.
    pub appends: bool,
}

impl Fit<'_> {
    /// The platform: where none is named, this machine, or OpenFaaS for what can't run as a process.
    pub fn platform(&self, context: &Context) -> ProviderKind {
        match self.named {
            Some(named) => named,
            None if self.template.manifest.native.is_some() => ProviderKind::Local,
            None => {
                let lang = &self.template.name;
                context.out.note(format_args!("`{lang}` needs images: the stack file is for provider openfaas"));
                ProviderKind::OpenFaas
            }
        }
    }

    /// The image's name; none for what goes to Lambda as an archive, unless one is asked for by its registry.
    ///
    /// # Errors
    /// A template that the platform can't run; an image for Lambda without the account's registry.
    pub fn image(&self, platform: ProviderKind, context: &Context) -> Result<Option<String>> {
        let lang = &self.template.name;
        let image = match self.prefix {
            Some(prefix) => format!("{prefix}/{}:latest", self.name),
            None => format!("{}:latest", self.name),
        };
        match (platform, self.prefix) {
            (ProviderKind::Lambda, None) if self.template.manifest.lambda.is_some() => return Ok(None),
            (ProviderKind::Lambda, None) => {
                return Err(Fault::usage(format!("to Lambda, `{lang}` goes as an image alone; nothing was written"))
                    .hint("name the account's registry: `--prefix ACCOUNT.dkr.ecr.REGION.amazonaws.com`"));
            }
            (ProviderKind::Local, _) if self.template.manifest.native.is_none() => {
                let fault = Fault::usage(format!("provider local runs processes, and `{lang}` needs images"))
                    .hint("choose another --lang, or `--provider openfaas`");
                if !self.appends {
                    return Err(fault);
                }
                context.out.warn(format_args!("{}: its targets may be for other providers", fault.message));
            }
            (ProviderKind::OpenFaas | ProviderKind::Knative, None) if context.out.dialect == Dialect::Faas => {
                context.out.warn(format_args!(
                    "the image `{image}` names no registry: in the stack file, put the one that the platform pulls from \
                     before it, or make the function with `--prefix REGISTRY/ACCOUNT`"
                ));
            }
            _ => {}
        }
        Ok(Some(image))
    }
}
