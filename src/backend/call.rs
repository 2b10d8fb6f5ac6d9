//! A call of a function and its reply; bodies are streams both ways.
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

/// A body, streamed either way.
pub type Body = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// One call of a function.
pub struct Call {
    /// The HTTP method.
    pub method: http::Method,
    /// Path below the function, starting with `/`, query included; `/` for none.
    pub path: String,
    /// Headers as given, repeated ones kept.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Body,
    /// The body's length in bytes, when known before.
    pub length: Option<u64>,
    /// Queue it instead of waiting for its answer.
    pub asynchronous: bool,
    /// Give up after this long; `None` waits for as long as the platform does.
    pub timeout: Option<Duration>,
    /// What only some platforms can do.
    pub options: CallOptions,
}

/// How to call a function, where a platform has several ways.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// The version or alias to call, in the place of the one that serves.
    pub qualifier: Option<String>,
    /// The body is the platform's own event, and the answer comes as the function gave it.
    pub raw: bool,
    /// By the function's public address, not by the platform's API.
    pub url: bool,
    /// Ask for the answer piece by piece.
    pub stream: bool,
    /// Where the end of the function's log is put.
    pub log: Option<LogTail>,
    /// Exchange the login's token for one that lets this function be called, first.
    pub exchange: bool,
}

/// The end of a function's log, there when the answer has ended.
pub type LogTail = std::sync::Arc<std::sync::Mutex<String>>;

impl CallOptions {
    /// The first one that is asked for, as its flag; `--raw` is none: other platforms have no events around bodies.
    #[must_use]
    pub fn first(&self) -> Option<&'static str> {
        let all = [
            ("--qualifier", self.qualifier.is_some()),
            ("--logs", self.log.is_some()),
            ("--url", self.url),
            ("--stream", self.stream),
        ];
        all.into_iter().find(|(_, asked)| *asked).map(|(flag, _)| flag)
    }
}

/// What a function answered.
pub struct Reply {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body; an error in it means that the answer was cut.
    pub body: Body,
}
