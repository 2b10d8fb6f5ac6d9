//! Archives that are too large for a request go by a bucket: put there, taken by Lambda, removed.
use aws_sdk_lambda::types::FunctionCode;
use bytes::Bytes;
use http::{Method, Request};
use sha2::Digest;

use super::aws::Aws;
use super::fault::fault;
use super::signed;
use crate::error::{Fault, Kind, OrFault, Result};

/// An archive in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bucket.
    pub bucket: String,
    /// Its name there.
    pub key: String,
}

impl Object {
    /// The same as a function's code.
    #[must_use]
    pub fn code(&self) -> FunctionCode {
        FunctionCode::builder().s3_bucket(&self.bucket).s3_key(&self.key).build()
    }
}

fn address(aws: &Aws, bucket: &str, key: &str) -> String {
    let domain = if aws.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    match aws.config.endpoint_url() {
        // Emulators know buckets by path.
        Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
        None => format!("https://{bucket}.s3.{}.{domain}/{key}", aws.region),
    }
    .trim_end_matches('/')
    .to_owned()
}

/// Puts an archive into the bucket that is named, else into the account's own for this, which is made when it is not
/// there (it is private, as all new ones).
///
/// # Errors
/// When S3 refuses it.
pub async fn put(aws: &Aws, named: Option<&str>, name: &str, archive: Vec<u8>) -> Result<Object> {
    let bucket = match named {
        Some(bucket) => bucket.to_owned(),
        None => {
            let identity = aws.sts.get_caller_identity().send().await;
            let identity = identity.map_err(|error| fault("can't ask AWS who we are", &error))?;
            format!("faas-{}-{}", identity.account().unwrap_or_default(), aws.region)
        }
    };
    let digest: String = sha2::Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let object = Object { bucket, key: format!("faas/{name}-{digest}.zip") };
    let body = Bytes::from(archive);
    let why = || format!("can't put the archive of {name} into the bucket {}", object.bucket);
    let (status, said) = send(aws, Method::PUT, &address(aws, &object.bucket, &object.key), body.clone()).await?;
    match status {
        200 => return Ok(object),
        404 if named.is_none() && said.contains("NoSuchBucket") => {}
        _ => return Err(refused(why(), status, &said)),
    }
    let place = match aws.region.as_str() {
        "us-east-1" => String::new(),
        region => format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}\
             </LocationConstraint></CreateBucketConfiguration>"
        ),
    };
    let (status, said) = send(aws, Method::PUT, &address(aws, &object.bucket, ""), place.into()).await?;
    if status != 200 && !said.contains("BucketAlreadyOwnedByYou") {
        return Err(refused(format!("can't make the bucket {}", object.bucket), status, &said));
    }
    match send(aws, Method::PUT, &address(aws, &object.bucket, &object.key), body).await? {
        (200, _) => Ok(object),
        (status, said) => Err(refused(why(), status, &said)),
    }
}

/// Removes an archive that Lambda has taken. That it stays is no reason to fail.
pub async fn remove(aws: &Aws, object: &Object) {
    let _ = send(aws, Method::DELETE, &address(aws, &object.bucket, &object.key), Bytes::new()).await;
}

async fn send(aws: &Aws, method: Method, address: &str, body: Bytes) -> Result<(u16, String)> {
    let request = Request::builder().method(method).uri(address).body(body).or_fault(|| "no such address".into())?;
    let request = signed::signed(aws, "s3", request).await?;
    let request = reqwest::Request::try_from(request).or_fault(|| "no such address".into())?;
    let response = signed::client()?.execute(request).await;
    let response = response.map_err(|error| Fault::failed("S3 does not answer").cause(super::fault::chain(&error)))?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.unwrap_or_default()))
}

/// S3 says what is wrong in XML: `<Code>` and `<Message>`.
fn refused(what: String, status: u16, said: &str) -> Fault {
    let part =
        |tag: &str| said.split_once(&format!("<{tag}>"))?.1.split_once(&format!("</{tag}>")).map(|(text, _)| text);
    let kind = if status == 403 { Kind::Unauthorized } else { Kind::Failed };
    let cause = match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        _ => format!("HTTP {status}"),
    };
    Fault::new(kind, what).cause(cause).hint("`provider.lambda.bucket` names another one; s3:PutObject is needed there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_s3s_words() {
        let said = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let fault = refused("can't".into(), 403, said);
        assert_eq!((fault.kind, fault.cause.as_deref()), (Kind::Unauthorized, Some("Access Denied (AccessDenied)")));
        assert_eq!(refused("can't".into(), 500, "").cause.as_deref(), Some("HTTP 500"));
    }
}
