//! The function that Lambda is to have, and where what it has differs from that.
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use aws_sdk_lambda::types::{
    Architecture, DeadLetterConfig, Environment, EphemeralStorage, FunctionConfiguration, Runtime, TracingConfig,
    TracingMode, VpcConfig,
};
use serde_json::{Value, json};

use super::name::{self, function_name};
use super::schedule::Schedule;
use super::secrets::{self, Kept};
use super::settings::{Cors, Options, Queue, Settings, Store, Vpc};
use crate::artifact::Artifact;
use crate::backend::Change;
use crate::error::{Fault, OrFault, Result};
use crate::function::{Function, UrlAccess};

mod words;

pub use words::{SECRETS, environment, hex_of_base64, megabytes, own_environment};

use words::base64_of_hex;

/// MB when nothing says how many.
const MEMORY: i32 = 256;
/// Seconds when nothing says how many; as the other platforms' default.
const TIMEOUT: i32 = 30;

/// A function as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name on Lambda.
    pub name: String,
    /// The code.
    pub code: Code,
    /// `x86_64` or `arm64`.
    pub architecture: Architecture,
    /// Seconds.
    pub timeout: i32,
    /// MB.
    pub memory: i32,
    /// MB of `/tmp`.
    pub ephemeral_storage: i32,
    /// Environment variables, ours among them.
    pub environment: BTreeMap<String, String>,
    /// Layers.
    pub layers: Vec<String>,
    /// The network.
    pub vpc: Vpc,
    /// Whether X-Ray traces every call.
    pub tracing: bool,
    /// For people.
    pub description: String,
    /// The role, when one is given; else the stack's own is made.
    pub role: Option<String>,
    /// Tags without the marks.
    pub tags: BTreeMap<String, String>,
    /// Calls at a time; `None` is the account's limit.
    pub concurrency: Option<i32>,
    /// Its URL; `None`: there is none.
    pub url: Option<Url>,
    /// What becomes of asynchronous calls.
    pub queue: Option<Queue>,
    /// Where events go that failed for good.
    pub dead_letter: Option<String>,
    /// Instances that are kept warm.
    pub provisioned: Option<i32>,
    /// When it is called, and in which time zone.
    pub schedule: Option<Schedule>,
    /// Its secrets, and where they are kept.
    pub secrets: Vec<Kept>,
    /// Days that logs are kept.
    pub log_retention: Option<i32>,
    /// The bucket for large archives, when one is named.
    pub bucket: Option<String>,
}

/// A function's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Who may call it.
    pub access: UrlAccess,
    /// Who may call it from other sites' pages.
    pub cors: Option<Cors>,
    /// Whether answers come piece by piece.
    pub streaming: bool,
}

/// A function's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A zip archive.
    Zip {
        /// The file.
        path: PathBuf,
        /// SHA-256 as Lambda writes it, in base64.
        sha256: String,
        /// The managed runtime.
        runtime: String,
        /// What the runtime is told to start.
        handler: String,
    },
    /// An image in ECR, by digest where it is known.
    Image {
        /// The reference.
        uri: String,
        /// Its digest.
        digest: Option<String>,
    },
}

impl Wanted {
    /// What Lambda is to have for `change`.
    ///
    /// # Errors
    /// When the artifact is of no use here, or the function's `lambda:` can't be read.
    pub fn of(change: &Change, settings: &Settings) -> Result<Self> {
        let function = &change.function;
        let options = Options::read(function)?;
        let code = code(function, &change.artifact, &options)?;
        let wrapped = matches!(&code, Code::Zip { runtime, .. } if !runtime.starts_with("provided"));
        let memory = match options.memory {
            Some(memory) => memory,
            None => function.limits.memory.as_deref().and_then(megabytes).unwrap_or(MEMORY).max(128),
        };
        let url = function.url.filter(|access| *access != UrlAccess::None);
        let url = url.map(|access| Url { access, cors: options.cors.clone(), streaming: options.streaming });
        let timezone = options.timezone.clone().unwrap_or_else(|| "UTC".into());
        let schedule = function.schedule.as_deref().map(|cron| Schedule::of(cron, &timezone)).transpose();
        Ok(Self {
            name: function_name(&function.id()),
            code,
            architecture: architecture(function, settings)?,
            timeout: function
                .timeout
                .map_or(TIMEOUT, |timeout| i32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)),
            memory,
            ephemeral_storage: options.ephemeral_storage.unwrap_or(512),
            environment: environment(function, wrapped, settings.secrets, options.streaming),
            layers: options.layers,
            vpc: options.vpc.unwrap_or_default(),
            tracing: options.tracing,
            description: options.description,
            role: options.role.or_else(|| settings.role.clone()),
            tags: name::tags(function, &options.tags, &change.stack),
            concurrency: function.scale.max.map(|max| i32::try_from(max).unwrap_or(i32::MAX)),
            url,
            queue: options.queue,
            dead_letter: options.dead_letter,
            provisioned: options.provisioned,
            schedule: schedule
                .map_err(|why| Fault::usage(format!("{}: its schedule can't be used", function.name)).cause(why))?,
            secrets: secrets::kept(function, settings.secrets),
            log_retention: options.log_retention,
            bucket: settings.bucket.clone(),
        })
    }

    /// Whether the function needs rights that others don't.
    #[must_use]
    pub fn has_rights(&self) -> bool {
        self.role.is_none() && !self.statements("", "", "").is_empty()
    }

    /// The rights that the function needs besides running: its secrets, and where its events go.
    #[must_use]
    pub fn statements(&self, partition: &str, region: &str, account: &str) -> Vec<Value> {
        let mut statements = Vec::new();
        for (store, action) in
            [(Store::Ssm, "ssm:GetParameters"), (Store::SecretsManager, "secretsmanager:GetSecretValue")]
        {
            let arns: Vec<String> = self
                .secrets
                .iter()
                .filter(|kept| kept.store == store)
                .map(|kept| kept.arn(partition, region, account))
                .collect();
            if !arns.is_empty() {
                statements.push(json!({"Effect": "Allow", "Action": action, "Resource": arns}));
            }
        }
        let queue = self.queue.iter().flat_map(|queue| queue.on_success.iter().chain(&queue.on_failure));
        for arn in queue.chain(&self.dead_letter) {
            let action = match arn.split(':').nth(2) {
                Some("sqs") => "sqs:SendMessage",
                Some("sns") => "sns:Publish",
                Some("events") => "events:PutEvents",
                Some("s3") => "s3:PutObject",
                _ => "lambda:InvokeFunction",
            };
            let statement = json!({"Effect": "Allow", "Action": action, "Resource": arn});
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        statements
    }

    /// What of the configuration Lambda has otherwise, by name. `role` is the one that is wanted; its ARN.
    #[must_use]
    pub fn differs(&self, there: &FunctionConfiguration, role: &str) -> Vec<&'static str> {
        let mut differs = Vec::new();
        let mut compare = |name, same: bool| {
            if !same {
                differs.push(name);
            }
        };
        let environment = there.environment().and_then(|e| e.variables()).cloned().unwrap_or_default();
        let layers: Vec<&str> = there.layers().iter().filter_map(|layer| layer.arn()).collect();
        let vpc = there.vpc_config();
        let storage = there.ephemeral_storage().map_or(512, |storage| storage.size());
        let tracing = there.tracing_config().and_then(|t| t.mode()) == Some(&TracingMode::Active);
        compare("timeout", there.timeout().unwrap_or(3) == self.timeout);
        compare("memory", there.memory_size().unwrap_or(128) == self.memory);
        compare("/tmp", storage == self.ephemeral_storage);
        compare("environment", environment.into_iter().collect::<BTreeMap<_, _>>() == self.environment);
        compare("layers", layers == self.layers);
        compare("subnets", same_set(vpc.map_or(&[], |v| v.subnet_ids()), &self.vpc.subnets));
        compare("security groups", same_set(vpc.map_or(&[], |v| v.security_group_ids()), &self.vpc.security_groups));
        compare("tracing", tracing == self.tracing);
        compare("description", there.description().unwrap_or_default() == self.description);
        compare("role", there.role() == Some(role));
        let dead_letter =
            there.dead_letter_config().and_then(|config| config.target_arn()).filter(|arn| !arn.is_empty());
        compare("dead letters", dead_letter == self.dead_letter.as_deref());
        if let Code::Zip { runtime, handler, .. } = &self.code {
            compare("runtime", there.runtime().is_some_and(|r| r.as_str() == runtime));
            compare("handler", there.handler() == Some(handler));
        }
        differs
    }

    /// Whether Lambda has other code. `image` is the resolved reference that Lambda tells of an image.
    #[must_use]
    pub fn code_differs(&self, there: &FunctionConfiguration, image: Option<&str>) -> bool {
        let architecture = there.architectures().first().unwrap_or(&Architecture::X8664);
        let code = match &self.code {
            Code::Zip { sha256, .. } => there.code_sha256() != Some(sha256),
            Code::Image { uri, digest: None } => image != Some(uri),
            Code::Image { digest: Some(digest), .. } => !image.is_some_and(|image| image.ends_with(digest.as_str())),
        };
        code || *architecture != self.architecture
    }

    /// The environment for the API.
    #[must_use]
    pub fn variables(&self) -> Environment {
        let variables: HashMap<_, _> = self.environment.clone().into_iter().collect();
        Environment::builder().set_variables(Some(variables)).build()
    }

    /// The network for the API.
    #[must_use]
    pub fn network(&self) -> VpcConfig {
        VpcConfig::builder()
            .set_subnet_ids(Some(self.vpc.subnets.clone()))
            .set_security_group_ids(Some(self.vpc.security_groups.clone()))
            .build()
    }

    /// The dead letters' place for the API; an empty one lifts it.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterConfig {
        DeadLetterConfig::builder().target_arn(self.dead_letter.clone().unwrap_or_default()).build()
    }

    /// Tracing for the API.
    #[must_use]
    pub fn tracing_config(&self) -> TracingConfig {
        let mode = if self.tracing { TracingMode::Active } else { TracingMode::PassThrough };
        TracingConfig::builder().mode(mode).build()
    }

    /// The size of `/tmp` for the API.
    ///
    /// # Errors
    /// Never in practice: the size is given.
    pub fn storage(&self) -> Result<EphemeralStorage> {
        EphemeralStorage::builder()
            .size(self.ephemeral_storage)
            .build()
            .or_fault(|| format!("{}: the size of /tmp can't be told", self.name))
    }
}

impl Code {
    /// The runtime for the API.
    #[must_use]
    pub fn runtime(&self) -> Option<Runtime> {
        match self {
            Self::Zip { runtime, .. } => Some(Runtime::from(runtime.as_str())),
            Self::Image { .. } => None,
        }
    }

    /// The handler for the API.
    #[must_use]
    pub fn handler(&self) -> Option<String> {
        match self {
            Self::Zip { handler, .. } => Some(handler.clone()),
            Self::Image { .. } => None,
        }
    }
}

fn same_set(there: &[String], wanted: &[String]) -> bool {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    sorted(there) == sorted(wanted)
}

fn code(function: &Function, artifact: &Artifact, options: &Options) -> Result<Code> {
    match artifact {
        Artifact::Archive { path, sha256, entry, runtime } => Ok(Code::Zip {
            path: path.clone(),
            sha256: base64_of_hex(sha256)?,
            runtime: options.runtime.clone().unwrap_or_else(|| runtime.clone()),
            handler: entry.clone(),
        }),
        Artifact::Image { reference, digest } => {
            let plain = reference.split('@').next().unwrap_or(reference);
            let uri = match digest {
                Some(digest) => format!("{}@{digest}", without_tag(plain)),
                None => reference.clone(),
            };
            Ok(Code::Image { uri, digest: digest.clone() })
        }
        Artifact::Bundle { .. } => {
            Err(Fault::unsupported(format!("{}: Lambda can't run a native bundle", function.name))
                .hint("build it for provider `lambda`"))
        }
    }
}

fn without_tag(reference: &str) -> &str {
    let name = reference.rfind('/').map_or(0, |at| at + 1);
    reference[name..].rfind(':').map_or(reference, |at| &reference[..name + at])
}

fn architecture(function: &Function, settings: &Settings) -> Result<Architecture> {
    let options = Options::read(function)?;
    let platform = function.build.platforms.first().map(|platform| match platform.as_str() {
        "linux/arm64" | "linux/arm64/v8" => "arm64".to_owned(),
        _ => "x86_64".to_owned(),
    });
    let name = options.architecture.or(platform).or_else(|| settings.architecture.clone());
    match name.as_deref() {
        None | Some("x86_64") => Ok(Architecture::X8664),
        Some("arm64") => Ok(Architecture::Arm64),
        Some(other) => Err(Fault::usage(format!("{}: `{other}` is no architecture of Lambda", function.name))
            .hint("use x86_64 or arm64")),
    }
}

/// The platform that the function's image must be for.
#[must_use]
pub fn image_platform(function: &Function, settings: &Settings) -> Option<&'static str> {
    Some(match architecture(function, settings).ok()? {
        Architecture::Arm64 => "linux/arm64",
        _ => "linux/amd64",
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{EnvironmentResponse, Layer};

    use super::super::fixture::change;
    use super::words::WRAPPER;
    use super::*;

    fn tax() -> Function {
        let mut function = Function { name: "tax".into(), lang: "python3".into(), ..Function::default() };
        function.environment.insert("RATE".into(), "4".into());
        function.limits.memory = Some("200M".into());
        function.timeout = Some(std::time::Duration::from_millis(1500));
        function
    }

    #[test]
    fn a_function_in_lambdas_words() {
        let wanted = Wanted::of(&change(tax()), &Settings::default()).unwrap();
        assert_eq!((wanted.timeout, wanted.memory), (2, 191));
        assert_eq!(wanted.architecture, Architecture::X8664);
        assert_eq!(wanted.environment[WRAPPER], "/var/task/bootstrap");
        assert!(matches!(&wanted.code, Code::Zip { sha256, .. } if sha256 == "AP8="));
    }

    #[test]
    fn what_is_the_same_does_not_differ_and_what_is_not_is_named() {
        let wanted = Wanted::of(&change(tax()), &Settings::default()).unwrap();
        let variables: HashMap<_, _> = wanted.environment.clone().into_iter().collect();
        let same = FunctionConfiguration::builder()
            .timeout(2)
            .memory_size(191)
            .environment(EnvironmentResponse::builder().set_variables(Some(variables)).build())
            .role("r")
            .runtime(Runtime::from("python3.13"))
            .handler("bootstrap")
            .code_sha256("AP8=");
        assert_eq!(wanted.differs(&same.clone().build(), "r"), Vec::<&str>::new());
        assert!(!wanted.code_differs(&same.clone().build(), None));
        let other = same.timeout(3).layers(Layer::builder().arn("l").build()).code_sha256("x").build();
        assert_eq!(wanted.differs(&other, "q"), ["timeout", "layers", "role"]);
        assert!(wanted.code_differs(&other, None));
    }

    #[test]
    fn images_are_pinned_by_digest() {
        let mut change = change(tax());
        change.artifact = Artifact::Image { reference: "1.dkr.ecr.x/t:2".into(), digest: Some("sha256:ab".into()) };
        let wanted = Wanted::of(&change, &Settings::default()).unwrap();
        assert!(matches!(&wanted.code, Code::Image { uri, .. } if uri == "1.dkr.ecr.x/t@sha256:ab"));
        let there = FunctionConfiguration::builder().build();
        assert!(!wanted.code_differs(&there, Some("1.dkr.ecr.x/t@sha256:ab")));
        assert!(wanted.code_differs(&there, Some("1.dkr.ecr.x/t@sha256:cd")));
    }
}
