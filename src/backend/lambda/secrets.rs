//! Secrets as SSM SecureStrings, `/faas/NAMESPACE/NAME`: they cost nothing and are encrypted with the account's key.
use async_trait::async_trait;
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterTier, ParameterType};
use secrecy::ExposeSecret;

use super::Lambda;
use super::fault::{code, fault};
use crate::backend::{Secret, SecretName, Secrets, Written};
use crate::error::{Fault, OrFault, Result};

/// Bytes of a standard parameter.
const LONGEST: usize = 4096;
/// Where secrets without a namespace are.
const DEFAULT: &str = "default";

fn folder(namespace: Option<&str>) -> String {
    format!("/faas/{}", namespace.unwrap_or(DEFAULT))
}

fn path(name: &SecretName) -> String {
    format!("{}/{}", folder(name.namespace.as_deref()), name.name)
}

/// The value as SSM takes it.
fn text(secret: &Secret) -> Result<&str> {
    let (name, value) = (&secret.name.name, secret.value.expose_secret());
    if value.len() > LONGEST {
        return Err(Fault::unsupported(format!("the secret {name} has {} bytes", value.len()))
            .cause(format!("SSM takes {LONGEST}"))
            .hint("split it, or keep it in Secrets Manager and read it in the function"));
    }
    match std::str::from_utf8(value) {
        Ok("") => Err(Fault::usage(format!("the secret {name} is empty")).cause("SSM takes no empty values")),
        Ok(text) => Ok(text),
        // Without the error: it tells where the bytes are.
        Err(_) => Err(Fault::unsupported(format!("the secret {name} is no text"))
            .cause("SSM takes text only")
            .hint("encode it, as by base64, and decode it in the function")),
    }
}

impl Lambda {
    async fn put(&self, secret: &Secret, overwrite: bool) -> Result<Option<i64>> {
        let aws = self.aws().await?;
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
            Ok(output) => Ok(Some(output.version())),
            Err(error) if code(&error) == "ParameterAlreadyExists" => Ok(None),
            Err(error) => Err(fault(format!("can't write the secret {}", secret.name.name), &error)),
        }
    }
}

#[async_trait]
impl Secrets for Lambda {
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>> {
        let aws = self.aws().await?;
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
            names.extend(
                found.map(|name| SecretName { name: name.to_owned(), namespace: namespace.map(str::to_owned) }),
            );
        }
        names.sort();
        Ok(names)
    }

    async fn create(&self, secret: &Secret, replace: bool) -> Result<Written> {
        match self.put(secret, false).await? {
            Some(_) => return Ok(Written::Created),
            None if !replace => {
                return Err(Fault::failed(format!("the secret {} is there already", secret.name.name))
                    .hint("`faas secret update` gives it another value"));
            }
            None => {}
        }
        match self.put(secret, true).await? {
            // Removed in between.
            Some(1) => Ok(Written::Created),
            _ => Ok(Written::Updated),
        }
    }

    async fn update(&self, secret: &Secret) -> Result<()> {
        let there = self.list(secret.name.namespace.as_deref()).await?;
        if !there.contains(&secret.name) {
            return Err(Fault::not_found(format!("there is no secret {}", secret.name.name))
                .hint("`faas secret create` makes it"));
        }
        self.put(secret, true).await.map(|_| ())
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let aws = self.aws().await?;
        match aws.ssm.delete_parameter().name(path(name)).send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == "ParameterNotFound" => {
                Err(Fault::not_found(format!("there is no secret {}", name.name))
                    .hint("`faas secret list` shows which there are"))
            }
            Err(error) => Err(fault(format!("can't remove the secret {}", name.name), &error)),
        }
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
