//! Container registries by their API alone: manifests and blobs, with docker's logins and certificates.
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError as OciError;
use oci_client::secrets::RegistryAuth;
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, OnceCell};

pub mod login;
mod presence;
pub mod single;
mod trouble;
mod trust;
mod upload;

pub use oci_client::Reference;
pub use presence::is_here;

use crate::error::{Fault, OrFault, Result};
use crate::progress::Progress;
use login::{Login, Logins};
use trust::Trust;

/// Media types of manifests and indexes that are read, the OCI's and docker's own.
const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// How often a call is tried again when the registry fails in a way that may pass.
const RETRIES: usize = 3;
/// How long a registry may say nothing, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A manifest or a configuration is never larger: <https://github.com/opencontainers/distribution-spec> asks for 4 MiB.
const LARGEST: u64 = 4 << 20;
/// How much of a blob is handed over at a time.
const PIECE: usize = 256 << 10;
/// What we call ourselves.
const AGENT: &str = concat!("faas/", env!("CARGO_PKG_VERSION"));

/// How long is waited before each of the tries after the first.
fn waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_factor(3.0)
        .with_max_delay(Duration::from_secs(10))
        .with_max_times(RETRIES)
        .with_jitter()
}

/// How registries are talked to.
pub struct Registries {
    /// The logins that docker and `faas registry-login` keep.
    pub logins: Logins,
    /// Which certificates are trusted, and which registries speak plain HTTP.
    pub trust: Trust,
    /// How long a registry may say nothing.
    pub timeout: Duration,
    remotes: Mutex<HashMap<String, Arc<OnceCell<Arc<Remote>>>>>,
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

/// Whose work it is, and who hears of it.
#[derive(Clone, Copy)]
pub struct Talk<'a> {
    /// The function's name.
    pub subject: &'a str,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

/// One registry, logged in.
pub struct Remote {
    client: oci_client::Client,
    /// For what the client does not do: uploads that go on, and waits as long as the registry says.
    http: reqwest::Client,
    auth: RegistryAuth,
    host: String,
    /// Whether it speaks plain HTTP.
    plain: bool,
    /// Tokens for pushes, by repository; none where the registry wants none.
    tokens: Mutex<HashMap<String, Option<String>>>,
    /// Whether it answers, whatever it says; asked once.
    answers: OnceCell<bool>,
}

impl Registries {
    /// With the folders and the environment of `context`, and the project's folder: `FAAS_REGISTRY_CA` names a file of
    /// certificates to trust besides, `FAAS_REGISTRY_TIMEOUT` says how long a registry may say nothing.
    #[must_use]
    pub fn of(context: &crate::context::Context, root: &Path) -> Self {
        let home = context.dirs.home.clone();
        let docker = crate::build::engine::docker_config(&context.env, &home).join("config.json");
        let timeout = context.env.get("FAAS_REGISTRY_TIMEOUT").and_then(|text| humantime::parse_duration(text).ok());
        Self {
            logins: Logins::of(vec![docker, root.join("credentials/config.json")]),
            trust: Trust {
                home,
                ca: context.env.get("FAAS_REGISTRY_CA").map(|file| context.absolute(Path::new(file))),
            },
            timeout: timeout.unwrap_or(TIMEOUT),
            remotes: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The registry of an image, logged in where there is a login.
    ///
    /// # Errors
    /// When it can't be reached, or its login or certificates can't be read.
    pub async fn remote(&self, image: &Reference, talk: Talk<'_>) -> Result<Arc<Remote>> {
        let host = image.resolve_registry().to_owned();
        let cell = self.remotes.lock().await.entry(host).or_default().clone();
        cell.get_or_try_init(|| async { self.connect(image, talk).await.map(Arc::new) }).await.cloned()
    }

    /// A lock for what only one may do at a time, by name.
    pub async fn turn(&self, what: &str) -> Arc<Mutex<()>> {
        self.turns.lock().await.entry(what.to_owned()).or_default().clone()
    }

    async fn connect(&self, image: &Reference, talk: Talk<'_>) -> Result<Remote> {
        let host = image.resolve_registry().to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let logins = self.logins.clone();
        let server = login::server(image.registry());
        let login = tokio::task::spawn_blocking(move || logins.find(&server))
            .await
            .map_err(|error| Fault::failed(format!("{}: the login was lost", talk.subject)).cause(error))??;
        let auth = match login {
            None => RegistryAuth::Anonymous,
            Some(Login::Basic { user, password }) => RegistryAuth::Basic(user, password.expose_secret().to_owned()),
            Some(Login::Token(_)) => {
                return Err(Fault::unsupported(format!(
                    "{}: the login that is kept for {host} is an identity token, which only an engine can use",
                    talk.subject
                ))
                .hint(format!("log in with a user and password: `docker login {host}`, or push with an engine")));
            }
        };
        let plain = self.trust.is_plain(&host, self.timeout).await;
        let certificates = self.trust.certificates(&host)?;
        let connecting = self.timeout.min(Duration::from_secs(15));
        let what = || format!("can't talk to the registry {host}");
        let mut http =
            reqwest::Client::builder().user_agent(AGENT).read_timeout(self.timeout).connect_timeout(connecting);
        if plain {
            // The system's are not needed, and are many to read.
            http = http.tls_certs_only([]);
        }
        for certificate in &certificates {
            let certificate = reqwest::Certificate::from_pem(&certificate.data).or_fault(what)?;
            http = http.tls_certs_merge([certificate]);
        }
        let http = http.build().or_fault(what)?;
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            use_monolithic_push: true,
            extra_root_certificates: certificates,
            read_timeout: Some(self.timeout),
            connect_timeout: Some(connecting),
            user_agent: AGENT,
            ..ClientConfig::default()
        };
        let client = oci_client::Client::try_from(config).map_err(|error| Fault::failed(what()).cause(error))?;
        if auth != RegistryAuth::Anonymous || !trust::is_local(&host) {
            client.store_auth_if_needed(&host, &auth).await;
        }
        Ok(Remote { client, http, auth, host, plain, tokens: Mutex::default(), answers: OnceCell::new() })
    }
}

impl Remote {
    /// Its address, as `registry.example.com:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a login for it is kept.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.auth != RegistryAuth::Anonymous
    }

    /// Tries `call` until it goes well, fails for good, or failed too often.
    async fn call<T, F>(&self, talk: Talk<'_>, call: impl FnMut() -> F) -> std::result::Result<T, OciError>
    where
        F: Future<Output = std::result::Result<T, OciError>>,
    {
        call.retry(waits()).when(trouble::may_pass).notify(|error, wait| self.tell(talk, error, wait)).await
    }

    fn tell(&self, talk: Talk<'_>, error: &OciError, wait: Duration) {
        let said = trouble::said(error);
        let text = format!("{}: {said}; trying again in {:.1}s", self.host, wait.as_secs_f64());
        talk.progress.warn(talk.subject, &text);
    }

    fn fault(&self, talk: Talk<'_>, what: &str, error: &OciError) -> Fault {
        trouble::fault(format!("{}: {what}", talk.subject), &self.host, self.is_known(), error)
    }

    /// The digest of what a name stands for; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub async fn digest(&self, image: &Reference, talk: Talk<'_>) -> Result<Option<String>> {
        match self.call(talk, || self.client.fetch_manifest_digest(image, &self.auth)).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if trouble::is_missing(&error) => Ok(None),
            Err(error) => Err(self.fault(talk, &format!("can't look for {image}"), &error)),
        }
    }

    /// A manifest or index as it is, and its digest, which was checked.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when it is not there; when the registry does not give it.
    pub async fn manifest(&self, image: &Reference, talk: Talk<'_>) -> Result<(Bytes, String)> {
        self.call(talk, || self.client.pull_manifest_raw(image, &self.auth, MANIFESTS))
            .await
            .map_err(|error| self.fault(talk, &format!("can't get {image}"), &error))
    }

    /// A small blob, its digest checked.
    ///
    /// # Errors
    /// When the registry does not give it, gives another one, or one that is too large to be a configuration.
    pub async fn blob(&self, image: &Reference, digest: &str, talk: Talk<'_>) -> Result<Vec<u8>> {
        let get = || async {
            let stream = self.client.pull_blob_stream(image, digest).await?;
            if stream.content_length.is_some_and(|length| length > LARGEST) {
                return Err(OciError::SpecViolationError(format!("{digest} is too large")));
            }
            let mut bytes = Vec::new();
            let mut pieces = stream.stream;
            while let Some(piece) = pieces.try_next().await? {
                bytes.extend_from_slice(&piece);
                if bytes.len() as u64 > LARGEST {
                    return Err(OciError::SpecViolationError(format!("{digest} is too large")));
                }
            }
            Ok(bytes)
        };
        self.call(talk, get).await.map_err(|error| self.fault(talk, &format!("can't get {digest} of {image}"), &error))
    }

    /// A blob of at most `most` bytes, its digest checked, in a file without a name.
    ///
    /// # Errors
    /// When the registry does not give it, gives another one, or one that is too large.
    pub async fn download(&self, image: &Reference, digest: &str, most: u64, talk: Talk<'_>) -> Result<std::fs::File> {
        use std::io::{Seek, Write};
        let get = || async {
            let stream = self.client.pull_blob_stream(image, digest).await?;
            let too_large = || OciError::SpecViolationError(format!("{digest} is too large"));
            if stream.content_length.is_some_and(|length| length > most) {
                return Err(too_large());
            }
            let mut file = tempfile::tempfile()?;
            let (mut length, mut pieces) = (0, stream.stream);
            while let Some(piece) = pieces.try_next().await? {
                length += piece.len() as u64;
                if length > most {
                    return Err(too_large());
                }
                file.write_all(&piece)?;
            }
            file.rewind()?;
            Ok(file)
        };
        self.call(talk, get).await.map_err(|error| self.fault(talk, &format!("can't get {digest} of {image}"), &error))
    }

    /// Whether the repository of `image` has a blob.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub async fn has_blob(&self, image: &Reference, digest: &str, talk: Talk<'_>) -> Result<bool> {
        self.call(talk, || self.client.blob_exists(image, digest))
            .await
            .map_err(|error| self.fault(talk, &format!("can't push {image}"), &error))
    }

    /// Takes a blob over from another repository of this registry; `false` when the registry won't do that.
    pub async fn mount(&self, image: &Reference, from: &Reference, digest: &str) -> bool {
        match self.client.mount_blob(image, from, digest).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!("{digest} is not taken over from {from}: {error}");
                false
            }
        }
    }

    /// Takes a blob over from another registry, as it comes.
    ///
    /// # Errors
    /// When one does not give it, or the other does not take it.
    pub async fn copy(
        &self,
        image: &Reference,
        from: &Self,
        source: &Reference,
        (digest, size): (&str, u64),
        talk: Talk<'_>,
    ) -> Result<()> {
        let put = || async {
            let stream = from.client.pull_blob_stream(source, digest).await?;
            let pieces = stream.stream.map(|piece| piece.map_err(OciError::IoError));
            self.client.push_blob_stream(image, pieces, digest, Some(size)).await
        };
        let what = || format!("can't copy {digest} from {source} to {image}");
        self.call(talk, put).await.map(|_| ()).map_err(|error| self.fault(talk, &what(), &error))
    }

    /// Puts a manifest or index under the name of `image`.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_manifest(&self, image: &Reference, body: Bytes, kind: &str, talk: Talk<'_>) -> Result<()> {
        let kind = http::HeaderValue::from_str(kind).or_fault(|| format!("`{kind}` is no media type"))?;
        let put = self.put(image, (body, kind), talk).await;
        put.map_err(|error| self.fault(talk, &format!("can't push {image}"), &error))
    }
}

/// An image's name, checked.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when it is none.
pub fn parse(subject: &str, image: &str) -> Result<Reference> {
    Reference::try_from(image).map_err(|error| {
        let fault = Fault::usage(format!("{subject}: `{image}` is no name for an image"));
        let (name, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((image, ""));
        if name.chars().any(char::is_uppercase) {
            let lower = name.to_lowercase();
            return match Reference::try_from(lower.as_str()) {
                Ok(_) => fault.hint(format!("names are in lower case: {lower}")),
                Err(error) => fault.cause(error).hint("names are in lower case"),
            };
        }
        if tag.len() > 128 || tag.starts_with(['-', '.']) {
            return fault
                .hint("a tag has up to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two");
        }
        fault.cause(error)
    })
}

/// The name of what a digest stands for in the repository of `image`.
#[must_use]
pub fn by_digest(image: &Reference, digest: &str) -> Reference {
    // As a tag, which makes the same address; the client looks for one there.
    Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), digest.to_owned())
}
