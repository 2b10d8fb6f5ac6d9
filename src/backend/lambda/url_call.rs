//! Calls of a function by its URL: over HTTP as anyone's, signed where the URL asks for that.
use aws_sdk_lambda::types::FunctionUrlAuthType;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, Request};

use super::aws::Aws;
use super::fault::{chain, code, fault};
use super::name::ALIAS;
use super::signed;
use crate::backend::{Body, Reply};
use crate::error::{Fault, OrFault, Result};

/// Calls the function `name` by its URL.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when it has none; an address that does not answer.
pub async fn call(
    aws: &Aws,
    name: &str,
    method: http::Method,
    path: &str,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Reply> {
    let config = aws.lambda.get_function_url_config().function_name(name).qualifier(ALIAS).send().await;
    let config = config.map_err(|error| match code(&error) {
        "ResourceNotFoundException" => Fault::not_found(format!("{name} has no URL"))
            .hint("`url: public` or `url: iam` in the stack file gives it one"),
        _ => fault(format!("can't look up the URL of {name}"), &error),
    })?;
    let address = format!("{}{path}", config.function_url().trim_end_matches('/'));
    let mut request = Request::builder()
        .method(method)
        .uri(&address)
        .body(Bytes::from(body))
        .or_fault(|| format!("{address} is no address"))?;
    *request.headers_mut() = headers;
    if *config.auth_type() == FunctionUrlAuthType::AwsIam {
        request = signed::signed(aws, "lambda", request).await?;
    }
    let request = reqwest::Request::try_from(request).or_fault(|| format!("{address} is no address"))?;
    let response = signed::client()?.execute(request).await;
    let mut response =
        response.map_err(|error| Fault::failed(format!("{address} does not answer")).cause(chain(&error)))?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body: Body = Box::pin(response.bytes_stream().map_err(std::io::Error::other));
    Ok(Reply { status, headers, body })
}
