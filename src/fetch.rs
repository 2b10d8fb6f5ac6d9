//! Small documents by http and https, or from a file: bounded in size and time, no page taken for data, and a copy kept
//! for when the network is away.
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header;
use url::Url;

use crate::error::{Fault, Kind, OrFault, Result};

/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// What to get.
pub struct Request<'a> {
    /// The address, as it was given.
    pub url: &'a str,
    /// What it is to be, as `a stack file`.
    pub what: &'static str,
    /// The most bytes that are taken.
    pub most: usize,
    /// How long it may take in all.
    pub timeout: Duration,
    /// What is there already: nothing is sent when it is the same.
    pub etag: Option<&'a str>,
}

/// What came.
pub struct Document {
    /// The address without a password in it.
    pub name: String,
    /// The bytes; `None` when they are those of the request's etag.
    pub bytes: Option<Vec<u8>>,
    /// What names this state of it.
    pub etag: Option<String>,
}

/// The URL without user and password, for messages.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("").and_then(|()| shown.set_password(None));
    shown.to_string()
}

/// Gets a document.
///
/// # Errors
/// No URL of http or https; no answer, another than 200, or one that is too large.
pub async fn get(request: Request<'_>) -> Result<Document> {
    let text = request.url;
    let mut url = Url::parse(text).map_err(|e| Fault::usage(format!("`{text}` is no URL")).cause(e))?;
    let name = shown(&url);
    let failed = |error: &dyn std::error::Error| {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            cause = inner.to_string();
            source = inner.source();
        }
        Fault::failed(format!("can't fetch {name}")).cause(cause).hint("look at the URL and the network")
    };
    for _ in 0..REDIRECTS {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Fault::usage(format!("can't fetch {name}: only http and https URLs are fetched")));
        }
        let client = client(url.scheme() == "https", request.timeout).map_err(|e| failed(&e))?;
        let mut sent = client.get(url.clone());
        if let Some(etag) = request.etag {
            sent = sent.header(header::IF_NONE_MATCH, etag);
        }
        let mut response = sent.send().await.map_err(|e| match e.is_timeout() {
            true => Fault::timed_out(format!("{name} didn't answer")),
            false => failed(&e.without_url()),
        })?;
        let status = response.status();
        if status == http::StatusCode::NOT_MODIFIED && request.etag.is_some() {
            return Ok(Document { name, bytes: None, etag: request.etag.map(Into::into) });
        }
        if status.is_redirection() {
            let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
            let next = location.and_then(|l| url.join(l).ok());
            url = next
                .ok_or_else(|| Fault::failed(format!("can't fetch {name}: it answers {status} and leads nowhere")))?;
            continue;
        }
        if !status.is_success() {
            let kind = match status.as_u16() {
                401 | 403 => Kind::Unauthorized,
                404 | 410 => Kind::NotFound,
                _ => Kind::Failed,
            };
            return Err(Fault::new(kind, format!("can't fetch {name}")).cause(format!("it answers {status}")));
        }
        let etag = response.headers().get(header::ETAG).and_then(|e| e.to_str().ok()).map(str::to_owned);
        if response.content_length().is_some_and(|length| length > request.most as u64) {
            return Err(too_large(&name, &request));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e.without_url()))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > request.most {
                return Err(too_large(&name, &request));
            }
        }
        return Ok(Document { name, bytes: Some(bytes), etag });
    }
    Err(Fault::failed(format!("can't fetch {name}: it redirects again and again")))
}

/// Where an address redirects to.
///
/// # Errors
/// When nobody answers, or with something else than a redirect.
pub async fn redirected(text: &str) -> Result<String> {
    let url = Url::parse(text).map_err(|e| Fault::usage(format!("`{text}` is no URL")).cause(e))?;
    let name = shown(&url);
    let failed = |cause: String| Fault::failed(format!("can't fetch {name}")).cause(cause);
    let client = client(url.scheme() == "https", Duration::from_secs(10)).map_err(|e| failed(e.to_string()))?;
    let answer = client.head(url).send().await.map_err(|e| failed(e.without_url().to_string()))?;
    let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let status = answer.status();
    location
        .filter(|_| status.is_redirection())
        .map(str::to_owned)
        .ok_or_else(|| failed(format!("it answers {status}")))
}

fn too_large(name: &str, wanted: &Request<'_>) -> Fault {
    Fault::usage(format!("{name} is too big for {}: more than {} MiB", wanted.what, wanted.most >> 20))
        .hint("is it the file you meant?")
}

/// A client that follows no redirects. Without TLS the system's certificates, 40 ms of them, aren't loaded.
fn client(tls: bool, timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10).min(timeout))
        .timeout(timeout);
    if tls { builder.build() } else { builder.tls_certs_only([]).build() }
}

/// Catalogues: a list of functions or templates in JSON, at a URL or in a file, and the folder for copies of them.
pub struct Catalogues<'a> {
    /// What relative file names start from.
    pub cwd: &'a Path,
    /// Where copies are kept.
    pub cache: PathBuf,
}

/// A catalogue's text.
pub struct Catalogue {
    /// Its address, for messages.
    pub name: String,
    /// Its text.
    pub bytes: Vec<u8>,
    /// Why this is the copy that was kept; `None` when it is what is there now.
    pub stale: Option<String>,
}

/// No catalogue is larger.
const LARGEST: usize = 16 << 20;

impl Catalogues<'_> {
    /// The catalogue at `address`: a URL, or the path of a file. A URL that can't be reached gives the copy of last time.
    ///
    /// # Errors
    /// When there is nothing, neither now nor of last time.
    pub async fn read(&self, address: &str) -> Result<Catalogue> {
        let address = address.trim().trim_end_matches('/');
        if !address.contains("://") || address.starts_with("file://") {
            return self.file(address.strip_prefix("file://").unwrap_or(address));
        }
        let digest = blake3::hash(address.as_bytes()).to_hex();
        let kept = self.cache.join("catalogues").join(&digest.as_str()[..32]);
        let (body, tag) = (kept.with_extension("json"), kept.with_extension("etag"));
        let have = body.is_file();
        let etag = std::fs::read_to_string(&tag).ok().filter(|_| have);
        let request = Request { etag: etag.as_deref(), ..catalogue(address) };
        let copy = |name: &str| std::fs::read(&body).or_fault(|| format!("can't read the copy of {name}"));
        match get(request).await {
            Ok(Document { name, bytes: Some(bytes), etag }) => {
                if looks_like_html(&bytes) {
                    return Err(Fault::failed(format!("{name} is a web page, no catalogue in JSON"))
                        .hint("give the address of the file itself, as raw.githubusercontent.com has it"));
                }
                // That no copy can be kept is felt when the network is away, and no earlier.
                if std::fs::create_dir_all(self.cache.join("catalogues")).is_ok() {
                    let _ = replace(&body, &bytes);
                    let _ = match &etag {
                        Some(etag) => replace(&tag, etag.as_bytes()),
                        None => std::fs::remove_file(&tag),
                    };
                }
                Ok(Catalogue { name, bytes, stale: None })
            }
            Ok(Document { name, bytes: None, .. }) => Ok(Catalogue { bytes: copy(&name)?, name, stale: None }),
            Err(fault) if have && fault.kind != Kind::Usage => {
                let name = Url::parse(address).map_or_else(|_| address.to_owned(), |url| shown(&url));
                Ok(Catalogue { bytes: copy(&name)?, name, stale: Some(fault.to_string()) })
            }
            Err(fault) => Err(fault),
        }
    }

    fn file(&self, path: &str) -> Result<Catalogue> {
        use std::io::Read;
        let file = std::fs::File::open(self.cwd.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no catalogue {path}"))
                .hint("give a URL that starts with http:// or https://, or the path of a file"),
            _ => Fault::failed(format!("can't read {path}")).cause(error),
        })?;
        let mut bytes = Vec::new();
        file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).or_fault(|| format!("can't read {path}"))?;
        if bytes.len() > LARGEST {
            return Err(too_large(path, &catalogue(path)));
        }
        Ok(Catalogue { name: path.to_owned(), bytes, stale: None })
    }
}

fn catalogue(url: &str) -> Request<'_> {
    Request { url, what: "a catalogue", most: LARGEST, timeout: Duration::from_secs(10), etag: None }
}

fn looks_like_html(bytes: &[u8]) -> bool {
    bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<')
}

/// Writes a file whole, or leaves what is there.
///
/// # Errors
/// When its folder can't be written to.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".faas-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
