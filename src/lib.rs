//! The `faas` command line as a library: the rooms of the house, and `run`, which the binary calls.
//!
//! Data goes one way, and each room knows only the rooms to its right (`docs/architecture.md`):
//! `cli → plan → { stack → template → build } → backend → platform client`.

pub mod artifact;
pub mod backend;
pub mod build;
pub mod cli;
pub mod context;
pub mod credential;
pub mod doctor;
pub mod error;
pub mod fetch;
pub mod finding;
pub mod function;
#[cfg(feature = "local")]
pub mod gateway;
pub mod history;
#[cfg(any(feature = "knative", feature = "lambda"))]
pub mod imported;
pub mod listener;
pub mod manager;
pub mod output;
pub mod plan;
pub mod platform;
pub mod plugin;
pub mod problem;
pub mod progress;
#[cfg(feature = "image")]
pub mod registry;
pub mod runtime;
pub mod seal;
pub mod sensitive;
pub mod stack;
pub mod store;
pub mod template;
pub mod wire;

pub use cli::run;
