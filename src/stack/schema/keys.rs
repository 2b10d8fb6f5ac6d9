//! Every key that a stack file may have: the one place that says so. Checks, messages, `faas explain`, the completions and
//! `docs/stack.schema.json` are made from it.
use super::Shape::{Count, Duration, Flag, Free, List, Map, Named, Text, Texts, Word, Words};
use super::{Key, Level, Shape};

/// The file itself.
pub static STACK: Level = Level {
    name: "the stack file",
    path: "",
    keys: &[
        Key { name: "version", shape: Text, about: "The version of the format.", example: "\"1.0\"" },
        Key {
            name: "name",
            shape: Text,
            about: "The mark of ownership on everything that is deployed from this file: what `--prune` may remove. The folder's name where there is none.",
            example: "shop",
        },
        Key {
            name: "provider",
            shape: Shape::Level(&PROVIDER),
            about: "Which platform the functions go to.",
            example: "{name: local}",
        },
        Key {
            name: "configuration",
            shape: Shape::Level(&CONFIGURATION),
            about: "Templates that the functions need, and extra paths for every handler.",
            example: "{copy: [./common]}",
        },
        Key {
            name: "functions",
            shape: Named(&FUNCTION),
            about: "The functions by name: lower-case letters, digits and `-`, at most 63.",
            example: "{tax: {lang: python3, handler: ./tax}}",
        },
        Key {
            name: "targets",
            shape: Named(&TARGET),
            about: "Named overlays: `--target NAME` lays one over the rest of the file. Mappings merge key by key, `null` takes a key away, lists and scalars replace.",
            example: "{prod: {provider: {name: lambda}}}",
        },
    ],
};
/// `provider:`
pub static PROVIDER: Level = Level {
    name: "`provider`",
    path: "provider.",
    keys: &[
        Key {
            name: "name",
            shape: Word(&["local", "openfaas", "knative", "lambda"]),
            about: "The platform. `local` is the one embedded in faas and needs nothing else.",
            example: "local",
        },
        Key {
            name: "gateway",
            shape: Text,
            about: "The gateway's address, for `local` and `openfaas`. `--gateway` wins, and for `openfaas` so does OPENFAAS_URL.",
            example: "http://127.0.0.1:8080",
        },
        Key {
            name: "knative",
            shape: Shape::Level(&PROVIDER_KNATIVE),
            about: "How the cluster is reached, for `knative`.",
            example: "{namespace: default}",
        },
        Key {
            name: "lambda",
            shape: Shape::Level(&PROVIDER_LAMBDA),
            about: "Which account and region, for `lambda`.",
            example: "{region: eu-west-1}",
        },
    ],
};
/// `provider.knative:`
pub static PROVIDER_KNATIVE: Level = Level {
    name: "`provider.knative`",
    path: "provider.knative.",
    keys: &[
        Key {
            name: "context",
            shape: Text,
            about: "The context of the kubeconfig; its current one where there is none.",
            example: "staging",
        },
        Key {
            name: "namespace",
            shape: Text,
            about: "The namespace of functions that name none; the context's own where there is none.",
            example: "default",
        },
        Key {
            name: "ingress",
            shape: Text,
            about: "Where the cluster's ingress is reached, when its functions' domains are not.",
            example: "http://127.0.0.1:8081",
        },
        Key {
            name: "kubeconfig",
            shape: Text,
            about: "The kubeconfig, relative to the stack file; else KUBECONFIG, else ~/.kube/config.",
            example: "./kubeconfig",
        },
        Key { name: "force", shape: Flag, about: "Take over fields that another tool set.", example: "false" },
    ],
};
/// `provider.lambda:`
pub static PROVIDER_LAMBDA: Level = Level {
    name: "`provider.lambda`",
    path: "provider.lambda.",
    keys: &[
        Key {
            name: "region",
            shape: Text,
            about: "The region; else that of the environment or the profile.",
            example: "eu-west-1",
        },
        Key { name: "profile", shape: Text, about: "The profile of ~/.aws/config; else AWS_PROFILE.", example: "work" },
        Key {
            name: "role",
            shape: Text,
            about: "The role that the functions run as, by name or ARN; one is made for the stack where there is none.",
            example: "arn:aws:iam::123456789012:role/functions",
        },
        Key {
            name: "architecture",
            shape: Word(&["x86_64", "arm64"]),
            about: "The processor of all functions that don't name one.",
            example: "arm64",
        },
        Key {
            name: "endpoint",
            shape: Text,
            about: "Another address for all of AWS, for test doubles.",
            example: "http://127.0.0.1:4566",
        },
        Key { name: "secrets", shape: Text, about: "Where secrets are kept.", example: "ssm" },
        Key {
            name: "bucket",
            shape: Text,
            about: "The S3 bucket for archives that are too large to be sent with the call.",
            example: "my-archives",
        },
        Key {
            name: "registry",
            shape: Text,
            about: "The ECR registry for images.",
            example: "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        },
    ],
};
/// `configuration:`
pub static CONFIGURATION: Level = Level {
    name: "`configuration`",
    path: "configuration.",
    keys: &[
        Key {
            name: "templates",
            shape: List(&TEMPLATE),
            about: "Templates that the functions need, and where they come from.",
            example: "[{name: golang-middleware, source: https://github.com/openfaas/golang-http-template}]",
        },
        Key {
            name: "copy",
            shape: Texts,
            about: "Extra paths that are copied into every handler's folder.",
            example: "[./common]",
        },
    ],
};
/// An item of `configuration.templates:`
pub static TEMPLATE: Level = Level {
    name: "a template",
    path: "configuration.templates.",
    keys: &[
        Key {
            name: "name",
            shape: Text,
            about: "The template's name, as `lang` has it.",
            example: "golang-middleware",
        },
        Key {
            name: "source",
            shape: Text,
            about: "The repository that it comes from; the store's where there is none.",
            example: "https://github.com/openfaas/golang-http-template",
        },
    ],
};
/// A function.
pub static FUNCTION: Level = Level {
    name: "a function",
    path: "functions.NAME.",
    keys: &[
        Key {
            name: "lang",
            shape: Text,
            about: "The template, perhaps with `@ref`; `dockerfile` is a Dockerfile in the handler's folder. `faas template list` shows them.",
            example: "python3",
        },
        Key {
            name: "handler",
            shape: Text,
            about: "The folder of the handler, relative to the stack file.",
            example: "./tax",
        },
        Key {
            name: "image",
            shape: Text,
            about: "The image's name. With `image` alone nothing is built.",
            example: "registry.example.com/shop/tax:1.0",
        },
        Key {
            name: "fprocess",
            shape: Text,
            about: "The command that the invoker starts; it beats the template's.",
            example: "python3 index.py",
        },
        Key {
            name: "environment",
            shape: Map,
            about: "Environment variables. Numbers and booleans are taken as written, nothing is the empty text.",
            example: "{RATE: \"4.7\"}",
        },
        Key {
            name: "environment_file",
            shape: Texts,
            about: "Files with an `environment:` mapping. They beat `environment`, and a later file beats an earlier one.",
            example: "[./tax.env]",
        },
        Key {
            name: "secrets",
            shape: Texts,
            about: "Names of secrets: the function reads each as a file, `/var/openfaas/secrets/NAME`, or below FAAS_SECRETS_DIR.",
            example: "[stripe-key]",
        },
        Key {
            name: "build_secrets",
            shape: Map,
            about: "Build secrets: an id, and the file that has the value. They are in no layer of the image.",
            example: "{npmrc: ./.npmrc}",
        },
        Key { name: "build_args", shape: Map, about: "Build arguments.", example: "{GO_VERSION: \"1.24\"}" },
        Key {
            name: "build_options",
            shape: Texts,
            about: "Names of `build_options` of the template: packages that are added.",
            example: "[dev]",
        },
        Key {
            name: "skip_build",
            shape: Flag,
            about: "The image is made elsewhere: it is neither built nor pushed.",
            example: "true",
        },
        Key {
            name: "constraints",
            shape: Texts,
            about: "Where it may be placed, in the platform's words.",
            example: "[\"node.labels.zone == a\"]",
        },
        Key { name: "labels", shape: Map, about: "Labels on the platform's object.", example: "{team: shop}" },
        Key {
            name: "annotations",
            shape: Map,
            about: "Annotations on the platform's object.",
            example: "{owner: \"shop@example.com\"}",
        },
        Key {
            name: "limits",
            shape: Shape::Level(&RESOURCES),
            about: "The most that it may use.",
            example: "{memory: 128Mi, cpu: 100m}",
        },
        Key {
            name: "requests",
            shape: Shape::Level(&RESOURCES),
            about: "What it is given at least.",
            example: "{memory: 64Mi, cpu: 50m}",
        },
        Key { name: "readonly_root_filesystem", shape: Flag, about: "Only /tmp can be written to.", example: "true" },
        Key {
            name: "namespace",
            shape: Text,
            about: "The namespace, on platforms that have them.",
            example: "staging",
        },
        Key {
            name: "platforms",
            shape: Words,
            about: "The platforms that the image is built for.",
            example: "linux/amd64,linux/arm64",
        },
        Key {
            name: "timeout",
            shape: Duration,
            about: "How long one call may take. The same as `exec_timeout` in `environment`, and beats it.",
            example: "30s",
        },
        Key { name: "concurrency", shape: Count, about: "Calls in flight per replica; 0 is unlimited.", example: "10" },
        Key {
            name: "scale",
            shape: Shape::Level(&SCALE),
            about: "How many replicas, and when that changes. The same as the labels `com.openfaas.scale.*`, and beats them.",
            example: "{min: 0, max: 5}",
        },
        Key {
            name: "schedule",
            shape: Text,
            about: "When it is called by itself: a cron expression of five fields, in UTC.",
            example: "\"*/5 * * * *\"",
        },
        Key {
            name: "topic",
            shape: Words,
            about: "Topics whose events call it, where the platform has events.",
            example: "orders,payments",
        },
        Key {
            name: "domain",
            shape: Words,
            about: "Domains that lead to it, where the platform maps them.",
            example: "tax.example.com",
        },
        Key {
            name: "url",
            shape: Word(&["public", "iam", "none"]),
            about: "Who may call its URL, where the platform has function URLs.",
            example: "public",
        },
        Key {
            name: "knative",
            shape: Free,
            about: "Merged into the Knative Service as it is; under PingSource, Trigger and DomainMapping into what calls it.",
            example: "{spec: {template: {spec: {serviceAccountName: tax}}}}",
        },
        Key { name: "lambda", shape: Free, about: "Settings of AWS Lambda alone.", example: "{memory: 512}" },
    ],
};
/// `limits:` and `requests:` of a function.
pub static RESOURCES: Level = Level {
    name: "a quantity of resources",
    path: "functions.NAME.limits.",
    keys: &[
        Key { name: "memory", shape: Text, about: "Memory, in Kubernetes' quantities.", example: "128Mi" },
        Key { name: "cpu", shape: Text, about: "CPU, in cores or thousandths of one.", example: "100m" },
    ],
};
/// `scale:` of a function.
pub static SCALE: Level = Level {
    name: "`scale`",
    path: "functions.NAME.scale.",
    keys: &[
        Key { name: "min", shape: Count, about: "The fewest replicas; 0 allows scaling to zero.", example: "0" },
        Key { name: "max", shape: Count, about: "The most replicas.", example: "5" },
        Key { name: "target", shape: Count, about: "The load per replica that the platform aims at.", example: "50" },
        Key { name: "idle", shape: Duration, about: "How long without calls before it goes to zero.", example: "5m" },
    ],
};
/// An overlay under `targets:`, without the keys of functions that it may also have.
pub static TARGET: Level = Level {
    name: "a target",
    path: "targets.NAME.",
    keys: &[
        Key { name: "name", shape: Text, about: "The mark of ownership, for this target.", example: "shop-prod" },
        Key {
            name: "provider",
            shape: Shape::Level(&PROVIDER),
            about: "Which platform, for this target.",
            example: "{name: lambda}",
        },
        Key {
            name: "configuration",
            shape: Shape::Level(&CONFIGURATION),
            about: "Templates and extra paths, for this target.",
            example: "{copy: [./common]}",
        },
        Key {
            name: "functions",
            shape: Named(&FUNCTION),
            about: "What differs for single functions; it beats what the target sets for all.",
            example: "{tax: {timeout: 1m}}",
        },
        Key {
            name: "prefix",
            shape: Text,
            about: "Put in place of everything before the last `/` of every image's name.",
            example: "registry.example.com/shop",
        },
    ],
};
/// A file named in `environment_file:`
pub static ENVIRONMENT_FILE: Level = Level {
    name: "an environment file",
    path: "",
    keys: &[Key { name: "environment", shape: Map, about: "Environment variables.", example: "{RATE: \"4.7\"}" }],
};
