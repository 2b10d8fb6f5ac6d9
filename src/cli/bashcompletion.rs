//! `faas bashcompletion`: faas-cli's old word for `completion bash`, into a file.
use std::path::PathBuf;

use clap::Args;

use super::{Global, completion};
use crate::context::Context;
use crate::error::{OrFault, Result};

/// Write the completion script for bash to a file
#[derive(Args)]
#[command(hide = true)]
pub struct BashCompletion {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl BashCompletion {
    /// Writes it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let script = completion::script("bash", context.out.dialect)?;
        crate::fetch::replace(&context.absolute(&self.file), &script)
            .or_fault(|| format!("can't write {}", self.file.display()))
    }
}
