//! Which certificates registries may show, and which of them speak plain HTTP: by docker's own files.
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding};

use crate::error::{Fault, OrFault, Result};

/// Whom to trust.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The user's home.
    pub home: PathBuf,
    /// A file of certificates besides.
    pub ca: Option<PathBuf>,
}

impl Trust {
    /// Folders of docker's, rootless docker's and Podman's, in which each registry has a folder with `*.crt`:
    /// <https://docs.docker.com/engine/security/certificates/>.
    fn folders(&self, host: &str) -> Vec<PathBuf> {
        let roots = [
            PathBuf::from("/etc/docker/certs.d"),
            self.home.join(".config/docker/certs.d"),
            PathBuf::from("/etc/containers/certs.d"),
            self.home.join(".config/containers/certs.d"),
        ];
        roots.into_iter().map(|root| root.join(host)).filter(|dir| dir.is_dir()).collect()
    }

    /// The certificates to trust for `host`, besides the system's.
    ///
    /// # Errors
    /// When one can't be read, or is none.
    pub fn certificates(&self, host: &str) -> Result<Vec<Certificate>> {
        let mut files: Vec<PathBuf> = self.ca.clone().into_iter().collect();
        for folder in self.folders(host) {
            let entries = std::fs::read_dir(&folder).or_fault(|| format!("can't read {}", folder.display()))?;
            let found = entries.flatten().map(|entry| entry.path());
            files.extend(found.filter(|path| path.extension().is_some_and(|end| end == "crt")));
        }
        let mut certificates = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).or_fault(|| format!("can't read {}", file.display()))?;
            let blocks = split(&text);
            if blocks.is_empty() {
                return Err(Fault::usage(format!("{} holds no certificate in PEM form", file.display())));
            }
            certificates.extend(
                blocks.into_iter().map(|data| Certificate { encoding: CertificateEncoding::Pem, data: data.into() }),
            );
        }
        Ok(certificates)
    }

    /// Whether `host` speaks plain HTTP: it is this machine or one of docker's insecure registries, and does not ask for
    /// HTTPS.
    pub async fn is_plain(&self, host: &str, timeout: Duration) -> bool {
        let allowed = is_local(host) || self.insecure().iter().any(|known| known == host);
        allowed && self.folders(host).is_empty() && !asks_for_tls(host, timeout).await
    }

    /// `insecure-registries` of docker's daemon.json.
    fn insecure(&self) -> Vec<String> {
        let read = |path: &Path| -> Option<Vec<String>> {
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            serde_json::from_value(json.get("insecure-registries")?.clone()).ok()
        };
        let files = [PathBuf::from("/etc/docker/daemon.json"), self.home.join(".config/docker/daemon.json")];
        files.iter().filter_map(|path| read(path)).flatten().collect()
    }
}

/// The certificates in a file, each by itself.
fn split(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    text.split_inclusive(END)
        .filter_map(|block| Some(block[block.find("-----BEGIN CERTIFICATE-----")?..].to_owned()))
        .filter(|block| block.ends_with(END))
        .collect()
}

/// Whether a registry is on this machine, which docker trusts without TLS.
pub fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the server says, in the words of Go's, that it wants HTTPS. One byte of the answer's status line is enough.
async fn asks_for_tls(host: &str, timeout: Duration) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut start = [0; 512];
        let read = stream.read(&mut start).await.ok()?;
        let text = String::from_utf8_lossy(&start[..read]).into_owned();
        // A server that only knows TLS sends an alert (record type 21), or a word in clear.
        Some(start[0] == 0x15 || (text.starts_with("HTTP/1.0 400") && text.contains("HTTPS")))
    };
    tokio::time::timeout(timeout.min(Duration::from_secs(5)), ask).await.ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for (host, local) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
            ("registry.example.com", false),
            ("10.0.0.1:5000", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
    }

    #[test]
    fn certificates_are_found_by_host() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/docker/certs.d/r.example:5000");
        std::fs::create_dir_all(&folder).unwrap();
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        std::fs::write(folder.join("ca.crt"), format!("# two\n{one}{one}")).unwrap();
        std::fs::write(folder.join("client.key"), "secret").unwrap();
        let trust = Trust { home: home.path().to_owned(), ca: None };
        assert_eq!(trust.certificates("r.example:5000").unwrap().len(), 2);
        assert_eq!(trust.certificates("other.example").unwrap().len(), 0);
        std::fs::write(folder.join("bad.crt"), "nothing").unwrap();
        assert!(trust.certificates("r.example:5000").unwrap_err().to_string().contains("bad.crt"));
    }
}
