//! A function that was not there: made, published and put behind its alias by as few calls as that takes, since an account
//! may make only some in a second.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, PackageType};

use super::Lambda;
use super::apply::{Stop, allow, marks, move_alias, tag};
use super::aws::Aws;
use super::concurrency::limit;
use super::fault::{code, fault, said};
use super::name::{ALIAS, EXTRAS_KEY, URL_KEY, escape};
use super::package::{self, Package};
use super::role::Role;
use super::wait;
use super::wanted::{Code, Wanted};
use super::{bucket, extras, observe, url};
use crate::backend::{Change, Deployed};
use crate::error::{Fault, Result};
use crate::history::{RECORD_KEY, Record};

/// What to do where AWS does not take the role that was made for the stack.
const OWN_ROLE: &str = "faas made this role: try again in a minute, AWS may not know it everywhere yet; else somebody has \
                        changed whom it trusts (lambda.amazonaws.com), or the organization forbids it: `--role ARN` names \
                        another";

/// Makes it. Killed in between, the next deploy finds the function and does what is missing.
pub(super) async fn fresh(lambda: &Lambda, aws: &Aws, change: &Change, wanted: &Wanted) -> Result<Deployed, Stop> {
    let name = &wanted.name;
    let own = super::role::name_for(&change.stack, &aws.region);
    let role = lambda.roles.ensure(aws, wanted, &change.stack, &own).await?;
    allow(aws, wanted, &role).await?;
    let marks = marks(change);
    // Where nothing comes after the alias, which is looked for by itself, the marks can come along: one call less.
    let extras = extras::wanted(wanted);
    let simple =
        extras.is_empty() && wanted.url.is_none() && wanted.concurrency.is_none() && wanted.log_retention.is_none();
    let version = create(aws, wanted, &role, simple.then_some(&marks), change.history.first()).await?;
    wait::made(aws, name, &version).await?;
    let there = wait::read(aws, name).await?;
    let mut there = there.ok_or_else(|| Fault::not_found(format!("{} went away", change.function.name)))?;
    move_alias(aws, wanted, None, &version, None).await?;
    let mut tags = wanted.tags.clone();
    if !simple {
        if let Some(address) = url::ensure(aws, wanted, false).await? {
            tags.insert(URL_KEY.into(), address);
        }
        extras::ensure(lambda, aws, wanted, &change.stack, &there).await?;
        tags.extend(extras::tag(&extras).map(|list| (EXTRAS_KEY.to_owned(), list)));
        limit(aws, name, wanted.concurrency, there.concurrency).await?;
        if let Some(days) = wanted.log_retention {
            super::logs::keep_for(aws, name, days).await?;
        }
        // Last: these say that everything before is done.
        tags.extend(marks.clone());
        tag(aws, wanted, &there, &tags).await?;
    }
    tags.extend(marks);
    there.tags.extend(tags);
    there.concurrency = wanted.concurrency;
    let alias = aws_sdk_lambda::types::AliasConfiguration::builder().name(ALIAS).function_version(version).build();
    Ok(observe::deployed(&there, Some(&alias)))
}

/// The code for the API; what is too large for a request goes by a bucket.
pub(super) async fn code_of(aws: &Aws, wanted: &Wanted) -> Result<FunctionCode> {
    match &wanted.code {
        Code::Zip { path, .. } => match package::read(path)? {
            Package::Direct(zip) => Ok(FunctionCode::builder().zip_file(Blob::new(zip)).build()),
            Package::Large(zip) => Ok(bucket::put(aws, wanted.bucket.as_deref(), &wanted.name, zip).await?.code()),
        },
        Code::Image { uri, .. } => Ok(FunctionCode::builder().image_uri(uri).build()),
    }
}

/// Takes away what was only there for Lambda to fetch.
pub(super) async fn clean(aws: &Aws, code: &FunctionCode) {
    if let (Some(bucket), Some(key)) = (code.s3_bucket(), code.s3_key()) {
        bucket::remove(aws, &bucket::Object { bucket: bucket.to_owned(), key: key.to_owned() }).await;
    }
}

/// Makes the function and its first version; tells the version.
async fn create(
    aws: &Aws,
    wanted: &Wanted,
    role: &Role,
    marks: Option<&BTreeMap<String, String>>,
    record: Option<&Record>,
) -> Result<String, Stop> {
    let code_of = code_of(aws, wanted).await?;
    let package = if code_of.image_uri().is_some() { PackageType::Image } else { PackageType::Zip };
    let mut tags: HashMap<String, String> = wanted.tags.clone().into_iter().collect();
    // The first version comes with the function, whose description is the user's.
    tags.extend(record.map(|record| (RECORD_KEY.to_owned(), escape(&record.description()))));
    tags.extend(marks.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    let mut vpc = None;
    if !wanted.vpc.subnets.is_empty() {
        vpc = Some(wanted.network());
    }
    let request = aws
        .lambda
        .create_function()
        .function_name(&wanted.name)
        .role(&role.arn)
        .package_type(package)
        .set_runtime(wanted.code.runtime())
        .set_handler(wanted.code.handler())
        .code(code_of.clone())
        .description(&wanted.description)
        .timeout(wanted.timeout)
        .memory_size(wanted.memory)
        .architectures(wanted.architecture.clone())
        .environment(wanted.variables())
        .ephemeral_storage(wanted.storage()?)
        .tracing_config(wanted.tracing_config())
        .set_layers((!wanted.layers.is_empty()).then(|| wanted.layers.clone()))
        .set_vpc_config(vpc)
        .set_dead_letter_config(wanted.dead_letter.is_some().then(|| wanted.dead_letters()))
        .set_tags(Some(tags))
        .publish(true);
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_secs(1);
    loop {
        match request.clone().send().await {
            Ok(output) => {
                clean(aws, &code_of).await;
                return Ok(output.version().unwrap_or("1").to_owned());
            }
            Err(error) if code(&error) == "ResourceConflictException" && said(&error).contains("already exist") => {
                return Err(Stop::Stale(fault(format!("can't create {}", wanted.name), &error)));
            }
            // A new role takes its time until all of AWS knows it.
            Err(error) if role.young && unknown_role(&error) && waited < super::role::SETTLES => {
                tokio::time::sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(Duration::from_secs(8));
            }
            Err(error) => return Err(Stop::Fault(refused("create", wanted, &error))),
        }
    }
}

pub(super) fn unknown_role<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let said = said(error);
    code(error) == "InvalidParameterValueException"
        && ["cannot be assumed", "KMS", "does not have permissions to call"].iter().any(|words| said.contains(words))
}

pub(super) fn refused<E>(verb: &str, wanted: &Wanted, error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let fault = fault(format!("can't {verb} {}", wanted.name), error);
    match said(error) {
        said if said.contains("cannot be assumed") => fault.hint(match &wanted.role {
            Some(_) => "the role must trust lambda.amazonaws.com; leave `role` out and one is made",
            None => OWN_ROLE,
        }),
        said if said.contains("media type") => {
            fault.hint("Lambda takes single images only: build with --provenance=false --sbom=false, for one platform")
        }
        _ => fault,
    }
}
