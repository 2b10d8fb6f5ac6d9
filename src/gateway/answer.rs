//! Answers of the gateway: its body type, and refusals worded as OpenFaaS words them.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use faas_watchdog::BoxError;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::error::{Fault, Kind};

/// Content type of all texts.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// How much of a refused body is taken in, in bytes, and for how long.
const DISCARDED: usize = 256 << 20;
const DISCARDING: std::time::Duration = std::time::Duration::from_secs(5);

/// What an answer's body is made of.
pub(super) enum Body {
    /// Bytes that are here.
    Whole(Option<Bytes>),
    /// What a function answers, as it comes.
    Function(faas_watchdog::Body),
    /// Pieces from another task, as they come.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Function(body) => Pin::new(body).poll_frame(cx),
            Self::Pieces(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|p| Ok(Frame::data(p?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Function(body) => body.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Function(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Takes in, for a while, what a refused client still sends: most look for an answer only when they are done, and a
/// connection that is closed before that takes the answer with it.
pub(super) async fn discard(body: &mut hyper::body::Incoming) {
    let reading = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > DISCARDED {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARDING, reading).await;
}

impl Body {
    /// A body of these bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

/// An answer on its way out.
pub(super) type Answer = Response<Body>;

/// A status alone.
pub(super) fn empty(status: StatusCode) -> Answer {
    with(status, None, Body::Whole(None))
}

/// A text.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with(status, Some(TEXT), Body::whole(text))
}

/// A value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => with(StatusCode::OK, Some(JSON), Body::whole(bytes)),
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
    }
}

/// A status with a body.
pub(super) fn with(status: StatusCode, kind: Option<&'static str>, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    if let Some(kind) = kind {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    answer
}

/// An answer other than success: its status and its text, newline included where there is one.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub text: String,
}

impl Refused {
    /// A refusal with a line of text.
    pub fn new(status: StatusCode, line: impl std::fmt::Display) -> Self {
        Self { status, text: format!("{line}\n") }
    }

    /// What was asked can't be done.
    pub fn bad(line: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, line)
    }

    /// It is not there.
    pub fn missing(line: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, line)
    }

    /// The method is not for this path.
    pub fn method() -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, text: String::new() }
    }

    /// As an answer.
    pub fn answer(self) -> Answer {
        if self.text.is_empty() { empty(self.status) } else { text(self.status, self.text) }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let status = match fault.kind {
            Kind::Usage => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, fault)
    }
}
