//! Blobs to a registry, piece by piece: what was cut goes on where it was, and what is told to wait waits.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::BackoffBuilder;
use futures_util::StreamExt;
use oci_client::errors::OciDistributionError as OciError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use url::Url;

use super::{PIECE, Remote, Talk, trouble, waits};
use crate::error::Result;
use crate::wire::retry_after;

/// How much goes in one request. What arrived of a piece that was cut may be lost; a blob up to this size is one request.
const PART: u64 = 16 << 20;
/// How long a registry may ask to wait before that is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// What went wrong, and how long to wait before the next try, where the registry says it.
pub(super) struct Trouble {
    pub error: OciError,
    after: Option<Duration>,
}

impl From<OciError> for Trouble {
    fn from(error: OciError) -> Self {
        Self { error, after: None }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        OciError::RequestError(error).into()
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        OciError::IoError(error).into()
    }
}

/// An upload that was begun.
struct Session {
    /// Where it goes on.
    location: Url,
    /// How much the registry has.
    has: u64,
}

/// A blob that is sent.
struct Blob<'a> {
    image: &'a Reference,
    path: &'a Path,
    size: u64,
    digest: &'a str,
    sent: Arc<AtomicU64>,
}

impl Remote {
    /// Sends a file of so many bytes as a blob; `sent` hears how many went so far.
    ///
    /// # Errors
    /// When the file can't be read, or the registry does not take it.
    pub async fn upload(
        &self,
        image: &Reference,
        (path, size): (&Path, u64),
        digest: &str,
        talk: Talk<'_>,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let blob = Blob { image, path, size, digest, sent: Arc::default() };
        let work = self.persist(&blob, talk);
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => sent(blob.sent.load(Ordering::Relaxed)),
            }
        };
        done.map_err(|error| self.fault(talk, &format!("can't push {image}"), &error))?;
        sent(size);
        Ok(())
    }

    /// Tries until the blob is there, fails for good, or got no further too often.
    async fn persist(&self, blob: &Blob<'_>, talk: Talk<'_>) -> std::result::Result<(), OciError> {
        let (mut session, mut part) = (None, PART);
        let mut backoff = waits().build();
        loop {
            let before = session.as_ref().map_or(0, |session: &Session| session.has);
            let Err(Trouble { error, after }) = self.send(blob, &mut session, part).await else { return Ok(()) };
            let has = session.as_ref().map_or(0, |session| session.has);
            if has > before {
                backoff = waits().build();
            }
            if !trouble::may_pass(&error) {
                // Some registries take a blob in one piece only.
                if part < blob.size && trouble::is_about_pieces(&error) {
                    (session, part) = (None, blob.size);
                    continue;
                }
                return Err(error);
            }
            let Some(wait) = next_wait(&mut backoff, after) else { return Err(error) };
            self.tell(talk, &error, wait);
            tokio::time::sleep(wait).await;
            session = match session {
                Some(begun) => self.resumed(blob, begun).await,
                None => None,
            };
            // The answer to the last request may be what was lost.
            let there = session.is_none() && self.client.blob_exists(blob.image, blob.digest).await.unwrap_or(false);
            if there {
                return Ok(());
            }
            let has = session.as_ref().map_or(0, |session| session.has);
            if has > 0 {
                let text = format!("{}: going on after {has} of {} bytes", self.host, blob.size);
                talk.progress.note(talk.subject, &text);
            }
        }
    }

    /// Sends what the registry has not, from where the session is.
    async fn send(&self, blob: &Blob<'_>, session: &mut Option<Session>, part: u64) -> Result<(), Trouble> {
        if session.is_none() {
            let address = self.url(blob.image, "blobs/uploads/")?;
            let begin =
                |client: &reqwest::Client| client.request(Method::POST, address.clone()).header(CONTENT_LENGTH, 0);
            let answer = self.ask(blob.image, &address, begin, StatusCode::ACCEPTED).await?;
            *session = Some(Session { location: location(&answer, &address)?, has: 0 });
        }
        let Some(session) = session.as_mut() else { return Ok(()) };
        blob.sent.store(session.has, Ordering::Relaxed);
        while session.has < blob.size && !(session.has == 0 && blob.size <= part) {
            let end = blob.size.min(session.has + part);
            let body = blob.body(session.has, end).await?;
            let range = format!("{}-{}", session.has, end - 1);
            let put = |client: &reqwest::Client| {
                client.request(Method::PATCH, session.location.clone()).header(CONTENT_RANGE, &range)
            };
            let answer = self.once(blob.image, &session.location, put, (body, end - session.has)).await?;
            let answer = expect(answer, StatusCode::ACCEPTED).await?;
            session.location = location(&answer, &session.location)?;
            session.has = received(answer.headers()).unwrap_or(end).min(blob.size);
        }
        let mut address = session.location.clone();
        address.query_pairs_mut().append_pair("digest", blob.digest);
        let put = |client: &reqwest::Client| client.request(Method::PUT, address.clone());
        let body = blob.body(session.has, blob.size).await?;
        let answer = self.once(blob.image, &address, put, (body, blob.size - session.has)).await?;
        expect(answer, StatusCode::CREATED).await.map(drop)
    }

    /// Where an upload goes on that was cut, by what the registry says it has; `None` when it begins anew.
    async fn resumed(&self, blob: &Blob<'_>, session: Session) -> Option<Session> {
        let look = |client: &reqwest::Client| client.request(Method::GET, session.location.clone());
        let answer = self.ask(blob.image, &session.location, look, StatusCode::NO_CONTENT).await;
        let answer =
            answer.inspect_err(|trouble| tracing::debug!("begun anew: {}", trouble::said(&trouble.error))).ok()?;
        let has = received(answer.headers()).filter(|has| *has <= blob.size)?;
        Some(Session { location: location(&answer, &session.location).ok()?, has })
    }

    /// Puts a manifest or index, tried again as blobs are.
    pub(super) async fn put(
        &self,
        image: &Reference,
        (body, kind): (bytes::Bytes, HeaderValue),
        talk: Talk<'_>,
    ) -> std::result::Result<(), OciError> {
        let name = image.tag().or(image.digest()).unwrap_or("latest");
        let address = self.url(image, &format!("manifests/{name}")).map_err(|trouble| trouble.error)?;
        let put = |client: &reqwest::Client| {
            client.request(Method::PUT, address.clone()).header(CONTENT_TYPE, kind.clone()).body(body.clone())
        };
        let mut backoff = waits().build();
        loop {
            let Err(Trouble { error, after }) = self.ask(image, &address, put, StatusCode::CREATED).await else {
                return Ok(());
            };
            let wait = if trouble::may_pass(&error) { next_wait(&mut backoff, after) } else { None };
            let Some(wait) = wait else { return Err(error) };
            self.tell(talk, &error, wait);
            tokio::time::sleep(wait).await;
        }
    }

    fn url(&self, image: &Reference, rest: &str) -> Result<Url, Trouble> {
        let scheme = if self.plain { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/{}/{rest}", self.host, image.repository());
        Url::parse(&text).map_err(|error| OciError::GenericError(Some(format!("{text}: {error}"))).into())
    }

    /// A request that can be made twice: the first time as before, and with a new token when that was refused.
    async fn ask(
        &self,
        image: &Reference,
        address: &Url,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
        expected: StatusCode,
    ) -> Result<Response, Trouble> {
        let with = async |anew| -> Result<Response, Trouble> {
            let headers = self.authorization(image, address, anew).await?;
            Ok(request(&self.http).headers(headers).send().await?)
        };
        let mut answer = with(false).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            answer = with(true).await?;
        }
        expect(answer, expected).await
    }

    /// A request whose body is read while it is sent.
    async fn once(
        &self,
        image: &Reference,
        address: &Url,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
        (body, length): (reqwest::Body, u64),
    ) -> Result<Response, Trouble> {
        let headers = self.authorization(image, address, false).await?;
        let request = request(&self.http).headers(headers).header(CONTENT_TYPE, "application/octet-stream");
        Ok(request.header(CONTENT_LENGTH, length).body(body).send().await?)
    }

    /// The header with the login, for the registry itself alone; what it was before, unless it is asked `anew`.
    async fn authorization(&self, image: &Reference, address: &Url, anew: bool) -> Result<HeaderMap, Trouble> {
        let mut headers = HeaderMap::new();
        let own = self.url(image, "")?;
        if (own.host(), own.port()) != (address.host(), address.port()) {
            return Ok(headers);
        }
        let mut kept = self.tokens.lock().await;
        if anew || !kept.contains_key(image.repository()) {
            let token = match (&self.auth, anew) {
                (RegistryAuth::Anonymous, false) => None,
                _ => self.client.auth(image, &self.auth, RegistryOperation::Push).await?,
            };
            kept.insert(image.repository().to_owned(), token);
        }
        let token = kept.get(image.repository()).cloned().flatten();
        let text = match (token, &self.auth) {
            (Some(token), _) => format!("Bearer {token}"),
            (None, RegistryAuth::Basic(user, password)) => {
                use base64::Engine;
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
            }
            _ => return Ok(headers),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| OciError::AuthenticationFailure("the login has bytes that no header takes".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }
}

impl Blob<'_> {
    /// The bytes from `start` to before `end`, read as they are sent.
    async fn body(&self, start: u64, end: u64) -> std::io::Result<reqwest::Body> {
        let mut file = tokio::fs::File::open(self.path).await?;
        file.seek(std::io::SeekFrom::Start(start)).await?;
        let sent = self.sent.clone();
        sent.store(start, Ordering::Relaxed);
        let pieces = tokio_util::io::ReaderStream::with_capacity(file.take(end - start), PIECE);
        Ok(reqwest::Body::wrap_stream(pieces.inspect(move |piece| {
            let bytes = piece.as_ref().map_or(0, |piece| piece.len());
            sent.fetch_add(bytes as u64, Ordering::Relaxed);
        })))
    }
}

/// The registry's own wish, when that is not too much; else the next of our own.
fn next_wait(backoff: &mut impl Iterator<Item = Duration>, after: Option<Duration>) -> Option<Duration> {
    let own = backoff.next()?;
    match after {
        Some(after) if after > PATIENCE => None,
        after => Some(after.unwrap_or(own)),
    }
}

/// The answer, when it is the one that is expected.
async fn expect(answer: Response, expected: StatusCode) -> Result<Response, Trouble> {
    let status = answer.status();
    if status == expected {
        return Ok(answer);
    }
    let after = retry_after(answer.headers());
    let url = answer.url().to_string();
    if status == StatusCode::UNAUTHORIZED {
        return Err(OciError::UnauthorizedError { url }.into());
    }
    let message = answer.text().await.unwrap_or_default();
    Err(Trouble { error: OciError::ServerError { code: status.as_u16(), url, message }, after })
}

/// Where an upload goes on; it may be told without the registry's own address.
fn location(answer: &Response, asked: &Url) -> Result<Url, Trouble> {
    let told = answer.headers().get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok());
    told.and_then(|told| asked.join(told).ok())
        .ok_or_else(|| OciError::SpecViolationError("the registry does not say where the upload goes on".into()).into())
}

/// How much a registry has, by its `Range: 0-1023`.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(reqwest::header::RANGE)?.to_str().ok()?;
    let last: u64 = range.trim_start_matches("bytes=").split_once('-')?.1.trim().parse().ok()?;
    // Nothing is told as 0-0, as one byte would be.
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: reqwest::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_registry_says_what_it_has() {
        assert_eq!(received(&header(reqwest::header::RANGE, "0-1023")), Some(1024));
        assert_eq!(received(&header(reqwest::header::RANGE, "bytes=0-0")), Some(0));
        assert_eq!(received(&HeaderMap::new()), None);
    }

    #[test]
    fn a_registry_that_wants_too_much_patience_is_given_up() {
        let mut own = [Duration::from_millis(5)].into_iter();
        assert_eq!(next_wait(&mut own.clone(), None), Some(Duration::from_millis(5)));
        assert_eq!(next_wait(&mut own.clone(), Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        assert_eq!(next_wait(&mut own, Some(Duration::from_secs(3600))), None);
        assert_eq!(next_wait(&mut own, Some(Duration::from_secs(1))), None, "not for ever");
    }
}
