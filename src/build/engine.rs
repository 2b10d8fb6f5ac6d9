//! The container engine: where it listens, what it is, and what images it has.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::ListImagesOptionsBuilder;
use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::OnceCell;

use super::Project;
use super::buildkit::BuildKit;
use crate::error::{Code, Fault, OrFault, Result};

pub mod dial;
mod host;

use dial::{Address, Dialer};
pub use host::{config_dir, docker_config};

/// Image label: the fingerprint of everything that went in.
pub const FINGERPRINT_KEY: &str = "faas.dev/fingerprint";
/// A step of a build may be silent for long.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// The API of Docker 20.10, the oldest that is supported.
const OLDEST: (usize, usize) = (1, 41);
/// The API of Docker 23.0, whose BuildKit knows Dockerfiles 1.4.
const WITH_DOCKERFILE_1_4: (usize, usize) = (1, 42);

/// A container engine that answers.
pub struct Engine {
    /// Its API.
    pub api: Docker,
    /// Where it listens.
    pub address: Address,
    /// What it calls itself: `Docker/20.10.24 (linux)`, `Libpod/4.3.1 (linux)`.
    pub server: String,
    /// The newest API that it has.
    version: (usize, usize),
    linux: bool,
    images: Mutex<HashMap<String, Arc<OnceCell<Option<Image>>>>>,
    list: OnceCell<Vec<Image>>,
    buildkit: OnceCell<Option<BuildKit>>,
}

/// An image of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its names with tags.
    tags: Vec<String>,
    /// Its names with the digests that registries know it by.
    digests: Vec<String>,
    labels: HashMap<String, String>,
    /// What it is for, as `linux/amd64`; empty where that was not told.
    pub platform: String,
}

impl From<ImageSummary> for Image {
    fn from(image: ImageSummary) -> Self {
        Self {
            id: image.id,
            tags: image.repo_tags,
            digests: image.repo_digests,
            labels: image.labels,
            platform: String::new(),
        }
    }
}

impl From<ImageInspect> for Image {
    fn from(image: ImageInspect) -> Self {
        let platform = image.os.zip(image.architecture).map(|(os, processor)| format!("{os}/{processor}"));
        Self {
            platform: platform.unwrap_or_default(),
            id: image.id.unwrap_or_default(),
            tags: image.repo_tags.unwrap_or_default(),
            digests: image.repo_digests.unwrap_or_default(),
            labels: image.config.and_then(|config| config.labels).unwrap_or_default(),
        }
    }
}

impl Engine {
    /// Finds it by `DOCKER_HOST`, docker's context, or the usual sockets, and agrees on a version of the API.
    ///
    /// # Errors
    /// When none answers: where it was looked for and what to do; when it is too old.
    pub async fn connect(project: &Project<'_>) -> Result<Self> {
        let address = host::find(project)?;
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(Dialer(address.clone()));
        let ping = http::Request::get("http://docker/_ping").body(Empty::new()).or_fault(|| "can't ask".into())?;
        let wait = tokio::time::timeout(Duration::from_secs(60), client.request(ping)).await;
        let answer = wait
            .map_err(|_| unreachable(&address, project, "no answer within 60 s"))?
            .map_err(|error| unreachable(&address, project, &chain(&error)))?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(version) = header("api-version")
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        else {
            let cause = format!("it answered {} and told no version of its API", answer.status());
            return Err(unreachable(&address, project, &cause));
        };
        let server = header("server").to_owned();
        let linux = matches!(header("ostype"), "linux" | "");
        if version < OLDEST && !is_podman(&server) {
            return Err(Fault::failed(format!("the container engine at {} is too old", address.shown))
                .cause(format!("{server} has version {}.{} of the API, faas needs 1.41", version.0, version.1))
                .hint("use Docker 20.10 or newer, or Podman"));
        }
        let agreed =
            version.min((bollard::API_DEFAULT_VERSION.major_version, bollard::API_DEFAULT_VERSION.minor_version));
        let api = api(&address, agreed).or_fault(|| format!("can't talk to {}", address.shown))?;
        Ok(Self {
            api,
            address,
            server,
            version,
            linux,
            images: Mutex::default(),
            list: OnceCell::new(),
            buildkit: OnceCell::new(),
        })
    }

    /// Its image of this name with tag, or of this id; asked once. Engines with hundreds of images take long to list
    /// them.
    ///
    /// # Errors
    /// When the engine can't tell.
    pub async fn image(&self, name: &str) -> Result<Option<Image>> {
        if self.is_podman() {
            return Ok(named(self.list.get_or_try_init(|| self.list()).await?, name));
        }
        let cell = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(images.entry(name.to_owned()).or_default())
        };
        cell.get_or_try_init(|| self.image_now(name)).await.cloned()
    }

    /// The same, now.
    ///
    /// # Errors
    /// When the engine can't tell.
    pub async fn image_now(&self, name: &str) -> Result<Option<Image>> {
        if self.is_podman() {
            // It takes short names for other images than docker does.
            return Ok(named(&self.list().await?, name));
        }
        use bollard::errors::Error;
        match self.api.inspect_image(name).await {
            Ok(image) => Ok(Some(image.into())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(Fault::failed(format!("can't ask the engine for the image {name}")).cause(said(&error))),
        }
    }

    async fn list(&self) -> Result<Vec<Image>> {
        // Podman always tells digests; asked for them, version 4 answers with nothing at all.
        let options = ListImagesOptionsBuilder::default().digests(!self.is_podman()).build();
        let list = self.api.list_images(Some(options)).await;
        let list = list.map_err(|error| Fault::failed("can't list the engine's images").cause(said(&error)))?;
        Ok(list.into_iter().map(Image::from).collect())
    }

    /// Whether it is Podman, whose builder does what BuildKit does but speaks the classic API.
    #[must_use]
    pub fn is_podman(&self) -> bool {
        is_podman(&self.server)
    }

    /// Whether its BuildKit, if it has any, knows version 1.4 of Dockerfiles by itself.
    #[must_use]
    pub fn knows_dockerfile_1_4(&self) -> bool {
        self.version >= WITH_DOCKERFILE_1_4
    }

    /// Whether its images are containerd's, as those of current ones can be: only then its BuildKit exports caches.
    pub async fn has_containerd_images(&self) -> bool {
        let told = self.api.info().await.ok().and_then(|info| info.driver_status).unwrap_or_default();
        told.iter().flatten().any(|word| word.starts_with("io.containerd.snapshotter"))
    }

    /// What the image of this id is for, as `linux/amd64`; empty when it does not tell.
    pub async fn platform_of(&self, id: &str) -> String {
        self.api.inspect_image(id).await.map(|image| Image::from(image).platform).unwrap_or_default()
    }

    /// Its BuildKit, where it has one: asked once.
    pub async fn buildkit(&self) -> Option<&BuildKit> {
        let connect = async || {
            if self.is_podman() || !self.linux {
                return None;
            }
            BuildKit::in_engine(&self.address)
                .await
                .inspect_err(|error| tracing::debug!("{} has no BuildKit: {error}", self.address.shown))
                .ok()
        };
        self.buildkit.get_or_init(connect).await.as_ref()
    }
}

fn is_podman(server: &str) -> bool {
    server.starts_with("Libpod")
}

fn api(address: &Address, (major_version, minor_version): (usize, usize)) -> Result<Docker, bollard::errors::Error> {
    let client = Client::builder(TokioExecutor::new()).build(Dialer(address.clone()));
    let transport = move |request: BollardRequest| {
        let response = client.request(request);
        async move { response.await.map_err(bollard::errors::Error::from) }
    };
    let version = ClientVersion { major_version, minor_version };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), TIMEOUT.as_secs(), &version)
}

fn unreachable(address: &Address, project: &Project<'_>, text: &str) -> Fault {
    let text = address.said().unwrap_or_else(|| text.to_owned());
    let lower = text.to_lowercase();
    let hint = if lower.contains("permission denied") && !address.is_remote() {
        "your user may not use it: join the group `docker`, or point DOCKER_HOST at an engine of your own"
    } else if lower.contains("malformed") || lower.contains("client sent an http request to an https server") {
        "it speaks TLS: set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of its certificates"
    } else {
        "start Docker or Podman, or point DOCKER_HOST at one; provider local runs functions without any"
    };
    let looked = match project.env.get("DOCKER_HOST") {
        None if !address.is_remote() => {
            let sockets: Vec<_> = host::sockets(project).iter().map(|path| path.display().to_string()).collect();
            format!("{text} (looked for it at {})", sockets.join(", "))
        }
        _ => text,
    };
    Fault::failed(format!("no container engine answers at {}", address.shown))
        .code(Code::ENGINE_MISSING)
        .cause(looked)
        .hint(hint)
}

/// The one of `images` that has this name with tag, or this id.
fn named(images: &[Image], name: &str) -> Option<Image> {
    let is_it = |tag: &String| tag == name || super::image::short(tag) == name;
    images.iter().find(|image| image.id == name || image.tags.iter().any(is_it)).cloned()
}

impl Image {
    /// The fingerprint that it was labelled with.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.labels.get(FINGERPRINT_KEY).map(String::as_str)
    }

    /// The digest that the registry of `name` (without tag) knows it by, once it was pushed there or pulled.
    #[must_use]
    pub fn registry_digest(&self, name: &str) -> Option<&str> {
        self.digests.iter().find_map(|known| known.strip_prefix(name)?.strip_prefix('@'))
    }
}

/// An engine's error with the cause at the bottom, which says more than the wrappers around it.
pub fn said(error: &bollard::errors::Error) -> String {
    chain(error)
}

/// An error and its causes, those left out that the text has already.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
