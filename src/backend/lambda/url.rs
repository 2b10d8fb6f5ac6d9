//! A function's URL, on the alias, with the two permissions that a public one needs.
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::types::{Cors as LambdaCors, FunctionUrlAuthType, InvokeMode};

use super::aws::Aws;
use super::fault::{code, fault};
use super::name::ALIAS;
use super::settings::Cors;
use super::wanted::Wanted;
use crate::error::Result;
use crate::function::UrlAccess;

/// The statement that lets anyone call the URL.
pub(super) const URL: &str = "faas-url";
/// The statement that lets anyone who calls the URL call the function; since October 2025 both are needed.
pub(super) const INVOKE: &str = "faas-url-invoke";

/// Makes the URL as it is wanted, and tells it. `there` says whether there is one of ours.
///
/// # Errors
/// When Lambda refuses it.
pub async fn ensure(aws: &Aws, wanted: &Wanted, there: bool) -> Result<Option<String>> {
    let name = &wanted.name;
    let Some(url) = &wanted.url else {
        if there {
            remove(aws, name).await?;
        }
        return Ok(None);
    };
    let access = url.access;
    let mode = if url.streaming { InvokeMode::ResponseStream } else { InvokeMode::Buffered };
    let cors = url.cors.as_ref().map(cors);
    let auth = match access {
        UrlAccess::Public => FunctionUrlAuthType::None,
        UrlAccess::Iam | UrlAccess::None => FunctionUrlAuthType::AwsIam,
    };
    if access == UrlAccess::Public {
        permit(aws, name).await?;
    } else if there {
        forbid(aws, name).await?;
    }
    let why = || format!("can't make the URL of {name}");
    let created = aws
        .lambda
        .create_function_url_config()
        .function_name(name)
        .qualifier(ALIAS)
        .auth_type(auth.clone())
        .invoke_mode(mode.clone())
        .set_cors(cors.clone())
        .send()
        .await;
    match created {
        Ok(output) => return Ok(Some(output.function_url().to_owned())),
        Err(error) if is_there(&error) => {}
        Err(error) => return Err(fault(why(), &error)),
    }
    let updated = aws
        .lambda
        .update_function_url_config()
        .function_name(name)
        .qualifier(ALIAS)
        .auth_type(auth)
        .invoke_mode(mode)
        // An empty one lifts what was there.
        .cors(cors.unwrap_or_else(|| LambdaCors::builder().build()))
        .send()
        .await;
    Ok(Some(updated.map_err(|error| fault(why(), &error))?.function_url().to_owned()))
}

fn cors(cors: &Cors) -> LambdaCors {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    LambdaCors::builder()
        .set_allow_origins(some(&cors.origins))
        .set_allow_methods(some(&cors.methods))
        .set_allow_headers(some(&cors.headers))
        .set_expose_headers(some(&cors.expose))
        .set_max_age(cors.max_age)
        .allow_credentials(cors.credentials)
        .build()
}

fn is_there<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(code(error), "ResourceConflictException" | "ConflictException")
}

async fn permit(aws: &Aws, name: &str) -> Result<()> {
    let anyone = || aws.lambda.add_permission().function_name(name).qualifier(ALIAS).principal("*");
    let url = anyone()
        .statement_id(URL)
        .action("lambda:InvokeFunctionUrl")
        .function_url_auth_type(FunctionUrlAuthType::None)
        .send();
    let invoke = anyone().statement_id(INVOKE).action("lambda:InvokeFunction").invoked_via_function_url(true).send();
    for result in [url.await, invoke.await] {
        match result {
            Ok(_) => {}
            // From a run before.
            Err(error) if is_there(&error) => {}
            Err(error) => return Err(fault(format!("can't let anyone call the URL of {name}"), &error)),
        }
    }
    Ok(())
}

async fn forbid(aws: &Aws, name: &str) -> Result<()> {
    for statement in [URL, INVOKE] {
        let removed =
            aws.lambda.remove_permission().function_name(name).qualifier(ALIAS).statement_id(statement).send().await;
        match removed {
            Ok(_) => {}
            Err(error) if code(&error) == "ResourceNotFoundException" => {}
            Err(error) => return Err(fault(format!("can't take back the permissions of {name}'s URL"), &error)),
        }
    }
    Ok(())
}

async fn remove(aws: &Aws, name: &str) -> Result<()> {
    match aws.lambda.delete_function_url_config().function_name(name).qualifier(ALIAS).send().await {
        Ok(_) => {}
        Err(error) if code(&error) == "ResourceNotFoundException" => {}
        Err(error) => return Err(fault(format!("can't remove the URL of {name}"), &error)),
    }
    forbid(aws, name).await
}
