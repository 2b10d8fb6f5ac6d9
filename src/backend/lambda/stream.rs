//! Calls whose answers come piece by piece.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>
use aws_sdk_lambda::operation::invoke_with_response_stream::InvokeWithResponseStreamOutput as Output;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    InvokeWithResponseStreamCompleteEvent as Complete, InvokeWithResponseStreamResponseEvent as Event, LogType,
};
use bytes::{Bytes, BytesMut};

use super::aws::Aws;
use super::event;
use super::fault::{chain, code, fault};
use super::invoke::{no_function, put_log, raised};
use crate::backend::{LogTail, Reply};
use crate::error::{Fault, Result};

/// Bytes of what comes before a streamed body: status and headers.
const PRELUDE: usize = 256 * 1024;

/// What is left of an answer.
struct Rest {
    name: String,
    output: Output,
    pending: Bytes,
    ended: bool,
    log: Option<LogTail>,
}

/// Calls a function by the event `payload`.
///
/// # Errors
/// What Lambda refused, and what the function raised before its answer began.
pub async fn call(
    aws: &Aws,
    name: &str,
    qualifier: &str,
    payload: Vec<u8>,
    raw: bool,
    log: Option<LogTail>,
) -> Result<Reply> {
    let request = aws.lambda.invoke_with_response_stream().function_name(name).qualifier(qualifier);
    let once =
        aws_sdk_lambda::config::Builder::new().retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled());
    let sent = request.payload(Blob::new(payload)).log_type(LogType::Tail).customize().config_override(once).send();
    let output = sent.await.map_err(|error| match code(&error) {
        "ResourceNotFoundException" => no_function(name, &aws.region),
        _ => fault(format!("can't call {name}"), &error),
    })?;
    let mut rest = Rest { name: name.to_owned(), output, pending: Bytes::new(), ended: false, log };
    if raw {
        return Ok(event::answer(&[], true)?.with(body(rest)));
    }
    // A function that streams says so at once; the answer of any other is one JSON document.
    let mut begun = BytesMut::new();
    loop {
        if let Some((head, from)) = event::prelude(&begun)? {
            rest.pending = begun.freeze().slice(from..);
            return Ok(head.with(body(rest)));
        }
        match rest.next().await? {
            Some(chunk) => begun.extend_from_slice(&chunk),
            None => {
                let mut answer = event::answer(&begun, false)?;
                let bytes = Bytes::from(std::mem::take(&mut answer.body));
                return Ok(answer.with(Box::pin(futures_util::stream::once(async move { Ok(bytes) }))));
            }
        }
        if begun.len() > PRELUDE && begun.first() != Some(&b'{') {
            rest.pending = begun.freeze();
            return Ok(event::answer(&[], true)?.with(body(rest)));
        }
    }
}

impl Rest {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.pending.is_empty() {
            return Ok(Some(std::mem::take(&mut self.pending)));
        }
        while !self.ended {
            let event = self.output.event_stream.recv().await.map_err(|error| {
                Fault::failed(format!("the answer of {} broke off", self.name)).cause(chain(&error))
            })?;
            match event {
                Some(Event::PayloadChunk(chunk)) => {
                    let bytes = chunk.payload.map(Blob::into_inner).unwrap_or_default();
                    if !bytes.is_empty() {
                        return Ok(Some(bytes.into()));
                    }
                }
                Some(Event::InvokeComplete(complete)) => self.complete(&complete)?,
                Some(_) => {}
                None => {
                    return Err(Fault::failed(format!("the answer of {} broke off", self.name))
                        .cause("the connection was closed before the call was complete"));
                }
            }
        }
        Ok(None)
    }

    fn complete(&mut self, complete: &Complete) -> Result<()> {
        self.ended = true;
        put_log(self.log.as_ref(), complete.log_result());
        let details = complete.error_details().unwrap_or_default();
        match complete.error_code() {
            Some(error) => Err(raised(&self.name, error, details.as_bytes(), complete.log_result())),
            None => Ok(()),
        }
    }
}

fn body(rest: Rest) -> crate::backend::Body {
    Box::pin(futures_util::stream::try_unfold(rest, |mut rest| async move {
        let next = rest.next().await.map_err(std::io::Error::other)?;
        Ok(next.map(|bytes| (bytes, rest)))
    }))
}
