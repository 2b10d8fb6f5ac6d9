//! Calls that got no answer, or half of one: who is not there, what TLS said, where it was cut.
use std::error::Error;
use std::io;

use super::Client;
use crate::error::{Code, Fault};

const NO_TLS: &str = "does nothing speak TLS there? then the address is http:// rather than https://";

const EMBEDDED: &str = "`faas local start` starts it, and without -g it is found where it runs; for an OpenFaaS gateway, \
                        write `name: openfaas` under `provider:` in the stack file";

/// No answer came.
pub fn unanswered(client: &Client, what: &str, error: &reqwest::Error) -> Fault {
    let address = client.address();
    if let Some(tls) = tls_error(error) {
        return untrusted(address, &tls);
    }
    if error.is_timeout() && !error.is_connect() {
        return Fault::timed_out(format!("{what}: no answer from {address} in time"))
            .hint("--timeout gives it longer, where the command has it");
    }
    if error.is_connect() && innermost(error) == "tls handshake eof" {
        return Fault::failed(format!("no trusted connection to {address}"))
            .code(Code::UNREACHABLE)
            .cause("the connection was closed instead of a TLS handshake")
            .hint(NO_TLS);
    }
    if error.is_connect() {
        let cause = if error.is_timeout() { "nothing answers at this address".into() } else { innermost(error) };
        if client.embedded {
            return Fault::failed(format!("the embedded platform does not answer at {address}"))
                .code(Code::LOCAL_STOPPED)
                .cause(cause)
                .hint(EMBEDDED);
        }
        return Fault::failed(format!("cannot connect to OpenFaaS on URL: {address}"))
            .code(Code::UNREACHABLE)
            .cause(cause)
            .hint("is the gateway running there? -g URL, OPENFAAS_URL or `provider.gateway` name another");
    }
    if let Some(fault) = body_fault(error) {
        return fault;
    }
    let why = innermost(error);
    // The words of who reads HTTP.
    if why.starts_with("invalid ") && why.ends_with(" parsed") || why == "message head is too large" {
        return Fault::failed(format!("{what}: what answers at {address} speaks no proper HTTP"))
            .cause(why)
            .hint("is this an OpenFaaS gateway? -g names another");
    }
    Fault::failed(format!("{what}: {address} ended the connection before it answered")).cause(why)
}

/// The answer began, and then ended too early.
pub fn cut(client: &Client, what: &str, error: &reqwest::Error) -> Fault {
    let address = client.address();
    if error.is_timeout() {
        return Fault::timed_out(format!("{what}: {address} did not end its answer in time"));
    }
    Fault::failed(format!("{what}: the answer of {address} was cut")).cause(innermost(error))
}

/// The same for a body that is passed on as it comes.
pub fn body_error(error: &reqwest::Error) -> io::Error {
    let kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::UnexpectedEof };
    io::Error::new(kind, innermost(error))
}

/// What broke when the body that was being sent could not be read.
fn body_fault(error: &reqwest::Error) -> Option<Fault> {
    sources(error)
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .find_map(|e| e.get_ref()?.downcast_ref::<Fault>())
        .cloned()
}

fn untrusted(address: &str, error: &rustls::Error) -> Fault {
    use rustls::{CertificateError, Error};
    let fault = Fault::failed(format!("no trusted connection to {address}")).cause(error);
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => fault.hint(
            "nobody this machine trusts has signed the certificate: name the signer's file by --tls-ca or FAAS_TLS_CA, or pass --tls-no-verify",
        ),
        _ if super::trust::may_sign(error) => fault.cause("it has signed its certificate itself").hint(
            "when that is meant to be so, name that very certificate by --tls-ca or FAAS_TLS_CA, or pass --tls-no-verify",
        ),
        Error::InvalidCertificate(_) => {
            fault.hint("the certificate is not good for this address; --tls-no-verify goes on without checking it")
        }
        Error::InvalidMessage(_) => fault.hint(NO_TLS),
        _ => fault,
    }
}

fn tls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    sources(error).find_map(tls_inside)
}

/// An IO error keeps what it wraps out of the chain of sources, and may wrap another.
fn tls_inside(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls.clone());
    }
    tls_inside(error.downcast_ref::<io::Error>()?.get_ref()?)
}

fn innermost(error: &reqwest::Error) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}

fn sources<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: &'a (dyn Error + 'static) = error;
    std::iter::successors(Some(first), |e| (*e).source())
}
