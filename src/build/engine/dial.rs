//! Connections to an engine or a builder: unix sockets, TCP with and without TLS, and ssh as the docker program does it.
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::error::{Fault, OrFault, Result};

/// How much is kept of what ssh says.
const SAID: usize = 4096;

/// Where an engine listens.
#[derive(Clone)]
pub struct Address {
    /// As it was given: `unix:///var/run/docker.sock`.
    pub shown: String,
    way: Way,
    /// What ssh said when a connection ended.
    said: Arc<Mutex<String>>,
}

#[derive(Clone)]
enum Way {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: Option<Arc<ClientConfig>> },
    Ssh(Vec<String>),
}

/// A folder with `ca.pem`, `cert.pem` and `key.pem`, and whether the other side's certificate is not verified.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The folder.
    pub dir: PathBuf,
    /// The protocol that is agreed on: gRPC insists on `h2`.
    pub protocol: Option<&'static str>,
}

impl Tls {
    /// Refuses a folder that is not there, or has none of the files; `variable` names it.
    ///
    /// # Errors
    /// A usage fault.
    pub fn check(&self, variable: &str) -> Result<()> {
        let shown = self.dir.display();
        let why = if !self.dir.is_dir() {
            format!("there is no folder {shown}")
        } else if !["ca.pem", "cert.pem", "key.pem"].iter().any(|name| self.dir.join(name).exists()) {
            format!("{shown} has none of ca.pem, cert.pem and key.pem")
        } else {
            return Ok(());
        };
        Err(Fault::usage(format!("{variable}: {why}")).hint("name the folder with the certificates, or unset it"))
    }
}

impl Address {
    /// Reads `unix://PATH`, `tcp://HOST:PORT` (also `http://`, `https://`), `ssh://[USER@]HOST[:PORT]`. `port` is taken
    /// where a TCP address has none.
    ///
    /// # Errors
    /// When it is none of these, or the certificates can't be read.
    pub fn parse(text: &str, tls: Option<&Tls>, port: u16) -> Result<Self> {
        let wrong = || {
            Fault::usage(format!("`{text}` is no address of a container engine"))
                .hint("addresses look like unix:///var/run/docker.sock, tcp://HOST:PORT or ssh://USER@HOST")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let way = match scheme {
            "unix" if !rest.is_empty() => Way::Unix(rest.into()),
            "tcp" | "http" | "https" => {
                let url = url::Url::parse(&format!("http://{rest}")).map_err(|_| wrong())?;
                let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
                let tls = match (tls, scheme) {
                    (Some(tls), _) => Some(client_config(Some(&tls.dir), tls.protocol)?),
                    (None, "https") => Some(client_config(None, None)?),
                    (None, _) => None,
                };
                // `http://…:80` is the default of the scheme, which `port()` leaves out.
                let has_port = rest.trim_end_matches('/').rsplit(']').next().unwrap_or(rest).contains(':');
                let port = if has_port { url.port_or_known_default().unwrap_or(port) } else { port };
                Way::Tcp { host, port, tls }
            }
            "ssh" => Way::Ssh(ssh_arguments(text).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        Ok(Self { shown: text.to_owned(), way, said: Arc::default() })
    }

    /// The address of a unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self { shown: format!("unix://{}", path.display()), way: Way::Unix(path.to_owned()), said: Arc::default() }
    }

    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there, or it is not to be used.
    pub async fn dial(&self) -> io::Result<Stream> {
        let inner: Pin<Box<dyn Duplex>> = match &self.way {
            Way::Unix(path) => Box::pin(UnixStream::connect(path).await?),
            Way::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Box::pin(stream),
                    Some(config) => {
                        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                        Box::pin(connector.connect(name, stream).await?)
                    }
                }
            }
            Way::Ssh(arguments) => Box::pin(Ssh::start(arguments, Arc::clone(&self.said))?),
        };
        Ok(Stream(inner))
    }

    /// What ssh said last, perhaps why there is no connection.
    #[must_use]
    pub fn said(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Some(said.trim().to_owned()).filter(|said| !said.is_empty())
    }

    /// Whether it is on another machine, or may be.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self.way, Way::Unix(_))
    }
}

/// What the docker program calls: `ssh -o ConnectTimeout=30 -T -- HOST docker system dial-stdio`.
fn ssh_arguments(text: &str) -> Option<Vec<String>> {
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    // What looks like an option would be one to ssh.
    if host.starts_with('-') || url.username().starts_with('-') || !matches!(url.path(), "" | "/") {
        return None;
    }
    let mut arguments: Vec<String> = ["-o", "ConnectTimeout=30", "-T"].map(String::from).to_vec();
    if !url.username().is_empty() {
        arguments.extend(["-l".into(), url.username().into()]);
    }
    if let Some(port) = url.port() {
        arguments.extend(["-p".into(), port.to_string()]);
    }
    arguments.extend(["--", host, "docker", "system", "dial-stdio"].map(String::from));
    Some(arguments)
}

/// TLS with the certificates of a folder: `ca.pem` for the other side, else the system's; `cert.pem` and `key.pem` for
/// this one, where they are.
fn client_config(dir: Option<&Path>, protocol: Option<&'static str>) -> Result<Arc<ClientConfig>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let at = |name: &str| dir.map(|dir| dir.join(name)).filter(|path| path.exists());
    let mut roots = rustls::RootCertStore::empty();
    let read = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
        found.or_fault(|| format!("can't read the certificate {}", path.display()))
    };
    match at("ca.pem") {
        Some(path) => {
            for one in read(&path)? {
                roots.add(one).or_fault(|| format!("can't use the certificate {}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match (at("cert.pem"), at("key.pem")) {
        (Some(certificate), Some(key)) => {
            let private =
                PrivateKeyDer::from_pem_file(&key).or_fault(|| format!("can't read the key {}", key.display()))?;
            builder
                .with_client_auth_cert(read(&certificate)?, private)
                .or_fault(|| format!("can't use {} with its key", certificate.display()))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols.extend(protocol.map(|name| name.as_bytes().to_vec()));
    Ok(Arc::new(config))
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection, whatever it goes over.
pub struct Stream(Pin<Box<dyn Duplex>>);

impl Stream {
    /// Of anything that can be read and written.
    pub fn new(inner: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(inner))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl tonic::transport::server::Connected for Stream {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

/// An ssh program whose input and output are the connection.
struct Ssh {
    stdin: tokio::process::ChildStdin,
    stdout: tokio::process::ChildStdout,
    _child: tokio::process::Child,
}

impl Ssh {
    fn start(arguments: &[String], said: Arc<Mutex<String>>) -> io::Result<Self> {
        let mut child = tokio::process::Command::new("ssh")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("can't start `ssh`: {error}")))?;
        let pipe = |name: &str| io::Error::other(format!("ssh has no {name}"));
        let stdin = child.stdin.take().ok_or_else(|| pipe("stdin"))?;
        let stdout = child.stdout.take().ok_or_else(|| pipe("stdout"))?;
        if let Some(mut stderr) = child.stderr.take() {
            tokio::spawn(async move {
                let mut buffer = vec![0; 1024];
                while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    if said.len() < SAID {
                        *said += &String::from_utf8_lossy(&buffer[..n]);
                    }
                }
            });
        }
        Ok(Self { stdin, stdout, _child: child })
    }
}

impl AsyncRead for Ssh {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Ssh {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

/// Makes a connection whenever a client needs one.
#[derive(Clone)]
pub struct Dialer(pub Address);

/// A [`Stream`] as hyper takes it.
pub struct Line(TokioIo<Stream>);

impl Line {
    /// Of a stream.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self(TokioIo::new(stream))
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl tower_service::Service<http::Uri> for Dialer {
    type Response = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let address = self.0.clone();
        Box::pin(async move { Ok(Line::new(address.dial().await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        let way = |text: &str| Address::parse(text, None, 2375).map(|address| address.way);
        assert!(matches!(way("unix:///run/x.sock"), Ok(Way::Unix(path)) if path == Path::new("/run/x.sock")));
        let tcp = |text: &str, host: &str, port: u16| {
            let Ok(Way::Tcp { host: h, port: p, tls: None }) = way(text) else { panic!("{text}") };
            assert_eq!((h.as_str(), p), (host, port), "{text}");
        };
        tcp("tcp://10.0.0.1:2376", "10.0.0.1", 2376);
        tcp("tcp://10.0.0.1", "10.0.0.1", 2375);
        tcp("http://engine:80", "engine", 80);
        tcp("tcp://[::1]:99", "::1", 99);
        let Ok(Way::Ssh(arguments)) = way("ssh://me@there:22") else { panic!("ssh") };
        assert_eq!(arguments.join(" "), "-o ConnectTimeout=30 -T -l me -p 22 -- there docker system dial-stdio");
        for wrong in ["", "docker.sock", "unix://", "npipe:////./pipe/x", "ssh://-oProxyCommand=x", "ssh://h/path"] {
            assert!(way(wrong).is_err(), "{wrong}");
        }
    }
}
