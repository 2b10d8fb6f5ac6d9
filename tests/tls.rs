//! TLS to gateways: who is trusted, and what is said of the others.
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::Test;
use crate::support::server::{Server, answer};

const JSON: &str = "application/json";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");

fn run(url: &str, args: &[&str]) -> Test {
    Test::new().env("OPENFAAS_URL", url).args(args.iter().copied())
}

/// A TLS server whose certificate nobody but itself has signed.
fn self_signed(certificate: &str, key: &str) -> Server {
    faas::wire::client::install_tls();
    let certificate = CertificateDer::from_pem_file(format!("{FOLDER}/{certificate}")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(format!("{FOLDER}/{key}")).expect("key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("server configuration");
    let config = Arc::new(config);
    Server::with(move |mut tcp, _| {
        let mut tls = rustls::ServerConnection::new(config.clone()).expect("connection");
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut head = [0; 4096];
        if matches!(std::io::Read::read(&mut stream, &mut head), Ok(n) if n > 0) {
            let _ =
                stream.write_all(&answer("200 OK", &[("Content-Type", JSON)], "[{\"name\":\"tax\",\"image\":\"i\"}]"));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

#[test]
fn a_certificate_that_nobody_signed_is_named() {
    let url = self_signed("cert.pem", "key.pem").url.replace("http://", "https://");
    run(&url, &["list"])
        .status(1)
        .stderr_has(format!("no trusted connection to {url}"))
        .stderr_has("--tls-no-verify")
        .run();
    run(&url, &["list", "-q", "--tls-no-verify"]).stdout("tax\n").run();
    let certificate = &format!("{FOLDER}/cert.pem");
    run(&url, &["list", "-q"]).env("SSL_CERT_FILE", certificate.as_str()).stdout("tax\n").run();
    run(&url, &["list", "-q", "--tls-ca", certificate]).stdout("tax\n").run();
    run(&url, &["list", "-q"]).env("FAAS_TLS_CA", certificate.as_str()).stdout("tax\n").run();
}

/// What `openssl req -x509` makes may sign others; curl takes it for a server's all the same.
#[test]
fn a_servers_own_certificate_may_be_one_that_signs() {
    let server = self_signed("signer.pem", "signer-key.pem").url;
    let (there, elsewhere) =
        (server.replace("http://127.0.0.1", "https://localhost"), server.replace("http:", "https:"));
    let own = &format!("{FOLDER}/signer.pem");
    run(&there, &["list", "-q", "--tls-ca", own]).stdout("tax\n").run();
    run(&there, &["list"]).status(1).stderr_has("name that very certificate by --tls-ca").run();
    let another = &format!("{FOLDER}/cert.pem");
    run(&there, &["list", "--tls-ca", another]).status(1).stderr_has("no trusted connection").run();
    // It is for that name alone.
    run(&elsewhere, &["list", "--tls-ca", own]).status(1).stderr_has("not good for this address").run();
}

#[test]
fn a_file_that_holds_no_certificate_is_told() {
    let url = "https://127.0.0.1:1";
    run(url, &["list", "--tls-ca", "none.pem"]).status(2).stderr_has("none.pem").stderr_has("FAAS_TLS_CA").run();
    run(url, &["list", "--tls-ca", "empty.pem"])
        .file("empty.pem", "no certificate\n")
        .status(2)
        .stderr_has("empty.pem holds no certificate in PEM form")
        .run();
}

#[test]
fn tls_where_none_is_spoken_is_told() {
    let closing = Server::always("400 Bad Request", "text/plain", "what?");
    let answering = Server::with(|mut stream, _| {
        let _ = stream.write_all(&answer("400 Bad Request", &[], "what?"));
        std::thread::sleep(Duration::from_secs(1));
    });
    for server in [closing, answering] {
        let url = server.url.replace("http://", "https://");
        run(&url, &["list"])
            .status(1)
            .stderr_has(format!("no trusted connection to {url}"))
            .stderr_has("http:// rather than https://")
            .run();
    }
}
