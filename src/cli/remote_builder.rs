//! `--remote-builder`: images made by OpenFaaS's builder instead of an engine here.
use std::path::{Path, PathBuf};

use clap::Args;

use super::secret::file;
use crate::build::remote::Remote;
use crate::context::Context;
use crate::error::{Fault, Result};

/// Which builder, and how it knows us.
#[derive(Args, Clone, Default)]
pub struct RemoteFlags {
    /// Let OpenFaaS's builder at this address build and push the images
    #[arg(long, env = "OPENFAAS_REMOTE_BUILDER", value_name = "URL")]
    remote_builder: Option<String>,
    /// With --remote-builder: the file of the secret that requests are signed with
    #[arg(long, env = "OPENFAAS_PAYLOAD_SECRET", value_name = "FILE")]
    payload_secret: Option<PathBuf>,
    /// With --remote-builder: the public key that build secrets are sealed with, or its file [default: the builder is asked]
    #[arg(long, env = "OPENFAAS_BUILDER_PUBLIC_KEY", value_name = "KEY|FILE")]
    builder_public_key: Option<String>,
}

impl RemoteFlags {
    /// The builder; `None` when none is named.
    ///
    /// # Errors
    /// When its secret or key can't be read.
    pub fn remote(&self, context: &Context) -> Result<Option<Remote>> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let Some(address) = given(&self.remote_builder) else { return Ok(None) };
        let secret = self.payload_secret.as_ref().filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
            Fault::usage("--remote-builder needs the secret that requests are signed with")
                .hint("name its file by --payload-secret or OPENFAAS_PAYLOAD_SECRET")
        })?;
        let secret = file::text(&context.absolute(secret), secret)?;
        let key = match given(&self.builder_public_key) {
            Some(text) if context.absolute(Path::new(&text)).is_file() => {
                Some(file::text(&context.absolute(Path::new(&text)), Path::new(&text))?.to_string())
            }
            other => other,
        };
        Remote::new(&address, &secret, key.as_deref()).map(Some)
    }
}
