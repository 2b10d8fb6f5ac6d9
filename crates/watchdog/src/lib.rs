//! The invoker: starts a function's process and speaks HTTP for it, the same way on every platform.
//!
//! The embedded platform calls [`Invoker`] in process; the binary `faas-watchdog` puts an HTTP server in front of it.
//! Four modes: [`Mode::Http`] supervises one child that is itself an HTTP server on a loopback port,
//! [`Mode::Streaming`] starts a process per request and streams stdin and stdout, [`Mode::Classic`] starts a process
//! per request, hands it the whole body and answers with its whole output,
//! [`Mode::Static`] serves the files of a folder.

mod body;
mod cgi;
mod config;
mod duration;
mod error;
mod failure;
mod feed;
mod files;
mod fork;
mod headers;
mod invoker;
mod launch;
mod leader;
mod lines;
mod link;
mod memory;
mod metrics;
mod plain;
mod port;
mod program;
mod settings;
mod spawn;
mod supervisor;
mod ticket;
mod tunnel;
mod upstream;
#[cfg(target_os = "linux")]
mod vfork;

pub use body::Body;
pub use config::{Config, Mode, Upstream};
pub use duration::parse_duration;
pub use error::Error;
pub use invoker::Invoker;
pub use lines::{LogSink, Stream};
pub use memory::parse_size;
pub use metrics::Metrics;
pub use plain::ambiguous;
pub use settings::{LogFormat, Settings};
pub use spawn::reap_strangers;
pub use ticket::CallLine;

/// Any error of a body: what hyper accepts and what [`Body`] yields.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
