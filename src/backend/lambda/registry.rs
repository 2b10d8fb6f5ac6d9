//! The account's registry, ECR: the repository is made before the first push, and signed in to for half a day.
use base64::Engine;

use super::Lambda;
use super::fault::{code, fault};
use crate::backend::RegistryLogin;
use crate::error::{Fault, OrFault, Result};

/// Readies the registry for the image `reference`; `None` when that is not in the account's own.
///
/// # Errors
/// When the repository can't be made, or ECR gives no login.
pub async fn ready(lambda: &Lambda, reference: &str) -> Result<Option<RegistryLogin>> {
    let Some((registry, repository)) = parts(reference, lambda.settings.registry.as_deref()) else { return Ok(None) };
    let aws = lambda.aws().await?;
    let found = aws.ecr.describe_repositories().repository_names(repository).send().await;
    match found {
        Ok(_) => {}
        Err(error) if code(&error) == "RepositoryNotFoundException" => {
            let made = aws.ecr.create_repository().repository_name(repository).send().await;
            match made {
                Ok(_) => {}
                // Another function of the same name was faster.
                Err(error) if code(&error) == "RepositoryAlreadyExistsException" => {}
                Err(error) => return Err(fault(format!("can't make the ECR repository {repository}"), &error)),
            }
        }
        Err(error) => return Err(fault(format!("can't look up the ECR repository {repository}"), &error)),
    }
    let output = aws.ecr.get_authorization_token().send().await;
    let output = output.map_err(|error| fault("can't sign in to ECR", &error))?;
    let token = output.authorization_data().first().and_then(|data| data.authorization_token());
    let token = token.ok_or_else(|| Fault::failed("ECR gave no login"))?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(token).or_fault(|| "ECR gave no login".into())?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::failed("ECR gave no login"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| Fault::failed("ECR gave no login"))?;
    Ok(Some(RegistryLogin {
        registry: registry.to_owned(),
        user: user.to_owned(),
        password: password.to_owned().into(),
    }))
}

/// Registry and repository of an image in ECR, or in what stands for it.
pub(super) fn parts<'r>(reference: &'r str, stand_in: Option<&str>) -> Option<(&'r str, &'r str)> {
    let (registry, path) = reference.split_once('/')?;
    let path = path.split('@').next().unwrap_or(path);
    let repository = path.split(':').next().unwrap_or(path);
    (registry.contains(".dkr.ecr.") || Some(registry) == stand_in).then_some((registry, repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_in_the_account_and_others() {
        let ecr = "1.dkr.ecr.eu-west-1.amazonaws.com";
        let reference = format!("{ecr}/shop/tax:1@sha256:ab");
        assert_eq!(parts(&reference, None), Some((ecr, "shop/tax")));
        assert_eq!(parts("127.0.0.1:5000/tax:1", Some("127.0.0.1:5000")), Some(("127.0.0.1:5000", "tax")));
        assert_eq!(parts("docker.io/me/tax", None), None);
        assert_eq!(parts("tax", None), None);
    }
}
