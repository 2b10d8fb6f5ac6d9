//! Where a process's output goes: line by line to a [`LogSink`], long lines in pieces, the last ones remembered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::CallLine;

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes what the function's process writes, and what the invoker has to say about it.
pub trait LogSink: Send + Sync {
    /// A line of the process, without its line end. A line longer than the limit comes in pieces.
    fn line(&self, stream: Stream, line: &[u8]);

    /// Words of the invoker itself: why a request failed, that the child was restarted. One line.
    fn note(&self, message: &str) {
        self.line(Stream::Stderr, message.as_bytes());
    }

    /// A line of a process that was started for the call with this id.
    fn line_of(&self, stream: Stream, line: &[u8], call_id: &str) {
        let _ = call_id;
        self.line(stream, line);
    }

    /// Words of the invoker about the call with this id.
    fn note_of(&self, message: &str, call_id: &str) {
        let _ = call_id;
        self.note(message);
    }

    /// A call has ended; only when [`Config::log_requests`](crate::Config::log_requests) is set.
    fn call(&self, call: &CallLine<'_>) {
        self.note(&call.to_string());
    }
}

/// The sink of a process that was started for one call.
pub(crate) struct OfCall {
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) id: String,
}

impl LogSink for OfCall {
    fn line(&self, stream: Stream, line: &[u8]) {
        self.sink.line_of(stream, line, &self.id);
    }
}

const REMEMBERED: usize = 10;
/// A remembered line is for a message: it needn't be whole.
const REMEMBERED_BYTES: usize = 400;

/// The last lines of a process, for the message when it never gets ready.
#[derive(Default)]
pub(crate) struct LastLines {
    stdout: Mutex<VecDeque<String>>,
    stderr: Mutex<VecDeque<String>>,
}

impl LastLines {
    fn push(&self, stream: Stream, line: &[u8]) {
        let of = if stream == Stream::Stdout { &self.stdout } else { &self.stderr };
        let mut lines = of.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line[..line.len().min(REMEMBERED_BYTES)]).into_owned());
    }

    /// The last lines of stderr, or of stdout when nothing came on stderr.
    pub(crate) fn get(&self) -> Vec<String> {
        let read = |of: &Mutex<VecDeque<String>>| -> Vec<String> {
            of.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
        };
        let errors = read(&self.stderr);
        if errors.is_empty() { read(&self.stdout) } else { errors }
    }
}

/// Copies an output to the sink until its end.
pub(crate) async fn copy<R: AsyncRead + Unpin>(
    mut from: R,
    stream: Stream,
    sink: Arc<dyn LogSink>,
    limit: usize,
    last: Option<Arc<LastLines>>,
) {
    let limit = limit.max(1);
    let emit = |line: &[u8]| {
        if let Some(last) = &last {
            last.push(stream, line);
        }
        sink.line(stream, line);
    };
    let mut buffer = BytesMut::with_capacity(4096);
    let mut searched = 0;
    loop {
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        while searched < buffer.len() {
            match buffer[searched..].iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let end = searched + at;
                    for piece in pieces(&buffer[..end], limit) {
                        emit(piece);
                    }
                    buffer.advance(end + 1);
                    searched = 0;
                }
                None => {
                    searched = buffer.len();
                }
            }
        }
        while buffer.len() > limit {
            emit(&buffer[..limit]);
            buffer.advance(limit);
            searched = buffer.len();
        }
    }
    if !buffer.is_empty() {
        for piece in pieces(&buffer, limit) {
            emit(piece);
        }
    }
}

/// A line in pieces of at most `limit` bytes; an empty line is one empty piece.
fn pieces(line: &[u8], limit: usize) -> impl Iterator<Item = &[u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let empty = line.is_empty().then_some(line);
    empty.into_iter().chain(line.chunks(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn line(&self, _: Stream, line: &[u8]) {
            self.0.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        }
    }

    async fn split(input: &[u8], limit: usize) -> Vec<String> {
        let kept = Arc::new(Kept::default());
        copy(input, Stream::Stdout, kept.clone(), limit, None).await;
        let lines = kept.0.lock().unwrap();
        lines.clone()
    }

    #[tokio::test]
    async fn lines_of_all_shapes() {
        assert_eq!(split(b"one\ntwo\r\n\nlast", 100).await, ["one", "two", "", "last"]);
        assert_eq!(split(b"", 100).await, Vec::<String>::new());
        assert_eq!(split(b"\n", 100).await, [""]);
    }

    #[tokio::test]
    async fn long_lines_come_in_pieces() {
        assert_eq!(split(b"abcdefgh\nij\n", 3).await, ["abc", "def", "gh", "ij"]);
        assert_eq!(split(b"abcdef", 3).await, ["abc", "def"]);
        let long = vec![b'x'; 100_000];
        let got = split(&long, 4096).await;
        assert_eq!(got.iter().map(String::len).sum::<usize>(), 100_000);
        assert!(got.iter().all(|piece| piece.len() <= 4096));
    }

    #[tokio::test]
    async fn the_last_lines_are_remembered() {
        let last = Arc::new(LastLines::default());
        let many: String = (0..25).map(|n| format!("line {n}\n")).collect();
        copy(many.as_bytes(), Stream::Stdout, Arc::new(Kept::default()), 100, Some(last.clone())).await;
        assert_eq!(last.get().first().map(String::as_str), Some("line 15"));
        copy(&b"oops\n"[..], Stream::Stderr, Arc::new(Kept::default()), 100, Some(last.clone())).await;
        assert_eq!(last.get(), ["oops"]);
    }
}
