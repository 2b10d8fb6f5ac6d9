//! Roles that a profile wants the code of an MFA device for. The SDK knows nothing of `mfa_serial`; this does what the AWS
//! CLI does, and shares its cache: who gave a code there is not asked here again, nor the other way round.
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::profile::{Profile, ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_sdk_sts::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, json};
use sha1::{Digest, Sha1};

use super::fault::{chain, fault};
use super::settings::{AskCode, Settings};
use crate::error::{Fault, Kind, OrFault, Result};
use crate::template::file::cant_write;

/// A session that ends sooner is not used any more, as the AWS CLI has it.
const LEAST: Duration = Duration::from_secs(15 * 60);

/// The profiles that a person has, with the one that counts selected.
///
/// # Errors
/// Files that can't be read as profiles.
pub async fn profiles(settings: &Settings) -> Result<ProfileSet> {
    use aws_types::os_shim_internal::{Env, Fs};
    #[expect(deprecated, reason = "its new name is in a crate below this one")]
    let files = aws_config::profile::profile_file::ProfileFiles::default();
    let selected = settings.profile.clone().map(Into::into);
    aws_config::profile::load(&Fs::real(), &Env::real(), &files, selected)
        .await
        .map_err(|error| Fault::usage("AWS's profiles can't be read").cause(chain(&error)))
}

/// The profiles by which one gets to a role that wants a code: the selected one first, the one that wants it last.
/// `None` when none does, also where the files are wrong: the SDK says that better.
fn links(profiles: &ProfileSet) -> Option<Vec<&Profile>> {
    let mut links: Vec<&Profile> = Vec::new();
    let mut name = profiles.selected_profile();
    while let Some(profile) = profiles.get_profile(name) {
        let fixed = !links.is_empty() && keys(profile).is_some();
        if fixed || profile.get("role_arn").is_none() || links.iter().any(|link| link.name() == profile.name()) {
            break;
        }
        links.push(profile);
        let Some(source) = profile.get("source_profile") else { break };
        name = source;
    }
    let last = links.iter().rposition(|link| link.get("mfa_serial").is_some())?;
    links.truncate(last + 1);
    Some(links)
}

/// The keys that stand in a profile.
fn keys(profile: &Profile) -> Option<Credentials> {
    let (id, secret) = (profile.get("aws_access_key_id")?, profile.get("aws_secret_access_key")?);
    Some(Credentials::new(id, secret, profile.get("aws_session_token").map(str::to_owned), None, "profile"))
}

/// Credentials of the selected profile, when a code is wanted on the way to them.
///
/// # Errors
/// [`Kind::Unauthorized`] when there is no code, or AWS does not take it.
pub async fn credentials(
    profiles: &ProfileSet,
    settings: &Settings,
    base: &SdkConfig,
    http: SharedHttpClient,
) -> Result<Option<Credentials>> {
    let Some(links) = links(profiles) else { return Ok(None) };
    let Some(first) = links.last() else { return Ok(None) };
    // What was kept makes the way to it needless.
    let kept = cache_folder().and_then(|folder| kept(&folder, first));
    let mut credentials = match kept {
        Some(kept) => kept,
        None => {
            let source = source(profiles, first, base, http).await?;
            assume(first, source, base, settings.ask_code.as_ref()).await?
        }
    };
    for link in links.iter().rev().skip(1) {
        credentials = assume(link, credentials, base, settings.ask_code.as_ref()).await?;
    }
    Ok(Some(credentials))
}

/// The credentials that the role is assumed with.
async fn source(
    profiles: &ProfileSet,
    profile: &Profile,
    base: &SdkConfig,
    http: SharedHttpClient,
) -> Result<Credentials> {
    let name = profile.name();
    let Some(source) = profile.get("source_profile") else {
        return Err(Fault::usage(format!("the profile `{name}` wants an MFA code and names no `source_profile`"))
            .hint("an MFA device belongs to a user: `source_profile` names the profile with the user's keys"));
    };
    if let Some(keys) = profiles.get_profile(source).and_then(keys) {
        return Ok(keys);
    }
    let configuration = ProviderConfig::without_region().with_region(base.region().cloned()).with_http_client(http);
    let provider = ProfileFileCredentialsProvider::builder().configure(&configuration).profile_name(source).build();
    provider.provide_credentials().await.map_err(|error| {
        let message = format!("the profile `{source}`, which `{name}` builds on, gives no credentials");
        Fault::new(Kind::Unauthorized, message).cause(chain(&error))
    })
}

async fn assume(
    profile: &Profile,
    source: Credentials,
    base: &SdkConfig,
    ask: Option<&AskCode>,
) -> Result<Credentials> {
    let (name, role) = (profile.name(), profile.get("role_arn").unwrap_or_default());
    let config = base.to_builder().credentials_provider(SharedCredentialsProvider::new(source)).build();
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let session = profile.get("role_session_name").map_or_else(|| format!("faas-{seconds}"), str::to_owned);
    let mut request = aws_sdk_sts::Client::new(&config)
        .assume_role()
        .role_arn(role)
        .role_session_name(session)
        .set_external_id(profile.get("external_id").map(str::to_owned))
        .set_duration_seconds(duration(profile));
    let serial = profile.get("mfa_serial");
    if let Some(serial) = serial {
        let code = code(name, serial, ask).await?;
        request = request.serial_number(serial).token_code(code.expose_secret());
    }
    let output = request.send().await.map_err(|error| {
        let fault = fault(format!("can't assume {role}, as the profile `{name}` says"), &error);
        match serial {
            Some(_) if super::fault::said(&error).contains("MultiFactorAuthentication") => {
                fault.hint("a code is good for one use and half a minute: wait for the next one and try again")
            }
            _ => fault,
        }
    })?;
    let told = output.credentials().ok_or_else(|| Fault::failed(format!("AWS told no credentials for {role}")))?;
    let credentials = Credentials::new(
        told.access_key_id(),
        told.secret_access_key(),
        Some(told.session_token().to_owned()),
        SystemTime::try_from(*told.expiration()).ok(),
        "mfa",
    );
    if serial.is_some()
        && let Some(folder) = cache_folder()
    {
        keep(&folder, profile, &credentials)?;
    }
    Ok(credentials)
}

async fn code(profile: &str, serial: &str, ask: Option<&AskCode>) -> Result<SecretString> {
    let Some(ask) = ask.cloned() else {
        return Err(Fault::unauthorized(format!("the profile `{profile}` wants a code of the MFA device {serial}")));
    };
    let (profile, serial) = (profile.to_owned(), serial.to_owned());
    let code = tokio::task::spawn_blocking(move || ask.ask(&profile, &serial))
        .await
        .or_fault(|| "can't ask for the MFA code".into())??;
    let plain = code.expose_secret().trim();
    match plain.len() == 6 && plain.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(SecretString::from(plain)),
        false => Err(Fault::usage("an MFA code is six digits")),
    }
}

fn duration(profile: &Profile) -> Option<i32> {
    profile.get("duration_seconds").and_then(|seconds| seconds.parse().ok())
}

/// The AWS CLI's folder of sessions.
fn cache_folder() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws/cli/cache"))
}

/// The file that the AWS CLI keeps the profile's session in: named by what the role is assumed with
/// (botocore `AssumeRoleCredentialFetcher._create_cache_key`).
fn file(profile: &Profile) -> String {
    let mut arguments: Map<String, serde_json::Value> = Map::new();
    // In the order of their names.
    if let Some(seconds) = duration(profile) {
        arguments.insert("DurationSeconds".into(), seconds.into());
    }
    let named = [
        ("ExternalId", "external_id"),
        ("RoleArn", "role_arn"),
        ("RoleSessionName", "role_session_name"),
        ("SerialNumber", "mfa_serial"),
    ];
    for (argument, key) in named {
        if let Some(value) = profile.get(key) {
            arguments.insert(argument.into(), value.into());
        }
    }
    // As Python writes JSON.
    let text: Vec<String> = arguments.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    let hash = Sha1::digest(format!("{{{}}}", text.join(", ")));
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".json"
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    credentials: KeptCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeptCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// The session that is kept for the profile, when it still lasts.
fn kept(folder: &Path, profile: &Profile) -> Option<Credentials> {
    let text = std::fs::read(folder.join(file(profile))).ok()?;
    let Kept { credentials } = serde_json::from_slice(&text).ok()?;
    // Python's `%Z`.
    let expiration = credentials.expiration.replace("UTC", "Z");
    let until = SystemTime::from(expiration.parse::<jiff::Timestamp>().ok()?);
    let left = until.duration_since(SystemTime::now()).ok()?;
    let (id, secret, token) = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token);
    (left >= LEAST).then(|| Credentials::new(id, secret, Some(token), Some(until), "mfa"))
}

/// Keeps a session, for its owner alone.
fn keep(folder: &Path, profile: &Profile, credentials: &Credentials) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(until) = credentials.expiry().and_then(|until| jiff::Timestamp::try_from(until).ok()) else {
        return Ok(());
    };
    let path = folder.join(file(profile));
    let text = json!({
        "Credentials": {
            "AccessKeyId": credentials.access_key_id(),
            "SecretAccessKey": credentials.secret_access_key(),
            "SessionToken": credentials.session_token(),
            "Expiration": until.to_string(),
        },
    });
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| cant_write(folder, &e))?;
    // 0600 from the start, and whole or not there.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| cant_write(folder, &e))?;
    std::io::Write::write_all(&mut file, text.to_string().as_bytes()).map_err(|e| cant_write(&path, &e))?;
    file.persist(&path).map_err(|e| cant_write(&path, &e.error))?;
    Ok(())
}
