//! Signed HTTP calls, for what is no service of the SDK's clients here: a function's URL, and the few calls of S3 that an
//! archive needs, for which its SDK would be the largest of all.
use std::time::SystemTime;

use aws_sdk_lambda::config::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::Request;

use super::aws::Aws;
use crate::error::{Fault, Kind, OrFault, Result};

/// Signs a request for `service`, with the credentials that all other calls have.
///
/// # Errors
/// [`Kind::Unauthorized`] when the credentials are gone; a request that can't be signed.
pub async fn signed(aws: &Aws, service: &str, mut request: Request<Bytes>) -> Result<Request<Bytes>> {
    let why = || format!("can't sign a call of {service}");
    let provider = aws.config.credentials_provider().ok_or_else(|| Fault::new(Kind::Unauthorized, why()))?;
    let credentials = provider.provide_credentials().await;
    let identity: Identity = credentials.map_err(|e| Fault::new(Kind::Unauthorized, why()).cause(e))?.into();
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&aws.region)
        .name(service)
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .or_fault(why)?
        .into();
    let instructions = {
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let uri = request.uri().to_string();
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, body).or_fault(why)?;
        sign(signable, &parameters).or_fault(why)?.into_parts().0
    };
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// A client for them.
///
/// # Errors
/// When the system has no certificates.
pub fn client() -> Result<reqwest::Client> {
    crate::wire::client::install_tls();
    reqwest::Client::builder()
        .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // The body is passed on as the function wrote it.
        .no_gzip()
        .build()
        .or_fault(|| "can't make an HTTP client".into())
}
