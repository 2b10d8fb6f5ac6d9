//! Every integration test in one program: what it is linked with is linked once.
mod support;

mod build;
#[cfg(feature = "image")]
mod buildkit;
#[cfg(feature = "openfaas")]
mod bytes;
#[cfg(all(feature = "image", feature = "openfaas"))]
mod ci;
mod client;
mod client_faults;
mod command_line;
mod completion;
mod config;
#[cfg(feature = "local")]
mod dev;
#[cfg(feature = "local")]
mod docs;
mod doctor;
#[cfg(feature = "image")]
mod engine_faults;
#[cfg(feature = "image")]
mod engineless;
#[cfg(feature = "image")]
mod engines;
mod examples;
#[cfg(all(feature = "image", feature = "openfaas"))]
mod foreseen;
mod gateway;
#[cfg(feature = "local")]
mod gateway_contract;
mod gateway_quirks;
mod generated;
mod help;
#[cfg(feature = "local")]
mod history;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "image")]
mod image_faults;
#[cfg(feature = "image")]
mod image_names;
#[cfg(all(feature = "lambda", feature = "knative"))]
mod import;
mod keyring;
#[cfg(feature = "knative")]
mod knative;
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(feature = "lambda")]
mod lambda_accounts;
#[cfg(feature = "lambda")]
mod lambda_calls;
#[cfg(feature = "lambda")]
mod lambda_deploy;
#[cfg(all(feature = "lambda", feature = "local"))]
mod lambda_docs;
#[cfg(feature = "lambda")]
mod lambda_faults;
#[cfg(feature = "lambda")]
mod lambda_import;
#[cfg(feature = "lambda")]
mod lambda_plans;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "local")]
mod local_faas_cli;
#[cfg(feature = "local")]
mod local_http;
#[cfg(feature = "image")]
mod local_run;
#[cfg(feature = "local")]
mod local_survival;
#[cfg(feature = "local")]
mod local_trouble;
#[cfg(feature = "local")]
mod logs;
#[cfg(feature = "local")]
mod misbehaving;
mod new;
mod newcomer;
mod openfaas;
mod parity;
#[cfg(feature = "local")]
mod plan;
#[cfg(feature = "image")]
mod platforms;
#[cfg(feature = "local")]
mod portability;
mod prune;
#[cfg(feature = "image")]
mod registry;
#[cfg(feature = "image")]
mod released_invoker;
#[cfg(feature = "image")]
mod remote_builder;
mod secrets;
mod shim;
mod shim_lambda;
#[cfg(feature = "openfaas")]
mod sign_in;
mod stack;
mod store;
mod template_faults;
mod templates;
mod tls;
mod up;
#[cfg(feature = "image")]
mod uploads;
mod validate;
mod validate_functions;
mod version;
