//! Secrets: `faas secret` writes them into SSM or Secrets Manager, functions get their names and places, and the invoker
//! reads the values when it starts. They are in no variable, no tag and no archive.
use async_trait::async_trait;

use super::settings::Store;
use super::{Lambda, manager, parameters};
use crate::backend::{Existing, Secret, SecretName, Secrets, Written};
use crate::error::{Fault, Result};
use crate::function::Function;

/// Where secrets without a namespace are.
const DEFAULT: &str = "default";

/// A secret of a function, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SSM or Secrets Manager.
    pub store: Store,
    /// Its name there.
    pub id: String,
}

impl Kept {
    /// The ARN for a policy. Secrets Manager puts six characters of its own behind the name.
    #[must_use]
    pub fn arn(&self, partition: &str, region: &str, account: &str) -> String {
        match self.store {
            Store::Ssm => format!("arn:{partition}:ssm:{region}:{account}:parameter{}", self.id),
            Store::SecretsManager => {
                format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{}-??????", self.id)
            }
        }
    }
}

/// The folder of a namespace.
#[must_use]
pub fn folder(namespace: Option<&str>) -> String {
    format!("/faas/{}", namespace.unwrap_or(DEFAULT))
}

/// A secret's path.
#[must_use]
pub fn path(name: &SecretName) -> String {
    format!("{}/{}", folder(name.namespace.as_deref()), name.name)
}

/// A function's secrets and where they are kept.
#[must_use]
pub fn kept(function: &Function, store: Store) -> Vec<Kept> {
    let one = |name: &String| {
        let path = path(&SecretName { name: name.clone(), namespace: function.namespace.clone() });
        let id = match store {
            Store::Ssm => path,
            Store::SecretsManager => path.trim_start_matches('/').to_owned(),
        };
        Kept { store, id }
    };
    function.secrets.iter().map(one).collect()
}

/// The same as the invoker reads it: `name=ssm:/path,…`.
#[must_use]
pub fn list(function: &Function, store: Store) -> Option<String> {
    let place = |kept: &Kept| match kept.store {
        Store::Ssm => format!("ssm:{}", kept.id),
        Store::SecretsManager => format!("secretsmanager:{}", kept.id),
    };
    let kept = kept(function, store);
    let all: Vec<String> =
        function.secrets.iter().zip(&kept).map(|(name, kept)| format!("{name}={}", place(kept))).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// The names in such a list.
#[must_use]
pub fn names_in(list: &str) -> Vec<String> {
    list.split(',').filter_map(|one| Some(one.split_once('=')?.0.to_owned())).collect()
}

/// That there is none.
#[must_use]
pub fn gone(name: &SecretName) -> Fault {
    Fault::not_found(format!("there is no secret {}", name.name)).hint("`faas secret list` shows which there are")
}

impl Lambda {
    async fn put(&self, secret: &Secret, overwrite: bool) -> Result<Option<bool>> {
        let aws = self.aws().await?;
        match self.settings.secrets {
            Store::Ssm => parameters::put(aws, secret, overwrite).await,
            Store::SecretsManager => manager::put(aws, secret, overwrite).await,
        }
    }
}

#[async_trait]
impl Secrets for Lambda {
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>> {
        let aws = self.aws().await?;
        let mut names = match self.settings.secrets {
            Store::Ssm => parameters::names(aws, namespace).await?,
            Store::SecretsManager => manager::names(aws, namespace).await?,
        };
        names.sort();
        Ok(names.into_iter().map(|name| SecretName { name, namespace: namespace.map(str::to_owned) }).collect())
    }

    async fn create(&self, secret: &Secret, existing: Existing) -> Result<Written> {
        match self.put(secret, false).await? {
            Some(_) => return Ok(Written::Created),
            None if existing == Existing::Refuse => {
                return Err(Fault::failed(format!("the secret {} is there already", secret.name.name))
                    .hint("`faas secret update` gives it another value"));
            }
            None => {}
        }
        match self.put(secret, true).await? {
            // Removed in between.
            Some(true) => Ok(Written::Created),
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
        match self.settings.secrets {
            Store::Ssm => parameters::remove(aws, name).await,
            Store::SecretsManager => manager::remove(aws, name).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_names_and_places() {
        let function = Function {
            name: "tax".into(),
            namespace: Some("shop".into()),
            secrets: vec!["a".into(), "b".into()],
            ..Function::default()
        };
        let told = list(&function, Store::Ssm).unwrap();
        assert_eq!(told, "a=ssm:/faas/shop/a,b=ssm:/faas/shop/b");
        assert_eq!(names_in(&told), ["a", "b"]);
        assert_eq!(
            list(&function, Store::SecretsManager).unwrap().split(',').next(),
            Some("a=secretsmanager:faas/shop/a")
        );
        assert_eq!(list(&Function::default(), Store::Ssm), None);
        let arn = |store| kept(&function, store)[0].arn("aws", "eu-west-1", "1");
        assert_eq!(arn(Store::Ssm), "arn:aws:ssm:eu-west-1:1:parameter/faas/shop/a");
        assert_eq!(arn(Store::SecretsManager), "arn:aws:secretsmanager:eu-west-1:1:secret:faas/shop/a-??????");
    }
}
