//! What the stack file says about Lambda: `provider.lambda` for all functions, `lambda:` for one.
use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Fault, Result};
use crate::function::Function;

/// `provider.lambda`. What is left out comes from the environment and the profile, as for every AWS program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The region, as `eu-west-1`.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub region: Option<String>,
    /// The profile of `~/.aws/config`.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub profile: Option<String>,
    /// The role that functions run as (ARN); without it, one named `faas-STACK` is made.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub role: Option<String>,
    /// `x86_64` (default) or `arm64`.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub architecture: Option<String>,
    /// An address in AWS's place, for every service.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub endpoint: Option<String>,
    /// Where secrets are kept.
    #[serde(default)]
    pub secrets: Store,
    /// The bucket for archives over 50 MB; without it, `faas-ACCOUNT-REGION` is made.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub bucket: Option<String>,
    /// A registry in ECR's place (emulators have one), as `127.0.0.1:5000`.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub registry: Option<String>,
    /// Who gives the code of an MFA device.
    #[serde(skip)]
    pub ask_code: Option<AskCode>,
}

/// Asks for the code of an MFA device: given the profile that wants it, and the device.
#[derive(Clone)]
pub struct AskCode(std::sync::Arc<Ask>);

type Ask = dyn Fn(&str, &str) -> Result<SecretString> + Send + Sync;

impl AskCode {
    /// By this function.
    pub fn new(ask: impl Fn(&str, &str) -> Result<SecretString> + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(ask))
    }

    /// Asks.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub fn ask(&self, profile: &str, device: &str) -> Result<SecretString> {
        (self.0)(profile, device)
    }
}

impl std::fmt::Debug for AskCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskCode")
    }
}

/// Where secrets are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// SSM's parameter store, as SecureStrings: costs nothing, 4 KB of text each.
    #[default]
    Ssm,
    /// Secrets Manager: costs by the secret, 64 KB each, rotation.
    SecretsManager,
}

/// A function's `lambda:`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The managed runtime, in the place of the template's.
    pub runtime: Option<String>,
    /// `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// MB; wins over `limits.memory`.
    pub memory: Option<i32>,
    /// MB of `/tmp`, 512 to 10240.
    pub ephemeral_storage: Option<i32>,
    /// The role it runs as (ARN).
    pub role: Option<String>,
    /// Layers (ARNs with version), at most five.
    #[serde(default)]
    pub layers: Vec<String>,
    /// Tags besides the labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Trace every call by X-Ray.
    #[serde(default)]
    pub tracing: bool,
    /// The network it runs in.
    pub vpc: Option<Vpc>,
    /// `zip` (default) or `image`.
    #[serde(default)]
    pub package: Package,
    /// Install an archive's dependencies in a container: `true`, or the image to do it in.
    pub container: Option<Container>,
    /// Shown in the console; at most 256 characters.
    #[serde(default)]
    pub description: String,
    /// Days that logs are kept; without it, for ever.
    pub log_retention: Option<i32>,
    /// Who may call its URL from other sites' pages.
    pub cors: Option<Cors>,
    /// Answer piece by piece, as the function gives it, not when all is there.
    #[serde(default)]
    pub streaming: bool,
    /// What becomes of asynchronous calls.
    #[serde(default, rename = "async")]
    pub queue: Option<Queue>,
    /// Where events go that failed for good (ARN of an SQS queue or an SNS topic).
    pub dead_letter: Option<String>,
    /// Instances that are kept warm, at a price.
    pub provisioned: Option<i32>,
    /// The time zone of `schedule`, as `Europe/Berlin`; UTC without it.
    pub timezone: Option<String>,
}

/// A function's `lambda.cors`, for its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Sites, as `https://example.com`, or `*`.
    pub origins: Vec<String>,
    /// Methods, or `*`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Headers that may be sent.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Headers that may be read.
    #[serde(default)]
    pub expose: Vec<String>,
    /// Seconds that browsers may keep the answer; at most a day.
    pub max_age: Option<i32>,
    /// Whether cookies are sent along.
    #[serde(default)]
    pub credentials: bool,
}

impl Cors {
    /// What is set of it, under other names in the order of the fields; `text` writes values as their reader takes them.
    #[must_use]
    pub fn by(&self, names: [&str; 6], text: impl Fn(&str) -> String) -> Value {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.iter().map(|value| text(value)).collect());
        let values: [Option<Value>; 6] = [
            list(&self.origins),
            list(&self.methods),
            list(&self.headers),
            list(&self.expose),
            self.max_age.map(Value::from),
            self.credentials.then_some(true.into()),
        ];
        let set = names.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect())
    }
}

/// A function's `lambda.async`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How often a call that failed is tried again, 0 to 2.
    pub retries: Option<i32>,
    /// Seconds after which it is given up, 60 to 21600.
    pub max_age: Option<i32>,
    /// Where the answers go (ARN).
    pub on_success: Option<String>,
    /// Where calls go that failed for good (ARN).
    pub on_failure: Option<String>,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// Subnets.
    pub subnets: Vec<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
}

/// A function's `lambda.container`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// Whether to, in the template's image.
    Asked(bool),
    /// In this image.
    Image(String),
}

impl<'de> Deserialize<'de> for Container {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(asked) => Ok(Self::Asked(asked)),
            Value::String(image) if !image.trim().is_empty() => Ok(Self::Image(image)),
            other => Err(serde::de::Error::custom(format!("it takes true, false or an image's name, not {other}"))),
        }
    }
}

/// How the code is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Package {
    /// A zip archive.
    #[default]
    Zip,
    /// A container image in ECR.
    Image,
}

fn blank_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.trim().is_empty()))
}

impl Settings {
    /// Reads `provider.lambda`; null stands for nothing given.
    ///
    /// # Errors
    /// A usage fault that names the key.
    pub fn read(value: &Value) -> Result<Self> {
        if value.is_null() {
            return Ok(Self::default());
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            Fault::usage(format!("`provider.lambda.{}` can't be used", error.path()))
                .cause(error.inner())
                .hint("it takes region, profile, role, architecture, endpoint, secrets, bucket and registry")
        })
    }
}

impl Options {
    /// Reads a function's `lambda:`.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn of(function: &Function) -> Result<Self, (String, String)> {
        let Some(value) = function.extra.get("lambda").filter(|value| !value.is_null()) else {
            return Ok(Self::default());
        };
        serde_path_to_error::deserialize(value).map_err(|error| {
            let why = error.inner().to_string().replace("expected i32", "expected a whole number");
            (error.path().to_string(), why)
        })
    }

    /// The same, for when [`Options::of`] was checked before.
    ///
    /// # Errors
    /// A usage fault that names the key.
    pub fn read(function: &Function) -> Result<Self> {
        Self::of(function)
            .map_err(|(at, why)| Fault::usage(format!("{}: `lambda.{at}` can't be used", function.name)).cause(why))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::build::is_image_on_lambda;

    #[test]
    fn blank_settings_are_none_and_unknown_ones_are_named() {
        let settings = Settings::read(&json!({"region": "eu-west-1", "profile": "", "role": null})).unwrap();
        assert_eq!((settings.region.as_deref(), settings.profile), (Some("eu-west-1"), None));
        let fault = Settings::read(&json!({"regoin": "x"})).unwrap_err();
        assert!(fault.to_string().contains("regoin"), "{fault}");
        assert!(Settings::read(&Value::Null).unwrap().region.is_none());
    }

    #[test]
    fn a_function_goes_as_zip_unless_it_says_or_is_an_image() {
        let mut function = Function { lang: "python3".into(), ..Function::default() };
        assert!(!is_image_on_lambda(&function));
        function.extra.insert("lambda".into(), json!({"package": "image"}));
        assert!(is_image_on_lambda(&function));
        assert!(is_image_on_lambda(&Function { lang: "dockerfile".into(), ..Function::default() }));
        assert!(is_image_on_lambda(&Function::default()));
    }
}
