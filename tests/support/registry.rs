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
