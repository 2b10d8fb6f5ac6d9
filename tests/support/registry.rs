//! Registries of a test's own: `docker-registry` plain, with a login, or with TLS by a CA that nobody else trusts.
#![allow(dead_code, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The login of those that want one.
pub const USER: &str = "me";
pub const PASSWORD: &str = "hunter2";
/// `PASSWORD`, as htpasswd keeps it.
const HASH: &str = "$2y$04$UN4jwFe2LxH4SlKxJYoE7.R3gK2WQfiSKp4LNCkRoU3t8BMEm2Ydy";

pub struct Registry {
    /// As it stands in images' names.
    pub host: String,
    /// The certificate of its CA.
    pub ca: PathBuf,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Login,
    Tls,
}

impl Registry {
    /// One that runs.
    pub fn new(kind: Kind) -> Self {
        let mut registry = Self::stopped(kind);
        registry.start();
        registry
    }

    /// One that does not run yet.
    pub fn stopped(kind: Kind) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let host = format!("127.0.0.1:{}", crate::support::free_port());
        let at = |name: &str| dir.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http:\n  addr: {host}\n",
            at("data").display()
        );
        if kind == Kind::Tls {
            certificates(dir.path());
            let (certificate, key) = (at("server.crt"), at("server.key"));
            config += &format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
        }
        if kind == Kind::Login {
            std::fs::write(at("htpasswd"), format!("{USER}:{HASH}\n")).expect("htpasswd");
            config += &format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", at("htpasswd").display());
        }
        std::fs::write(at("config.yml"), config).expect("config");
        Self { host, ca: at("ca.crt"), dir, child: None }
    }

    pub fn start(&mut self) {
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(self.dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        self.child = Some(child);
        let started = Instant::now();
        while std::net::TcpStream::connect(&self.host).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it keeps a blob; tests look whether it is there, or break it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("sha256");
        self.dir.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A CA, and a certificate of it for 127.0.0.1.
fn certificates(dir: &Path) {
    let openssl = |args: &str| {
        let done = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().expect("openssl");
        assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("{new} -x509 -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt"));
    openssl(&format!("{new} -subj /CN=127.0.0.1 -keyout server.key -out server.csr"));
    std::fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").expect("ext");
    openssl("x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext -out server.crt");
}

/// A request that a [`Proxy`] is asked to let through: `PUT /v2/…`.
pub type Line = String;

/// What a [`Proxy`] does with a request.
pub enum Fate {
    /// Lets it through.
    Pass,
    /// Answers by itself: status and body.
    Answer(u16, &'static str),
    /// Answers by itself, and says how many seconds to wait.
    Later(u16, u64),
    /// Closes the connection without a word.
    Cut,
    /// Lets the head and so many bytes of the body through, then closes the connection.
    CutAfter(usize),
    /// Says nothing for so long, then closes.
    Silence(Duration),
    /// Lets it through, and changes a byte of the answer's body.
    Spoil,
}

/// A registry that fails as told, in front of one that does not.
pub struct Proxy {
    /// As it stands in images' names.
    pub host: String,
}

impl Proxy {
    pub fn new(real: &str, fate: impl Fn(&Line) -> Fate + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("address").to_string();
        let (real, fate) = (real.to_owned(), std::sync::Arc::new(fate));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (real, fate) = (real.clone(), fate.clone());
                std::thread::spawn(move || {
                    let _ = serve(stream, &real, &*fate);
                });
            }
        });
        Self { host }
    }
}

/// One request a connection.
fn serve(stream: std::net::TcpStream, real: &str, fate: &dyn Fn(&Line) -> Fate) -> std::io::Result<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if !lower.starts_with("connection:") {
            head += &line;
        }
        line.clear();
    }
    let first = head.lines().next().unwrap_or_default().to_owned();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    let fate = fate(&first);
    match fate {
        Fate::Cut => Ok(()),
        Fate::CutAfter(bytes) => {
            let mut there = std::net::TcpStream::connect(real)?;
            there.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
            there.write_all(&body[..bytes.min(body.len())])?;
            // So that the registry has taken in what came before the cut.
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        }
        Fate::Later(status, seconds) => {
            let head = format!(
                "HTTP/1.1 {status} x\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes())
        }
        Fate::Silence(time) => {
            std::thread::sleep(time);
            Ok(())
        }
        Fate::Answer(status, text) => {
            let length = if first.starts_with("HEAD") { 0 } else { text.len() };
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(&text.as_bytes()[..length])
        }
        Fate::Pass | Fate::Spoil => {
            let mut there = std::net::TcpStream::connect(real)?;
            there.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
            there.write_all(&body)?;
            let mut answer = Vec::new();
            there.read_to_end(&mut answer)?;
            if matches!(fate, Fate::Spoil)
                && let Some(last) = answer.last_mut()
            {
                *last = b' ';
            }
            stream.write_all(&answer)
        }
    }
}
