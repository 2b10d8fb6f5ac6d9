//! A function's log: what is asked for, and its lines.
use std::pin::Pin;

use futures_util::Stream;
use serde::Serialize;

use crate::error::Result;
use crate::function::FunctionId;

/// Log entries as they come.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogEntry>> + Send>>;

/// Which log entries.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Whose.
    pub id: FunctionId,
    /// One instance only.
    pub instance: Option<String>,
    /// One container only, where replicas have several; `None` is all that are the function's own.
    pub container: Option<String>,
    /// Not before this time.
    pub since: Option<jiff::Timestamp>,
    /// The last so many; `None` is all there are.
    pub tail: Option<u64>,
    /// Go on as new ones come.
    pub follow: bool,
    /// Those of the processes before the ones that run now, where the platform keeps them; they don't go on.
    pub previous: bool,
}

/// A line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// The function.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The replica.
    pub instance: String,
    /// When.
    pub timestamp: jiff::Timestamp,
    /// The line, without its end.
    pub text: String,
}
