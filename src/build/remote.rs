//! Images by OpenFaaS's builder (the Function Builder API): the context is sent in a signed request, the image pushed there.
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http::header;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::AsyncBufReadExt;
use tokio_util::io::{ReaderStream, StreamReader};
use url::Url;

use super::archive::{IGNORE, TIME};
use super::ignore::Ignore;
use super::mask::Mask;
use super::tree::Tree;
use super::{Built, Options, Project, Secret, bundle, folder, image, tag};
use crate::artifact::Artifact;
use crate::error::{Fault, Kind, OrFault, Result};
use crate::function::Function;
use crate::output::printable;
use crate::progress::Progress;
use crate::seal;

/// The name of the file in the request that says what to build.
const CONFIG: &str = "com.openfaas.docker.config";
/// The most of an answer that is no build that is shown.
const SHOWN: usize = 500;
/// The most of an answer that is read where it should be short, in bytes.
const SHORT: usize = 64 << 10;
/// The longest line of a build's answer, in bytes.
const LINE: u64 = 4 << 20;

/// A builder, and what it wants to see.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its address; of the path nothing is used.
    pub url: Url,
    /// What requests are signed with.
    pub payload_secret: SecretString,
    /// What build secrets are sealed with; asked for when there is none.
    pub public_key: Option<String>,
}

#[derive(Serialize)]
struct Config<'a> {
    image: &'a str,
    #[serde(rename = "buildArgs", skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    args: &'a std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    platforms: &'a [String],
}

/// A line of the builder's answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    log: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct PublicKey {
    #[serde(default)]
    algorithm: String,
    #[serde(default)]
    public_key: String,
}

impl Remote {
    /// A builder by its address, the file of its payload secret, and perhaps its public key: the key itself, or the text
    /// of a file with the key or with the builder's own JSON.
    ///
    /// # Errors
    /// When the address is none, or the key is none.
    pub fn new(address: &str, payload_secret: &str, public_key: Option<&str>) -> Result<Self> {
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| {
            Fault::usage(format!("`{address}` is no address of a builder")).hint("as http://127.0.0.1:8081")
        })?;
        let payload_secret = SecretString::from(payload_secret.trim().to_owned());
        Ok(Self { url, payload_secret, public_key: public_key.map(key).transpose()? })
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(None);
        url
    }
}

/// The key in a text: the text itself, or of `{"public_key": …}`.
fn key(text: &str) -> Result<String> {
    let text = text.trim();
    let key = if text.starts_with('{') {
        let parsed: PublicKey = serde_json::from_str(text)
            .map_err(|error| Fault::usage("the builder's public key is no JSON that can be read").cause(error))?;
        if !matches!(parsed.algorithm.as_str(), "" | "nacl/box") {
            return Err(Fault::unsupported(format!("unsupported build secrets algorithm: {}", parsed.algorithm)));
        }
        parsed.public_key
    } else {
        text.to_owned()
    };
    seal::key_id(&key)?;
    Ok(key)
}

/// Builds and pushes the image of `function`.
pub(super) async fn build(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    remote: &Remote,
    progress: &dyn Progress,
) -> Result<Built> {
    let name = &function.name;
    let started = Instant::now();
    let reference = tag::reference(function, options.tag, project.root)?;
    crate::registry::parse(name, &reference)?;
    folder::lock_async(project, name, progress).await?;
    let (context, tree) = folder::prepare(function, project, options, progress)?;
    let args = image::arguments(function, &tree, options)?;
    let client = client(remote).or_fault(|| "can't make an HTTP client".into())?;
    let (sealed, mask) = sealed(function, options, remote, &client).await?;
    let config = Config { image: &reference, args: &args, platforms: &function.build.platforms };
    let config = serde_json::to_vec(&config).or_fault(|| format!("{name}: can't write what to build"))?;
    progress.step(name, "sending the context");
    let (body, length, signature) = request(&context.dir, &tree, &config, sealed.as_deref(), remote)?;
    progress.step(name, "building");
    let sent = client
        .post(remote.at("/build"))
        .header("X-Build-Signature", format!("sha256={signature}"))
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT, "application/x-ndjson")
        .header(header::CONTENT_LENGTH, length)
        .body(reqwest::Body::wrap_stream(ReaderStream::new(tokio::fs::File::from_std(body))))
        .send()
        .await;
    let answer = sent.map_err(|error| unreachable(remote, error))?;
    if !matches!(answer.status().as_u16(), 200 | 202) {
        return Err(refused(name, answer).await);
    }
    follow(name, &reference, answer, &mask, progress).await?;
    let artifact = Artifact::Image { reference, digest: None };
    Ok(Built {
        artifact,
        rebuilt: true,
        reason: format!("built and pushed by the builder in {}", bundle::said(started.elapsed())),
    })
}

fn client(remote: &Remote) -> reqwest::Result<reqwest::Client> {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10));
    if remote.url.scheme() == "https" { builder.build() } else { builder.tls_certs_only([]).build() }
}

/// The function's build secrets, sealed for the builder; `None` when it has none.
async fn sealed(
    function: &Function,
    options: &Options,
    remote: &Remote,
    client: &reqwest::Client,
) -> Result<(Option<String>, Mask)> {
    let name = &function.name;
    let own = function.build.secrets.iter().map(|(id, path)| (id.clone(), Secret::File(path.clone())));
    let mut values = std::collections::BTreeMap::new();
    for (id, secret) in own.chain(options.secrets.clone()) {
        let value = match secret {
            Secret::Value(value) => Zeroizing::new(value.expose_secret().to_vec()),
            Secret::File(path) => {
                let cant = || format!("{name}: can't read the build secret {id} in {}", path.display());
                Zeroizing::new(std::fs::read(&path).or_fault(cant)?)
            }
        };
        values.insert(id, value);
    }
    let mask = Mask::of(values.values().map(|value| value.as_slice()));
    if values.is_empty() {
        return Ok((None, mask));
    }
    let public = match &remote.public_key {
        Some(key) => key.clone(),
        None => {
            let answer = client.get(remote.at("/publickey")).timeout(Duration::from_secs(30)).send().await;
            let answer = answer.map_err(|error| unreachable(remote, error))?;
            if answer.status() != http::StatusCode::OK {
                return Err(refused(name, answer).await.hint("name its public key by --builder-public-key"));
            }
            let text = start(answer, SHORT).await?;
            if !text.trim_start().starts_with('{') {
                return Err(Fault::failed("the builder's public key is no JSON").hint("is that the builder's address?"));
            }
            key(&text)?
        }
    };
    Ok((Some(seal::seal(&public, &values)?), mask))
}

/// The request's body, in a file without a name, its length and its signature.
fn request(
    context: &Path,
    tree: &Tree,
    config: &[u8],
    sealed: Option<&str>,
    remote: &Remote,
) -> Result<(std::fs::File, u64, String)> {
    let cant = || "can't write the request for the builder".to_owned();
    let file = tempfile::tempfile().or_fault(cant)?;
    let secret = remote.payload_secret.expose_secret();
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).or_fault(cant)?;
    let mut archive = tar::Builder::new(Signed { file: std::io::BufWriter::new(file), mac, length: 0 });
    let ignored = Ignore::read(&context.join(IGNORE), IGNORE)?;
    let needed = |path: &Path| path == Path::new("Dockerfile") || path == Path::new(IGNORE);
    for one in tree.files.iter().filter(|file| needed(&file.path) || !ignored.covers(&file.path)) {
        let from = context.join(&one.path);
        let mut file = std::fs::File::open(&from).or_fault(|| format!("can't read {}", from.display()))?;
        let length = file.metadata().or_fault(cant)?.len();
        let mut header = header(length, if one.executable() { 0o755 } else { 0o644 });
        archive.append_data(&mut header, Path::new("context").join(&one.path), &mut file).or_fault(cant)?;
    }
    let mut add = |name: &str, bytes: &[u8], mode: u32| {
        archive.append_data(&mut header(bytes.len() as u64, mode), name, bytes).or_fault(cant)
    };
    add(CONFIG, config, 0o664)?;
    if let Some(sealed) = sealed {
        add(seal::FILE, sealed.as_bytes(), 0o600)?;
    }
    let signed = archive.into_inner().or_fault(cant)?;
    let signature = signed.mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = signed.file.into_inner().or_fault(cant)?;
    file.rewind().or_fault(cant)?;
    Ok((file, signed.length, signature))
}

fn header(length: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(mode);
    header.set_mtime(TIME);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

/// A file, and the signature of what is written to it.
struct Signed {
    file: std::io::BufWriter<std::fs::File>,
    mac: Hmac<Sha256>,
    length: u64,
}

impl Write for Signed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.mac.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Reads what the builder tells until it says how the build ended.
async fn follow(
    name: &str,
    reference: &str,
    answer: reqwest::Response,
    mask: &Mask,
    progress: &dyn Progress,
) -> Result<()> {
    use tokio::io::AsyncReadExt;
    let mut reader = StreamReader::new(answer.bytes_stream().map_err(std::io::Error::other));
    let cut = || format!("{name}: the builder's answer ended before the build did");
    loop {
        let mut bytes = Vec::new();
        (&mut reader).take(LINE).read_until(b'\n', &mut bytes).await.or_fault(cut)?;
        if bytes.is_empty() {
            return Err(Fault::failed(cut()).hint("look at the builder's own log, and whether a proxy limits the time"));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::failed(format!("{name}: the builder answers what can't be read")).cause(error))?;
        for text in line.log.iter().flatten() {
            progress.line(name, &mask.cover(&printable(text)));
        }
        match line.status.as_str() {
            "success" => {
                if !line.image.is_empty() && line.image != reference {
                    progress.line(name, &format!("the builder calls it {}", printable(&line.image)));
                }
                return Ok(());
            }
            "failed" => {
                let why = mask.cover(&printable(&line.error)).into_owned();
                return Err(Fault::failed(format!("{name}: the builder could not build or push {reference}"))
                    .cause(if why.is_empty() { "it does not say why".into() } else { why }));
            }
            _ => {}
        }
    }
}

fn unreachable(remote: &Remote, error: reqwest::Error) -> Fault {
    let cause = super::engine::chain(&error.without_url());
    Fault::failed(format!("can't reach the builder at {}", crate::fetch::shown(&remote.at("/"))))
        .cause(cause)
        .hint("look at --remote-builder and whether it runs there")
}

async fn refused(name: &str, answer: reqwest::Response) -> Fault {
    let status = answer.status();
    let text = start(answer, SHOWN).await.unwrap_or_default();
    let kind = if matches!(status.as_u16(), 401 | 403) { Kind::Unauthorized } else { Kind::Failed };
    let text = printable(text.trim());
    let cause = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
    let fault = Fault::new(kind, format!("{name}: the builder refused the request")).cause(cause);
    match kind {
        Kind::Unauthorized => fault.hint("the payload secret must be the builder's own: look at --payload-secret"),
        _ => fault,
    }
}

/// The beginning of a text.
async fn start(mut answer: reqwest::Response, most: usize) -> Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < most {
        match answer.chunk().await.or_fault(|| "can't read the builder's answer".into())? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    bytes.truncate(most);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
