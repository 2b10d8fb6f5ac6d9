//! Calls of AWS's JSON services, signed with the function's own role: as little of a client as secrets need, since
//! every archive takes the invoker along.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use faas_watchdog::BoxError;
use http::header::CONTENT_LENGTH;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ring::{digest, hmac};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring as provider};

use crate::console::date;

/// Amazon Trust Services' roots, which all of AWS's endpoints have: images need no certificates of their own.
/// <https://www.amazontrust.com/repository/>
const ROOTS: &[u8] = include_bytes!("amazon-roots.pem");
/// How often a call is tried: Lambda gives the start ten seconds.
const TRIES: u32 = 4;
/// The longest that one try takes.
const TRY: Duration = Duration::from_secs(2);
/// Bytes of an answer: ten parameters of 8 KB, or one secret of 64, in JSON.
const ANSWER: usize = 1024 * 1024;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The role's keys, and where AWS is.
pub struct Account {
    region: String,
    key: String,
    secret: String,
    token: Option<String>,
    /// In AWS's place: for all services, and by service.
    endpoints: [Option<String>; 3],
    roots: Option<String>,
}

/// A service in the account.
pub struct Service<'a> {
    account: &'a Account,
    /// Its name in addresses and signatures, as `ssm`.
    name: &'static str,
    endpoint: Uri,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Account {
    /// As Lambda tells it in the environment.
    pub fn from_env(env: &[(String, String)]) -> Result<Self, BoxError> {
        let get = |name: &str| {
            let found = env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            found.filter(|value| !value.is_empty())
        };
        let need = |name: &str| get(name).ok_or_else(|| format!("{name} is not set"));
        Ok(Account {
            region: get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")).ok_or("AWS_REGION is not set")?,
            key: need("AWS_ACCESS_KEY_ID")?,
            secret: need("AWS_SECRET_ACCESS_KEY")?,
            token: get("AWS_SESSION_TOKEN"),
            endpoints: ["", "_SSM", "_SECRETS_MANAGER"].map(|of| get(&format!("AWS_ENDPOINT_URL{of}"))),
            roots: get("AWS_CA_BUNDLE"),
        })
    }

    /// A service by its name. Nothing is connected yet.
    pub fn service(&self, name: &'static str) -> Result<Service<'_>, BoxError> {
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let [all, ssm, manager] = &self.endpoints;
        let own = if name == "ssm" { ssm } else { manager };
        let endpoint = match own.as_ref().or(all.as_ref()) {
            Some(endpoint) => endpoint.parse()?,
            None => format!("https://{name}.{}.{domain}", self.region).parse()?,
        };
        Ok(Service { account: self, name, endpoint, connection: None })
    }

    fn sign(&self, service: &str, host: &str, target: &str, body: &[u8], now: u64) -> Vec<(&'static str, String)> {
        let (year, month, day) = date(now / 86_400);
        let day = format!("{year:04}{month:02}{day:02}");
        let time = format!("{day}T{:02}{:02}{:02}Z", now / 3600 % 24, now / 60 % 60, now % 60);
        // Sorted by name, as they are signed.
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", time.clone()),
        ];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        headers.push(("x-amz-target", target.to_owned()));
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256(body));
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(request.as_bytes()));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [day.as_str(), &self.region, service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex(&mac(&key, text.as_bytes()));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.key);
        headers.push(("authorization", authorization));
        headers
    }
}

impl Service<'_> {
    /// Calls an operation, as `AmazonSSM.GetParameters`; again, when AWS has no time for it.
    pub async fn call(&mut self, operation: &str, input: &Value) -> Result<Value, BoxError> {
        let body = Bytes::from(input.to_string());
        let mut tries = 0;
        loop {
            let result = match tokio::time::timeout(TRY, self.once(operation, body.clone())).await {
                Ok(result) => result,
                Err(_) => Err((true, format!("{} gave no answer in time", self.endpoint).into())),
            };
            tries += 1;
            match result {
                Ok(value) => return Ok(value),
                Err((true, _)) if tries < TRIES => tokio::time::sleep(Duration::from_millis(100) * tries).await,
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// Whether it may be tried again is told with the error.
    async fn once(&mut self, operation: &str, body: Bytes) -> Result<Value, (bool, BoxError)> {
        let failed = |error: BoxError| (true, format!("{} does not answer: {error}", self.endpoint).into());
        let fatal = |error: BoxError| (false, error);
        let host = self.endpoint.authority().map(ToString::to_string).unwrap_or_default();
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(&self.endpoint, self.account.roots.as_deref()).await.map_err(failed)?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut request = Request::post("/").header(CONTENT_LENGTH, body.len());
        for (name, value) in self.account.sign(self.name, &host, operation, &body, now) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| fatal(error.into()))?;
        connection.ready().await.map_err(|error| failed(error.into()))?;
        let response = connection.send_request(request).await.map_err(|error| failed(error.into()))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER).collect().await.map_err(failed)?.to_bytes();
        self.connection = Some(connection);
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let code = text("__type").unwrap_or_default().rsplit('#').next().unwrap_or_default();
        let said = text("message").or_else(|| text("Message")).unwrap_or_default();
        let again = status.is_server_error() || code.contains("Throttling") || code.contains("TooManyRequests");
        Err((again, format!("{status} {code} {said}").trim_end().into()))
    }
}

async fn connect(endpoint: &Uri, roots: Option<&str>) -> Result<SendRequest<Full<Bytes>>, BoxError> {
    let host = endpoint.host().ok_or("the address has no host")?.to_owned();
    let tls = endpoint.scheme_str() != Some("http");
    let port = endpoint.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let socket = TcpStream::connect((host.as_str(), port)).await?;
    socket.set_nodelay(true)?;
    let stream: Box<dyn Io> = match tls {
        true => {
            let name = ServerName::try_from(host)?;
            Box::new(TlsConnector::from(Arc::new(config(roots)?)).connect(name, socket).await?)
        }
        false => Box::new(socket),
    };
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn config(roots: Option<&str>) -> Result<ClientConfig, BoxError> {
    let mut store = RootCertStore::empty();
    let more = roots.map(std::fs::read).transpose().map_err(|error| format!("can't read AWS_CA_BUNDLE: {error}"))?;
    for pem in [Some(ROOTS), more.as_deref()].into_iter().flatten() {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            store.add(certificate?)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(store).with_no_client_auth())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let all = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "SECRET")];
        all.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// The expected value was computed by botocore's `SigV4Auth`.
    #[test]
    fn requests_are_signed() {
        let account = Account::from_env(&env(&[("AWS_SESSION_TOKEN", "TOKEN")])).unwrap();
        let headers =
            account.sign("ssm", "ssm.eu-west-1.amazonaws.com", "AmazonSSM.GetParameters", b"{}", 1_700_000_000);
        assert_eq!(
            headers.last().unwrap().1,
            "AWS4-HMAC-SHA256 Credential=AKID/20231114/eu-west-1/ssm/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=8ecba22a33a90f33353a55dce1fd7da43259339ba4406a25fd87b994de4a5a70"
        );
    }

    #[test]
    fn the_roots_can_be_read_and_services_have_addresses() {
        config(None).unwrap();
        assert!(config(Some("/nowhere")).is_err());
        let account = Account::from_env(&env(&[])).unwrap();
        assert_eq!(account.service("ssm").unwrap().endpoint, "https://ssm.eu-west-1.amazonaws.com/");
        let account = Account::from_env(&env(&[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:2"),
        ]));
        let account = account.unwrap();
        assert_eq!(account.service("ssm").unwrap().endpoint, "http://127.0.0.1:2/");
        assert_eq!(account.service("secretsmanager").unwrap().endpoint, "http://127.0.0.1:1/");
        assert!(Account::from_env(&[]).is_err());
    }
}
