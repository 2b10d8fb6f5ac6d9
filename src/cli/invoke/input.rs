//! Stdin as a request's body: read by a thread of its own in large pieces, few of them in memory at a time.
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::backend::Body;
use crate::error::{OrFault, Result};
use crate::output::Output;

/// One read. Small enough to keep memory low, large enough that system calls don't count.
const PIECE: usize = 128 << 10;
/// Pieces waiting to be sent.
const WAITING: usize = 4;
/// How long to wait for a short input's end, so that it can be sent with its length.
const PATIENCE: Duration = Duration::from_millis(3);

/// A body, and its length where that is known.
pub struct Input {
    /// The bytes.
    pub body: Body,
    /// How many, when known before.
    pub length: Option<u64>,
}

impl Input {
    /// No body.
    pub fn empty() -> Self {
        Self { body: Box::pin(futures_util::stream::empty()), length: Some(0) }
    }

    /// Bytes at hand.
    pub fn whole(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self { body: Box::pin(futures_util::stream::iter([Ok(bytes)])), length }
    }

    /// What is left of a file.
    ///
    /// # Errors
    /// When its length can't be told.
    pub fn file(mut file: File) -> io::Result<Self> {
        let length = file.metadata()?.len().saturating_sub(file.stream_position()?);
        if length == 0 {
            return Ok(Self::empty());
        }
        if length <= PIECE as u64 {
            // Not worth a thread.
            let mut piece = Vec::new();
            file.take(length).read_to_end(&mut piece)?;
            return Ok(Self::whole(piece.into()));
        }
        // A file that grows meanwhile must not be longer than was said.
        Ok(Self { body: Box::pin(pieces(file.take(length))), length: Some(length) })
    }
}

/// Stdin. `bodiless` methods don't ask somebody at a terminal for a body.
///
/// # Errors
/// When it can't be read.
pub async fn stdin(bodiless: bool, out: &Output) -> Result<Input> {
    if bodiless && io::stdin().is_terminal() {
        return Ok(Input::empty());
    }
    let file = open(out)?;
    let what = || "can't read stdin".to_owned();
    if file.metadata().or_fault(what)?.is_file() {
        return Input::file(file).or_fault(what);
    }
    let mut rest = Box::pin(pieces(file));
    // Many a handler reads a body by its length only: a short one is told with it.
    let Some(first) = rest.next().await.transpose().or_fault(what)? else {
        return Ok(Input::empty());
    };
    let second = match tokio::time::timeout(PATIENCE, rest.next()).await {
        Ok(None) => {
            return Ok(Input::whole(first));
        }
        Ok(Some(second)) => Some(second),
        Err(_) => None,
    };
    let start = futures_util::stream::iter([Some(Ok(first)), second].into_iter().flatten());
    Ok(Input { body: Box::pin(start.chain(rest)), length: None })
}

/// Stdin as a file; somebody at a terminal is told what is waited for.
///
/// # Errors
/// When stdin is closed.
pub fn open(out: &Output) -> Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        out.note("Reading from STDIN - hit (Control + D) to stop.");
    }
    stdin.as_fd().try_clone_to_owned().map(File::from).or_fault(|| "can't read stdin".into())
}

fn pieces(mut from: impl Read + Send + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let piece = match from.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => {
                    piece.truncate(n);
                    // A slow writer's few bytes must not hold a whole piece.
                    if n < PIECE / 4 {
                        piece.shrink_to_fit();
                    }
                    Ok(Bytes::from(piece))
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            // The other side is gone once the call has ended; nobody needs the rest.
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn whole(input: Input) -> Vec<u8> {
        input.body.map(|piece| piece.unwrap().to_vec()).collect::<Vec<_>>().await.concat()
    }

    #[tokio::test]
    async fn what_is_left_of_a_file_is_sent_with_its_length() {
        let mut file = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..3 * PIECE).map(|n| u8::try_from(n % 251).unwrap()).collect();
        io::Write::write_all(&mut file, &text).unwrap();
        file.seek(io::SeekFrom::Start(5)).unwrap();
        let input = Input::file(file).unwrap();
        assert_eq!(input.length, Some(text.len() as u64 - 5));
        assert!(whole(input).await == text[5..]);
    }

    #[tokio::test]
    async fn an_error_while_reading_is_passed_on() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken disk"))
            }
        }
        let first = Box::pin(pieces(Broken)).next().await.unwrap();
        assert_eq!(first.unwrap_err().to_string(), "broken disk");
    }
}
