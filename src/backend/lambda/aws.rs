//! The SDK's clients: credentials and region as every AWS program finds them, looked for when the first call needs them.
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

use super::mfa;
use super::pace::Paced;
use super::settings::Settings;
use crate::error::{Fault, Kind, Result};

/// How often a call is tried. Not the SDK's adaptive mode: measured against an API that throttles every eleventh call, it
/// slowed twenty deploys down to minutes.
const ATTEMPTS: u32 = 8;
/// The first wait between two tries, doubled each time: an address where nobody answers is told within some seconds.
const BACKOFF: Duration = Duration::from_millis(100);

/// Clients of one account and region.
#[derive(Debug)]
pub struct Aws {
    /// Functions.
    pub lambda: aws_sdk_lambda::Client,
    /// Roles.
    pub iam: aws_sdk_iam::Client,
    /// Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Secrets.
    pub ssm: aws_sdk_ssm::Client,
    /// Secrets.
    pub manager: aws_sdk_secretsmanager::Client,
    /// Schedules.
    pub scheduler: aws_sdk_scheduler::Client,
    /// Images.
    pub ecr: aws_sdk_ecr::Client,
    /// Who we are.
    pub sts: aws_sdk_sts::Client,
    /// What they were made of: credentials, endpoint.
    pub config: SdkConfig,
    /// The region.
    pub region: String,
    /// Where Lambda is asked.
    pub address: String,
}

impl Aws {
    /// Finds region and credentials, and checks that there are some.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] without credentials that can be used, [`Kind::Usage`] without a region.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let http = Builder::new().build_with_connector_fn(|settings, components| {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            if let Some(components) = components {
                connector.set_sleep_impl(components.sleep_impl());
            }
            connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
        });
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF))
            // A function may think for fifteen minutes before its first byte.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        // A profile that is named in the stack file is meant; one of the environment comes after keys that stand there.
        let named = settings.profile.is_some();
        if !named {
            sound(VARIABLES.map(|(name, what)| (what, std::env::var(name).unwrap_or_default())))?;
        }
        let mut config = loader.load().await;
        let keys = std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|id| !id.is_empty());
        if named || !keys {
            let profiles = mfa::profiles(settings).await?;
            let provider = match mfa::credentials(&profiles, settings, &config, http.clone()).await? {
                Some(credentials) => Some(SharedCredentialsProvider::new(credentials)),
                None => settings.profile.as_ref().map(|name| {
                    let own = ProviderConfig::without_region()
                        .with_region(config.region().cloned())
                        .with_http_client(http.clone());
                    let profile = ProfileFileCredentialsProvider::builder().configure(&own).profile_name(name);
                    SharedCredentialsProvider::new(profile.build())
                }),
            };
            if let Some(provider) = provider {
                config = config.into_builder().credentials_provider(provider).build();
            }
        }
        let region = config.region().map(|region| region.to_string()).ok_or_else(|| {
            Fault::usage("no AWS region is known")
                .hint("set `provider.lambda.region` in the stack file, AWS_REGION, or `region` in the profile")
        })?;
        if !is_region(&region) {
            return Err(Fault::usage(format!("`{region}` can't be an AWS region"))
                .hint("they look like eu-central-1; `provider.lambda.region`, AWS_REGION or the profile names it"));
        }
        check_credentials(&config, settings).await?;
        let paced = aws_sdk_lambda::config::Builder::from(&config).http_client(Paced::new(http)).build();
        let lambda = aws_sdk_lambda::Client::from_conf(paced);
        let address =
            config.endpoint_url().map_or_else(|| format!("https://lambda.{region}.amazonaws.com"), ToOwned::to_owned);
        Ok(Self {
            lambda,
            iam: aws_sdk_iam::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            manager: aws_sdk_secretsmanager::Client::new(&config),
            scheduler: aws_sdk_scheduler::Client::new(&config),
            ecr: aws_sdk_ecr::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            config,
            region,
            address,
        })
    }
}

/// Whether it has the form of a region's name; which there are, AWS alone knows.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, words)) => {
            words.len() >= 2
                && words.iter().all(letters)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

async fn check_credentials(config: &SdkConfig, settings: &Settings) -> Result<()> {
    let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; `aws configure sso` makes a profile, \
                `aws sso login` renews one";
    let none = || Fault::new(Kind::Unauthorized, "no AWS credentials were found").hint(hint);
    let Some(provider) = config.credentials_provider() else { return Err(none()) };
    let error = match provider.provide_credentials().await {
        Ok(told) => {
            let token = told.session_token().unwrap_or_default();
            let values = [told.access_key_id(), told.secret_access_key(), token].map(str::to_owned);
            return sound(std::array::from_fn(|n| (VARIABLES[n].1, values[n].clone())));
        }
        Err(error) => error,
    };
    let told = super::fault::chain(&error);
    Err(match obvious(settings).await {
        Some(why) => none().cause(why),
        None => none().cause(match source(settings).await {
            Some(Source::Program(whose)) => format!("{whose} gave none: {told}"),
            Some(Source::Wrong(why)) => why,
            None => told,
        }),
    })
}

/// The variables that keys stand in, and what they are.
const VARIABLES: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "access key ID"),
    ("AWS_SECRET_ACCESS_KEY", "secret access key"),
    ("AWS_SESSION_TOKEN", "session token"),
];

/// Keys go into headers, where a line break ends the SDK in a panic, or a request in a signature that is none.
fn sound(values: [(&str, String); 3]) -> Result<()> {
    let wrong = |value: &str| value.chars().find(|c| !c.is_ascii_graphic());
    let Some((what, value, found)) = values.iter().find_map(|(what, value)| Some((*what, value, wrong(value)?))) else {
        return Ok(());
    };
    let found = match found {
        '\n' | '\r' => "a line break".to_owned(),
        c if c.is_whitespace() => "a blank".to_owned(),
        c => format!("`{}`", c.escape_default()),
    };
    let variable = VARIABLES.iter().find(|(name, of)| *of == what && std::env::var(name).as_ref() == Ok(value));
    Err(match variable {
        Some((name, _)) => Fault::new(Kind::Unauthorized, format!("{name} has {found} in it"))
            .hint(format!("no {what} has that: set it anew, without what came along when it was copied or read")),
        None => Fault::new(Kind::Unauthorized, format!("the AWS {what} has {found} in it"))
            .hint("none has that: mend it where it comes from, the profile or the program that gives it"),
    })
}

/// What a person would see at once, and the SDK doesn't say: half a pair of keys, a profile that is not there.
async fn obvious(settings: &Settings) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = settings.profile.clone().or_else(|| set("AWS_PROFILE"));
    if let Some(name) = profile {
        let profiles = mfa::profiles(settings).await.ok()?;
        let mut known: Vec<&str> = profiles.profiles().collect();
        known.sort_unstable();
        let others = if known.is_empty() { "nor any other".to_owned() } else { format!("only {}", known.join(", ")) };
        return profiles.get_profile(&name).is_none().then(|| format!("there is no profile `{name}`, {others}"));
    }
    match ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name, set(name).is_some())) {
        [(has, true), (lacks, false)] | [(lacks, false), (has, true)] => Some(format!("{has} is set, {lacks} is not")),
        _ => None,
    }
}

/// Where credentials should have come from.
enum Source {
    /// A program, by its name and profile.
    Program(String),
    /// Somewhere that can't give any, and why.
    Wrong(String),
}

/// What the SDK does not name of where it looked.
async fn source(settings: &Settings) -> Option<Source> {
    let lost = |path: &str| !std::path::Path::new(path).is_file();
    let variable = "AWS_WEB_IDENTITY_TOKEN_FILE";
    if let Some(path) = std::env::var(variable).ok().filter(|path| settings.profile.is_none() && !path.is_empty()) {
        return lost(&path).then(|| Source::Wrong(format!("{variable} names `{path}`, and there is no such file")));
    }
    let profiles = mfa::profiles(settings).await.ok()?;
    let mut name = profiles.selected_profile().to_owned();
    // One builds on the other; in a circle, the SDK says so.
    for _ in 0..8 {
        let profile = profiles.get_profile(&name)?;
        if profile.get("login_session").is_some() {
            return Some(Source::Wrong(format!(
                "the profile `{name}` is signed in by `aws login`, which faas does not read; a profile with \
                 `credential_process = aws configure export-credentials --profile {name} --format process` does"
            )));
        }
        if let Some(path) = profile.get("web_identity_token_file").filter(|path| lost(path)) {
            return Some(Source::Wrong(format!(
                "the profile `{name}` has `web_identity_token_file = {path}`, and there is no such file"
            )));
        }
        if let Some(line) = profile.get("credential_process") {
            // What comes after it may be nobody's business.
            let program = line.split_whitespace().next().unwrap_or_default();
            return Some(Source::Program(format!("`{program}`, the credential_process of the profile `{name}`,")));
        }
        name = profile.get("source_profile")?.to_owned();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::is_region;

    #[test]
    fn regions_have_words_and_a_number() {
        for region in ["eu-west-1", "us-gov-east-1", "ap-southeast-5", "eusc-de-east-1", "us-iso-west-1"] {
            assert!(is_region(region), "{region}");
        }
        for other in ["", "frankfurt", "eu-central", "EU-WEST-1", "eu-west-1a", "eu-west-1.example.com", "-a-1", "us-1"]
        {
            assert!(!is_region(other), "{other}");
        }
    }
}
