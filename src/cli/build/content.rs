//! The flags that say what goes into an artifact: `plan` takes them as `build` and `up` do, since they change what it is.
use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::TagFlag;
use crate::build::Options;
use crate::context::Context;
use crate::error::{Fault, Result};

/// What makes images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Engine {
    /// The container engine that is there.
    #[default]
    Auto,
    /// None: a base image, and layers over it, by the registry alone.
    None,
}

/// What goes into an artifact.
#[derive(Args, Clone, Default)]
pub struct Content {
    #[command(flatten)]
    tag: TagFlag,
    /// A build argument of the image, before those of the stack
    #[arg(short = 'b', long = "build-arg", value_name = "KEY=VALUE")]
    build_args: Vec<String>,
    /// A set of packages that the template has a name for
    #[arg(short = 'o', long = "build-option", value_name = "NAME")]
    build_options: Vec<String>,
    /// A label of the image
    #[arg(long = "build-label", value_name = "KEY=VALUE")]
    build_labels: Vec<String>,
    /// What makes images: the container engine, or `none`, which puts them together without one
    #[arg(long, env = "FAAS_ENGINE", value_enum, default_value_t, value_name = "ENGINE")]
    engine: Engine,
    /// Lambda: install the dependencies of archives in a container of this image [default: the template's]
    #[cfg(feature = "lambda")]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "IMAGE")]
    container: Option<String>,
    /// A file or folder of the project to copy into each handler's folder
    #[arg(long, value_name = "PATH")]
    copy_extra: Vec<PathBuf>,
}

impl Content {
    /// How to build with them.
    ///
    /// # Errors
    /// When a `KEY=VALUE` has no `=`.
    pub fn options(&self, context: &Context) -> Result<Options> {
        let mut args = pairs("--build-arg", &self.build_args)?;
        let packages = args.extract_if(.., |(key, _)| key == "ADDITIONAL_PACKAGE").map(|(_, value)| value).collect();
        Ok(Options {
            tag: self.tag.tag,
            args: args.into_iter().collect(),
            packages,
            options: self.build_options.clone(),
            labels: pairs("--build-label", &self.build_labels)?.into_iter().collect::<BTreeMap<_, _>>(),
            copy_extra: self.copy_extra.iter().map(|path| context.absolute(path)).collect(),
            engineless: self.engine == Engine::None,
            #[cfg(feature = "lambda")]
            container: self.container.clone(),
            ..Options::default()
        })
    }
}

fn pairs(flag: &str, given: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Fault::usage(format!("`{flag} {text}` is no KEY=VALUE"))),
    };
    given.iter().map(pair).collect()
}
