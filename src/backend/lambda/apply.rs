//! Making Lambda as a change says: create or update, publish, move the alias, and mark what was applied when all is done.
//!
//! Code and configuration never change at the same time, and every step is found done when it is run again.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::types::AliasConfiguration;

use super::Lambda;
use super::aws::Aws;
use super::create::{clean, code_of, fresh, refused, unknown_role};
use super::fault::{code, fault, said};
use super::name::{ALIAS, EXTRAS_KEY, URL_KEY, escape};
use super::role::Role;
use super::wait::{self, There};
use super::wanted::{Code, Wanted};
use super::{extras, observe, preview, prune, remove, url};
use crate::backend::{ARTIFACT_KEY, Change, Deployed, How, SPEC_KEY, Secrets};
use crate::error::{Fault, Kind, Result};
use crate::history::{RECORD_KEY, Record};
use crate::progress::Progress;

/// How often a deploy is begun whose function somebody else changes meanwhile.
const STALE: u32 = 4;
/// How often a step is tried while Lambda still works on the one before.
const BUSY_RETRIES: u32 = 60;

/// A step that ended because somebody else changed the function since it was read.
pub(super) enum Stop {
    Stale(Fault),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Makes Lambda as `change` says; with a `share`, the new version gets only so many percent of the calls.
///
/// # Errors
/// What Lambda refused, and why.
pub async fn apply(lambda: &Lambda, change: &Change, share: Option<u8>, progress: &dyn Progress) -> Result<Deployed> {
    let aws = lambda.aws().await?;
    let wanted = Wanted::of(change, &lambda.settings)?;
    if let Code::Zip { path, .. } = &wanted.code {
        super::package::check(&wanted.name, path)?;
    }
    if change.how == How::Replace {
        secrets_are_there(lambda, change).await?;
        match remove::remove(aws, &change.function.id(), remove::What::Function).await {
            Err(fault) if fault.kind != Kind::NotFound => return Err(fault),
            _ => {}
        }
    }
    let mut tried = 1;
    loop {
        match once(lambda, aws, change, &wanted, share, progress).await {
            // Somebody else changed it in between: look again.
            Err(Stop::Stale(_)) if tried < STALE => {
                progress.step(&change.function.name, "changed by somebody else meanwhile: looking again");
                tokio::time::sleep(Duration::from_millis(300) * tried).await;
                tried += 1;
            }
            Err(Stop::Stale(fault)) => {
                return Err(fault.hint("somebody else is deploying it: wait until that is done, and run this again"));
            }
            Err(Stop::Fault(fault)) => return Err(fault),
            Ok(deployed) => return Ok(deployed),
        }
    }
}

/// A function whose secrets are not there would not start. Who may not list them is not asked.
async fn secrets_are_there(lambda: &Lambda, change: &Change) -> Result<()> {
    let function = &change.function;
    if function.secrets.is_empty() {
        return Ok(());
    }
    let Ok(there) = Secrets::list(lambda, function.namespace.as_deref()).await else { return Ok(()) };
    match function.secrets.iter().find(|name| there.iter().all(|secret| secret.name != **name)) {
        None => Ok(()),
        Some(name) => Err(Fault::failed(format!("the secret {name} of {} is not there", function.name))
            .hint(format!("`faas secret create {name}` makes it"))),
    }
}

async fn once(
    lambda: &Lambda,
    aws: &Aws,
    change: &Change,
    wanted: &Wanted,
    share: Option<u8>,
    progress: &dyn Progress,
) -> Result<Deployed, Stop> {
    let subject = &change.function.name;
    let there = wait::read(aws, &wanted.name).await?;
    let there = match there {
        Some(_) if change.how == How::Create => {
            return Err(Stop::Fault(
                Fault::failed(format!("{subject} is there already"))
                    .hint("leave out --update=false, or pass --replace"),
            ));
        }
        Some(there) => there,
        None => {
            secrets_are_there(lambda, change).await?;
            progress.step(subject, "creating");
            return fresh(lambda, aws, change, wanted).await;
        }
    };
    let alias = get_alias(aws, &wanted.name).await?;
    let marks = marks(change);
    let marked = marks.iter().chain(&wanted.tags).all(|(key, value)| there.tags.get(key) == Some(value));
    let own = own_role(change, wanted, &there, &aws.region);
    // Before it is known whether anything changed, nothing is asked for that need not be.
    let mut role = match &own {
        Some(_) => Role { arn: there.configuration.role().unwrap_or_default().to_owned(), young: false },
        None => {
            let name = super::role::name_for(&change.stack, &aws.region);
            lambda.roles.ensure(aws, wanted, &change.stack, &name).await?
        }
    };
    let differs = wanted.differs(&there.configuration, &role.arn);
    let code_differs = wanted.code_differs(&there.configuration, there.image.as_deref());
    let url_there = there.tags.get(URL_KEY);
    let drifted = !preview::seen(&there, wanted, change, &aws.region).is_empty();
    if let (true, true, false, false, Some(alias), false) =
        (marked, differs.is_empty(), code_differs, drifted, &alias, change.force)
    {
        return Ok(observe::deployed(&there, Some(alias)));
    }

    secrets_are_there(lambda, change).await?;
    if let Some(name) = &own {
        // Somebody may have taken it away.
        role = lambda.roles.ensure(aws, wanted, &change.stack, name).await?;
    }
    allow(aws, wanted, &role).await?;
    if code_differs {
        progress.step(subject, "updating the code");
        update_code(aws, wanted, &there).await?;
        wait::settled(aws, &wanted.name).await?;
    }
    // A role that was made anew is another one to Lambda, by whatever name.
    if !differs.is_empty() || (own.is_some() && role.young && change.force) {
        let what = if differs.is_empty() { "its role".to_owned() } else { differs.join(", ") };
        progress.step(subject, &format!("updating {what}"));
        update_configuration(aws, wanted, &role).await?;
        wait::settled(aws, &wanted.name).await?;
    }
    progress.step(subject, "publishing");
    let version = publish(aws, wanted, change).await?;
    wait::published(aws, &wanted.name, &version).await?;
    let main = match alias.as_ref().and_then(AliasConfiguration::function_version) {
        // What was put right is beside the versions: which of them is called stays as it was.
        Some(main) if marked && differs.is_empty() && !code_differs && !change.force => main.to_owned(),
        _ => move_alias(aws, wanted, alias.as_ref(), &version, share).await?,
    };
    let mut tags = wanted.tags.clone();
    if let Some(address) = url::ensure(aws, wanted, url_there.is_some()).await? {
        tags.insert(URL_KEY.into(), address);
    }
    extras::ensure(lambda, aws, wanted, &change.stack, &there).await?;
    tags.extend(extras::tag(&extras::wanted(wanted)).map(|list| (EXTRAS_KEY.to_owned(), list)));
    let limit = super::concurrency::wanted(wanted, &there, change);
    super::concurrency::limit(aws, &wanted.name, limit, there.concurrency).await?;
    if let Some(days) = wanted.log_retention {
        super::logs::keep_for(aws, &wanted.name, days).await?;
    }
    prune::prune(aws, &wanted.name, &version).await?;
    // Last: these say that everything before is done.
    tags.extend(marks);
    tag(aws, wanted, &there, &tags).await?;
    let there = wait::read(aws, &wanted.name).await?;
    let there = there.ok_or_else(|| Fault::not_found(format!("{subject} went away")))?;
    Ok(observe::deployed(&there, Some(&AliasConfiguration::builder().name(ALIAS).function_version(main).build())))
}

/// The tags that say what was applied.
pub(super) fn marks(change: &Change) -> BTreeMap<String, String> {
    BTreeMap::from([(SPEC_KEY.into(), escape(&change.spec)), (ARTIFACT_KEY.into(), escape(change.artifact.identity()))])
}

/// The stack's own role that it runs as, where it is to go on so; by its name.
pub(super) fn own_role(change: &Change, wanted: &Wanted, there: &There, region: &str) -> Option<String> {
    let has = there.configuration.role().filter(|_| wanted.role.is_none())?;
    super::role::own(has, &change.stack, region)
}

/// Gives the stack's own role what the function needs. A role that was named is somebody else's.
pub(super) async fn allow(aws: &Aws, wanted: &Wanted, role: &Role) -> Result<()> {
    if !wanted.has_rights() {
        return Ok(());
    }
    let account = role.arn.split(':').nth(4).unwrap_or_default();
    let statements = wanted.statements(super::role::partition(&aws.region), &aws.region, account);
    super::role::allow(aws, role.name(), &wanted.name, &statements).await
}

/// Sends a change, and again while Lambda still works on the one before.
///
/// # Errors
/// What Lambda answered last.
pub async fn steadily<T, E, F>(aws: &Aws, name: &str, send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut tried = 0;
    loop {
        let error = match send().await {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        let said = said(&error);
        let busy = code(&error) == "ResourceConflictException"
            && ["in progress", "Pending", "cannot be performed at this time"].iter().any(|w| said.contains(w));
        tried += 1;
        if !busy || tried > BUSY_RETRIES {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        // What went wrong there shows when this change is sent again.
        let _ = wait::settled(aws, name).await;
    }
}

async fn update_code(aws: &Aws, wanted: &Wanted, there: &There) -> Result<(), Stop> {
    let request = aws
        .lambda
        .update_function_code()
        .function_name(&wanted.name)
        .architectures(wanted.architecture.clone())
        .set_revision_id(there.configuration.revision_id().map(str::to_owned));
    let code_of = code_of(aws, wanted).await?;
    let request = request
        .set_zip_file(code_of.zip_file().cloned())
        .set_s3_bucket(code_of.s3_bucket().map(str::to_owned))
        .set_s3_key(code_of.s3_key().map(str::to_owned))
        .set_image_uri(code_of.image_uri().map(str::to_owned));
    let sent = steadily(aws, &wanted.name, || request.clone().send()).await;
    clean(aws, &code_of).await;
    match sent {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "PreconditionFailedException" => {
            Err(Stop::Stale(fault(format!("{} was changed by somebody else meanwhile", wanted.name), &error)))
        }
        Err(error) => Err(Stop::Fault(refused("update the code of", wanted, &error))),
    }
}

async fn update_configuration(aws: &Aws, wanted: &Wanted, role: &Role) -> Result<(), Stop> {
    let request = aws
        .lambda
        .update_function_configuration()
        .function_name(&wanted.name)
        .role(&role.arn)
        .set_runtime(wanted.code.runtime())
        .set_handler(wanted.code.handler())
        .description(&wanted.description)
        .timeout(wanted.timeout)
        .memory_size(wanted.memory)
        .environment(wanted.variables())
        .ephemeral_storage(wanted.storage()?)
        .tracing_config(wanted.tracing_config())
        .set_layers(Some(wanted.layers.clone()))
        .vpc_config(wanted.network())
        .dead_letter_config(wanted.dead_letters());
    let mut waited = Duration::ZERO;
    loop {
        match steadily(aws, &wanted.name, || request.clone().send()).await {
            Ok(_) => return Ok(()),
            Err(error) if role.young && unknown_role(&error) && waited < super::role::SETTLES => {
                tokio::time::sleep(Duration::from_secs(4)).await;
                waited += Duration::from_secs(4);
            }
            Err(error) => return Err(Stop::Fault(refused("update", wanted, &error))),
        }
    }
}

/// Publishes what was deployed; the version that is there already, when nothing changed since.
async fn publish(aws: &Aws, wanted: &Wanted, change: &Change) -> Result<String, Stop> {
    let mut request = aws.lambda.publish_version().function_name(&wanted.name);
    // Tags are of the function as a whole: a version has nothing but its description.
    request = request.set_description(change.history.first().map(Record::description));
    if let Code::Zip { sha256, .. } = &wanted.code {
        request = request.code_sha256(sha256);
    }
    let output = steadily(aws, &wanted.name, || request.clone().send()).await.map_err(|error| {
        let other_code = said(&error).to_ascii_lowercase().contains("codesha256");
        let fault = fault(format!("can't publish a version of {}", wanted.name), &error);
        match other_code || code(&error) == "PreconditionFailedException" {
            true => Stop::Stale(fault),
            false => Stop::Fault(fault),
        }
    })?;
    let version = output.version().filter(|version| *version != "$LATEST").map(str::to_owned);
    version.ok_or_else(|| Stop::Fault(Fault::failed(format!("Lambda told no version of {}", wanted.name))))
}

/// The alias that calls go to.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn get_alias(aws: &Aws, name: &str) -> Result<Option<AliasConfiguration>> {
    match aws.lambda.get_alias().function_name(name).name(ALIAS).send().await {
        Ok(output) => Ok(Some(
            AliasConfiguration::builder()
                .set_alias_arn(output.alias_arn().map(str::to_owned))
                .set_function_version(output.function_version().map(str::to_owned))
                .set_description(output.description().map(str::to_owned))
                .set_routing_config(output.routing_config().cloned())
                .build(),
        )),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
        Err(error) => Err(fault(format!("can't look up the alias {ALIAS} of {name}"), &error)),
    }
}

/// Puts the alias on a version; the version that most calls go to then.
///
/// # Errors
/// When Lambda refuses it.
pub(super) async fn move_alias(
    aws: &Aws,
    wanted: &Wanted,
    alias: Option<&AliasConfiguration>,
    version: &str,
    share: Option<u8>,
) -> Result<String> {
    let name = &wanted.name;
    let Some(alias) = alias else {
        let created = aws.lambda.create_alias().function_name(name).name(ALIAS).function_version(version).send().await;
        return match created {
            Ok(_) => Ok(version.to_owned()),
            // Another run of ours was faster; it may have an older version.
            Err(error) if matches!(code(&error), "ResourceConflictException" | "ConflictException") => {
                super::traffic::point(aws, name, version, None, None).await.map(|()| version.to_owned())
            }
            Err(error) => Err(fault(format!("can't make the alias {ALIAS} of {name}"), &error)),
        };
    };
    let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
    let before = alias.function_version().unwrap_or_default();
    let served = super::traffic::mark(alias);
    if let Some(share) = share.filter(|share| *share < 100 && before != version) {
        let weight = (share > 0).then(|| (version.to_owned(), f64::from(share) / 100.0));
        return super::traffic::point(aws, name, before, weight, served).await.map(|()| before.to_owned());
    }
    if alias.function_version() != Some(version) || !weights.is_none_or(HashMap::is_empty) {
        super::traffic::point(aws, name, version, None, served).await?;
    }
    Ok(version.to_owned())
}

pub(super) async fn tag(aws: &Aws, wanted: &Wanted, there: &There, tags: &BTreeMap<String, String>) -> Result<()> {
    let arn = there.configuration.function_arn().unwrap_or_default();
    let why = || format!("can't tag {}", wanted.name);
    let kept = |key: &str| key.starts_with("aws:") || key == RECORD_KEY;
    let set: HashMap<_, _> = tags.iter().filter(|(key, value)| there.tags.get(*key) != Some(*value)).collect();
    // Tags of AWS itself and of others' tools stay; what is ours or was a label of ours goes.
    let gone: Vec<String> = match there.tags.contains_key(crate::backend::STACK_KEY) {
        true => there.tags.keys().filter(|key| !tags.contains_key(*key) && !kept(key)).cloned().collect(),
        false => Vec::new(),
    };
    if !gone.is_empty() {
        let untagged = aws.lambda.untag_resource().resource(arn).set_tag_keys(Some(gone)).send().await;
        untagged.map_err(|error| fault(why(), &error))?;
    }
    if !set.is_empty() {
        let set = set.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let tagged = aws.lambda.tag_resource().resource(arn).set_tags(Some(set)).send().await;
        tagged.map_err(|error| fault(why(), &error))?;
    }
    Ok(())
}
