//! The container engine: where it listens, and what images it has.
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptionsBuilder;
use sha2::{Digest, Sha256};

use super::Project;
use crate::error::{Fault, OrFault, Result};

/// Image label: the fingerprint of everything that went in.
pub const FINGERPRINT_KEY: &str = "faas.dev/fingerprint";
/// A step of a build may be silent for long.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A container engine that answers.
pub struct Engine {
    /// Its API.
    pub api: Docker,
    images: tokio::sync::OnceCell<Images>,
}

/// The images of an engine when it was asked.
pub struct Images(Vec<ImageSummary>);

impl Engine {
    /// Finds it by `DOCKER_HOST`, docker's context, or the usual sockets, and agrees on a version of the API.
    ///
    /// # Errors
    /// When none answers: where it was looked for and what to do.
    pub async fn connect(project: &Project<'_>) -> Result<Self> {
        let host = host(project)?;
        if host.starts_with("https://") || project.env.get("DOCKER_TLS_VERIFY").is_some() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let unreachable = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            let hint = if text.to_lowercase().contains("permission denied") {
                "your user may not use it: join the group `docker`, or point DOCKER_HOST at an engine of your own"
            } else {
                "start Docker or Podman, or point DOCKER_HOST at one; provider local runs functions without any"
            };
            Fault::failed(format!("no container engine answers at {host}")).cause(text).hint(hint)
        };
        let api = Docker::connect_with_host(&host).map_err(|error| unreachable(&error))?.with_timeout(TIMEOUT);
        let api = api.negotiate_version().await.map_err(|error| unreachable(&said(&error)))?;
        Ok(Self { api, images: tokio::sync::OnceCell::new() })
    }

    /// All its images; asked once.
    ///
    /// # Errors
    /// When the engine can't tell.
    pub async fn images(&self) -> Result<&Images> {
        self.images.get_or_try_init(|| self.list()).await
    }

    /// All its images now.
    ///
    /// # Errors
    /// When the engine can't tell.
    pub async fn list(&self) -> Result<Images> {
        let options = ListImagesOptionsBuilder::default().digests(true).build();
        let list = self.api.list_images(Some(options)).await.or_fault(|| "can't list the engine's images".into())?;
        Ok(Images(list))
    }
}

impl Images {
    /// The image that has this name with tag.
    #[must_use]
    pub fn tagged(&self, reference: &str) -> Option<&ImageSummary> {
        self.0.iter().find(|image| image.repo_tags.iter().any(|tag| tag == reference))
    }

    /// The image with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&ImageSummary> {
        self.0.iter().find(|image| image.id == id)
    }
}

/// The fingerprint that an image was labelled with.
#[must_use]
pub fn fingerprint(image: &ImageSummary) -> Option<&str> {
    image.labels.get(FINGERPRINT_KEY).map(String::as_str)
}

/// The digest that the registry of `name` (without tag) knows the image by, once it was pushed there or pulled.
#[must_use]
pub fn registry_digest<'i>(image: &'i ImageSummary, name: &str) -> Option<&'i str> {
    image.repo_digests.iter().find_map(|known| known.strip_prefix(name)?.strip_prefix('@'))
}

/// An engine's error with the cause at the bottom, which says more than the wrappers around it.
pub fn said(error: &bollard::errors::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// Where the engine listens.
fn host(project: &Project<'_>) -> Result<String> {
    if let Some(host) = project.env.get("DOCKER_HOST") {
        return Ok(host.to_owned());
    }
    if let Some(host) = context_host(project)? {
        return Ok(host);
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(project.env.get("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("podman/podman.sock")));
    sockets.push("/run/podman/podman.sock".into());
    let found = sockets.iter().find(|socket| socket.exists()).unwrap_or(&sockets[0]);
    Ok(format!("unix://{}", found.display()))
}

/// Docker's folder of settings.
pub fn config_dir(project: &Project<'_>) -> PathBuf {
    project.env.get("DOCKER_CONFIG").map_or_else(|| project.home.join(".docker"), PathBuf::from)
}

/// The address in docker's current context; `None` for the default one. `contexts/meta/<sha256 of the name>/meta.json`
/// is where the docker program keeps it.
fn context_host(project: &Project<'_>) -> Result<Option<String>> {
    let dir = config_dir(project);
    let read = |path: PathBuf| -> Option<serde_json::Value> { serde_json::from_slice(&std::fs::read(path).ok()?).ok() };
    let name = project
        .env
        .get("DOCKER_CONTEXT")
        .map(str::to_owned)
        .or_else(|| read(dir.join("config.json"))?.get("currentContext")?.as_str().map(str::to_owned));
    let Some(name) = name.filter(|name| !name.is_empty() && name != "default") else { return Ok(None) };
    let id = Sha256::digest(name.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let meta = read(dir.join("contexts/meta").join(id).join("meta.json"));
    let host = meta.as_ref().and_then(|meta| meta.pointer("/Endpoints/docker/Host")).and_then(|host| host.as_str());
    host.map(|host| Some(host.to_owned())).ok_or_else(|| {
        Fault::failed(format!("docker's context `{name}` is not there"))
            .hint("`docker context ls` lists them; `docker context use default` goes back to the default")
    })
}
