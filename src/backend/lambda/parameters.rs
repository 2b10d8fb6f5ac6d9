//! Secrets as SSM SecureStrings, `/faas/NAMESPACE/NAME`: they cost nothing and are encrypted with the account's key.
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterTier, ParameterType};
use secrecy::ExposeSecret;

use super::aws::Aws;
use super::fault::{code, fault};
use super::secrets::{folder, gone, path};
use crate::backend::{Secret, SecretName};
use crate::error::{Fault, OrFault, Result};

/// Bytes of a standard parameter.
const LONGEST: usize = 4096;

/// The value as SSM takes it.
fn text(secret: &Secret) -> Result<&str> {
    let (name, value) = (&secret.name.name, secret.value.expose_secret());
    if value.len() > LONGEST {
        return Err(Fault::unsupported(format!("the secret {name} has {} bytes", value.len()))
            .cause(format!("SSM takes {LONGEST}"))
            .hint("split it, or keep secrets in Secrets Manager: `provider.lambda.secrets: secretsmanager`"));
    }
    match std::str::from_utf8(value) {
        Ok("") => Err(Fault::usage(format!("the secret {name} is empty")).cause("SSM takes no empty values")),
        Ok(text) => Ok(text),
        // Without the error: it tells where the bytes are.
        Err(_) => Err(Fault::unsupported(format!("the secret {name} is no text")).cause("SSM takes text only").hint(
            "encode it, as by base64, and decode it in the function; or use `provider.lambda.secrets: secretsmanager`",
        )),
    }
}

/// Writes one; `None` when it is there and must not be replaced, else whether it is new.
///
/// # Errors
/// When SSM does not take it.
pub async fn put(aws: &Aws, secret: &Secret, overwrite: bool) -> Result<Option<bool>> {
    let put = aws
        .ssm
        .put_parameter()
        .name(path(&secret.name))
        .value(text(secret)?)
        .r#type(ParameterType::SecureString)
        .tier(ParameterTier::Standard)
        .overwrite(overwrite)
        .send()
        .await;
    match put {
        Ok(output) => Ok(Some(output.version() == 1)),
        Err(error) if code(&error) == "ParameterAlreadyExists" => Ok(None),
        Err(error) => Err(fault(format!("can't write the secret {}", secret.name.name), &error)),
    }
}

/// The names in a namespace.
///
/// # Errors
/// When SSM can't be asked.
pub async fn names(aws: &Aws, namespace: Option<&str>) -> Result<Vec<String>> {
    let folder = folder(namespace);
    let filter = ParameterStringFilter::builder()
        .key("Path")
        .option("OneLevel")
        .values(&folder)
        .build()
        .or_fault(|| "can't ask for secrets".into())?;
    let mut pages = aws.ssm.describe_parameters().parameter_filters(filter).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("can't list the secrets", &error))?;
        let found = page.parameters().iter().filter_map(|p| p.name()?.strip_prefix(&folder)?.strip_prefix('/'));
        names.extend(found.map(str::to_owned));
    }
    Ok(names)
}

/// Removes one.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is none.
pub async fn remove(aws: &Aws, name: &SecretName) -> Result<()> {
    match aws.ssm.delete_parameter().name(path(name)).send().await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "ParameterNotFound" => Err(gone(name)),
        Err(error) => Err(fault(format!("can't remove the secret {}", name.name), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &[u8]) -> Secret {
        let name = SecretName { name: "key".into(), namespace: Some("shop".into()) };
        Secret { name, value: value.to_vec().into() }
    }

    #[test]
    fn values_that_ssm_does_not_take_are_refused_without_telling_them() {
        assert_eq!(text(&secret(b"s3cret\n")).unwrap(), "s3cret\n");
        for wrong in [vec![], vec![b'x'; LONGEST + 1], vec![0xff, b's', b'e', b'c']] {
            let fault = text(&secret(&wrong)).unwrap_err();
            assert!(!format!("{fault:?}").contains("sec\""), "{fault:?}");
        }
        assert_eq!(path(&secret(b"").name), "/faas/shop/key");
    }
}
