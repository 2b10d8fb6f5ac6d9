//! Certificates that are trusted besides the system's: as those of signers and, as curl does, as a server's very own.
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::error::{Fault, OrFault, Result};

/// A certificate that is trusted.
pub type Certificate = CertificateDer<'static>;

/// The certificates in a PEM file.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when it can't be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let bytes = std::fs::read(path).map_err(|error| {
        Fault::usage(format!("can't read the certificates in {}", path.display()))
            .cause(error)
            .hint("--tls-ca and FAAS_TLS_CA name a file of certificates in PEM form")
    })?;
    let found: Result<Vec<Certificate>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Fault::usage(format!("{} holds no certificate in PEM form", path.display()))
            .hint("it has lines with BEGIN CERTIFICATE; `openssl x509 -inform der -in FILE` makes one of a DER file")),
    }
}

/// A TLS client that trusts these, and whom the system trusts.
///
/// # Errors
/// A certificate that is none.
pub fn config(trusted: &[Certificate]) -> Result<ClientConfig> {
    super::install_tls();
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).or_fault(|| "a certificate of --tls-ca can't be used".into())?;
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build();
    let signed = verifier.or_fault(|| "can't check certificates".into())?;
    let verifier = Arc::new(Verifier { signed, own: trusted.to_vec() });
    let mut config =
        ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes what a trusted one has signed, and the trusted ones themselves. The second is what webpki leaves out: it wants
/// no server under a certificate that may sign, which is what `openssl req -x509` makes.
#[derive(Debug)]
struct Verifier {
    signed: Arc<WebPkiServerVerifier>,
    own: Vec<Certificate>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = self.signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match &checked {
            // Its dates were looked at before that.
            Err(error) if may_sign(error) && self.own.iter().any(|own| own == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Whether a certificate was refused as a server's because it may sign others.
pub fn may_sign(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    other.to_string().contains("CaUsedAsEndEntity")
}
