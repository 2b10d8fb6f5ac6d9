//! Secrets in AWS Secrets Manager, `faas/NAMESPACE/NAME`.
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use secrecy::ExposeSecret;

use super::aws::Aws;
use super::fault::{code, fault, said};
use super::secrets::{folder, gone, path};
use crate::backend::{Secret, SecretName};
use crate::error::{Fault, Result};

/// Bytes of a secret.
const LONGEST: usize = 65_536;

/// The value as text where it is text, else as bytes.
fn value(secret: &Secret) -> Result<(Option<String>, Option<Blob>)> {
    let (name, bytes) = (&secret.name.name, secret.value.expose_secret());
    match bytes.len() {
        0 => Err(Fault::usage(format!("the secret {name} is empty")).cause("Secrets Manager takes no empty values")),
        length if length > LONGEST => Err(Fault::unsupported(format!("the secret {name} has {length} bytes"))
            .cause(format!("Secrets Manager takes {LONGEST}"))),
        _ => Ok(match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(Blob::new(bytes.to_vec()))),
        }),
    }
}

fn id(name: &SecretName) -> String {
    path(name).trim_start_matches('/').to_owned()
}

/// Writes one; `None` when it is there and must not be replaced, else whether it is new.
///
/// # Errors
/// When Secrets Manager does not take it.
pub async fn put(aws: &Aws, secret: &Secret, overwrite: bool) -> Result<Option<bool>> {
    let why = || format!("can't write the secret {}", secret.name.name);
    let (text, bytes) = value(secret)?;
    let created = aws
        .manager
        .create_secret()
        .name(id(&secret.name))
        .set_secret_string(text.clone())
        .set_secret_binary(bytes.clone())
        .send()
        .await;
    match created {
        Ok(_) => return Ok(Some(true)),
        Err(error) if code(&error) == "ResourceExistsException" && !overwrite => return Ok(None),
        Err(error) if code(&error) == "ResourceExistsException" => {}
        Err(error) if said(&error).contains("scheduled for deletion") => {
            return Err(fault(why(), &error)
                .hint("somebody removed it and it can still be brought back: `aws secretsmanager restore-secret`"));
        }
        Err(error) => return Err(fault(why(), &error)),
    }
    let put =
        aws.manager.put_secret_value().secret_id(id(&secret.name)).set_secret_string(text).set_secret_binary(bytes);
    put.send().await.map(|_| Some(false)).map_err(|error| fault(why(), &error))
}

/// The names in a namespace.
///
/// # Errors
/// When Secrets Manager can't be asked.
pub async fn names(aws: &Aws, namespace: Option<&str>) -> Result<Vec<String>> {
    let prefix = format!("{}/", folder(namespace).trim_start_matches('/'));
    let filter = Filter::builder().key(FilterNameStringType::Name).values(&prefix).build();
    let mut found = aws.manager.list_secrets().filters(filter).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = found.next().await {
        let page = page.map_err(|error| fault("can't list the secrets", &error))?;
        let ours = page.secret_list().iter().filter_map(|secret| secret.name()?.strip_prefix(&prefix));
        names.extend(ours.filter(|name| !name.contains('/')).map(str::to_owned));
    }
    Ok(names)
}

/// Removes one for good, as on every platform: one that can be brought back keeps its name from being used again.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is none.
pub async fn remove(aws: &Aws, name: &SecretName) -> Result<()> {
    // The forced removal of one that is not there is no error.
    if !names(aws, name.namespace.as_deref()).await?.contains(&name.name) {
        return Err(gone(name));
    }
    match aws.manager.delete_secret().secret_id(id(name)).force_delete_without_recovery(true).send().await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "ResourceNotFoundException" => Err(gone(name)),
        Err(error) => Err(fault(format!("can't remove the secret {}", name.name), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_bytes_stay_bytes() {
        let name = SecretName { name: "key".into(), namespace: None };
        assert_eq!(id(&name), "faas/default/key");
        let secret = |bytes: Vec<u8>| Secret { name: name.clone(), value: bytes.into() };
        assert_eq!(value(&secret(b"a".to_vec())).unwrap(), (Some("a".into()), None));
        assert_eq!(value(&secret(vec![0xff])).unwrap(), (None, Some(Blob::new(vec![0xff]))));
        assert!(value(&secret(vec![])).is_err());
        assert!(value(&secret(vec![b'x'; LONGEST + 1])).is_err());
    }
}
