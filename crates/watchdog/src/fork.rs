//! The modes that start a process per request: streaming, and classic (the whole request in, the whole output back).

use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::body::{Deadline, Expired, RequestBody};
use crate::failure::Failure;
use crate::headers::{DURATION, duration_value};
use crate::invoker::Shared;
use crate::lines::{self, LogSink, OfCall, Stream};
use crate::spawn::{self, Kind, Process};
use crate::supervisor::describe;
use crate::ticket::{Ticket, call_id};
use crate::upstream::{collect, request_failure};
use crate::{Body, BoxError, Config, cgi, memory};

/// What a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The process of one request. Dropped before its end, its whole group is killed.
struct Running {
    process: Process,
    shared: Arc<Shared>,
}

impl Running {
    async fn start(shared: &Arc<Shared>, parts: &Parts, length: Option<u64>) -> Result<Self, Failure> {
        let config = &shared.config;
        let request = cgi::variables(parts, length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1));
        let env = config.env.iter().chain(&request).map(|(name, value)| (name.as_str(), value.as_str()));
        let arguments = &config.command[1..];
        let mut process = spawn::start(&shared.program, arguments, config.cwd.as_deref(), env, Kind::Request)
            .await
            .map_err(|error| {
                Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the function's process can't be started")
                    .because(format!("can't start {}: {error}", config.command[0]))
            })?;
        if let Some(stderr) = process.child.stderr.take() {
            // On its own: a process it leaves behind may keep stderr open for ever.
            let sink: Arc<dyn LogSink> = match call_id(parts).and_then(|id| id.to_str().ok()) {
                Some(id) => Arc::new(OfCall { sink: shared.logs.clone(), id: id.to_owned() }),
                None => shared.logs.clone(),
            };
            tokio::spawn(lines::copy(stderr, Stream::Stderr, sink, config.log_buffer_size, None));
        }
        shared.groups.lock().unwrap_or_else(PoisonError::into_inner).push(process.group.id());
        Ok(Running { process, shared: shared.clone() })
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<ExitStatus>> {
        let status = pin!(self.process.child.wait()).poll(context);
        if status.is_ready() {
            self.process.group.release();
        }
        status
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        std::future::poll_fn(|context| self.poll_wait(context)).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.process.group.id();
        self.shared.groups.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| *group != id);
    }
}

/// Kills the processes of all calls under way.
pub(crate) fn end_all(shared: &Shared) {
    for group in &*shared.groups.lock().unwrap_or_else(PoisonError::into_inner) {
        spawn::signal_group(i32::try_from(*group).unwrap_or(0), Signal::KILL);
    }
}

/// A response of a process, without its duration.
pub(crate) fn response(config: &Config, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    if let Ok(value) = HeaderValue::from_str(&config.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// Reads the whole request, runs a process with it, returns its whole output.
pub(crate) async fn serialize(
    shared: &Arc<Shared>,
    parts: Parts,
    body: RequestBody,
    deadline: Deadline,
) -> Result<Bytes, Failure> {
    let run = async {
        let input = collect(body).await?;
        let mut running = Running::start(shared, &parts, Some(input.len() as u64)).await?;
        let stdin = running.process.child.stdin.take();
        let stdout = running.process.child.stdout.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A process needn't read what it is given.
                let _ = stdin.write_all(&input).await;
            }
        };
        let read = async {
            let mut output = Vec::new();
            match stdout {
                Some(mut stdout) => stdout.read_to_end(&mut output).await.map(|_| output),
                None => Ok(output),
            }
        };
        let process = running.process.group.id();
        let work = async {
            let ((), output) = tokio::join!(write, read);
            (running.wait().await, output)
        };
        let (status, output) = tokio::select! {
            done = work => done,
            reason = memory::exceeded(&shared.config, process) => return Err(held_too_much(reason)),
        };
        match (status, output) {
            (Ok(status), Ok(output)) if status.success() => Ok(Bytes::from(output)),
            (Ok(status), Ok(_)) => Err(failed(status)),
            (Err(error), _) | (_, Err(error)) => Err(Failure::broken(format!("lost the function's process: {error}"))),
        }
    };
    deadline.limit(run).await.map_err(|expired| Failure::timeout(expired.0))?
}

fn held_too_much(reason: String) -> Failure {
    let message = "the function's process held more memory than its limit";
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message).because(reason)
}

fn failed(status: ExitStatus) -> Failure {
    let how = describe(status);
    let reason = format!("the function's process ended with {how}");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, how).because(reason)
}

/// Runs a process that gets the request as it arrives, and whose output is the response as it comes.
///
/// The head is sent with the first output, so that a process that fails before it is a 500.
pub(crate) async fn stream(
    shared: &Arc<Shared>,
    parts: Parts,
    body: RequestBody,
    ticket: &mut Option<Ticket>,
    deadline: Deadline,
) -> Result<Response<Body>, Failure> {
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length = length.or_else(|| body.size_hint().exact());
    let mut running = match deadline.limit(Running::start(shared, &parts, length)).await {
        Ok(running) => running?,
        Err(expired) => return Err(Failure::timeout(expired.0)),
    };
    let stdin = running.process.child.stdin.take();
    let stdout = running.process.child.stdout.take();
    let process = running.process.group.id();
    let of = shared.clone();
    let mut output = Output {
        memory: shared
            .config
            .memory_limit
            .map(|_| -> Watch { Box::pin(async move { memory::exceeded(&of.config, process).await }) }),
        stdout,
        buffer: BytesMut::new(),
        first: None,
        pump: Some(Pump(tokio::spawn(pump(body, stdin)))),
        running: Some(running),
        status: None,
        ticket: None,
        deadline,
    };
    match std::future::poll_fn(|context| output.poll_chunk(context)).await {
        Some(Ok(chunk)) => output.first = Some(chunk),
        Some(Err(Cut::Time(expired))) => return Err(Failure::timeout(expired.0)),
        Some(Err(Cut::Request(error))) => return Err(request_failure(&*error)),
        Some(Err(Cut::Memory(reason))) => return Err(held_too_much(reason)),
        Some(Err(Cut::Process(error))) => {
            return Err(Failure::broken(format!("lost the function's process: {error}")));
        }
        None => {
            if let Some(status) = output.status.filter(|status| !status.success()) {
                return Err(failed(status));
            }
        }
    }
    let mut ticket = ticket.take();
    let mut response = response(&shared.config, Body::full(Bytes::new()));
    if let Some(ticket) = &mut ticket {
        ticket.answered(StatusCode::OK, None);
        response.headers_mut().insert(DURATION, duration_value(ticket.since));
    }
    if output.first.is_some() {
        output.ticket = ticket;
        *response.body_mut() = Body::output(output);
    }
    Ok(response)
}

/// Writes the request to the process.
///
/// # Errors
/// The request broke off. That the process has closed its stdin is none.
async fn pump(mut body: RequestBody, stdin: Option<ChildStdin>) -> Result<(), BoxError> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && stdin.write_all(&data).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

/// The task that writes the request; it ends with the response.
struct Pump(JoinHandle<Result<(), BoxError>>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why an output was cut off.
enum Cut {
    Time(Expired),
    Request(BoxError),
    Process(std::io::Error),
    Memory(String),
}

/// Ends when a process holds too much memory.
type Watch = Pin<Box<dyn Future<Output = String> + Send>>;

/// The output of a process, as a body.
pub(crate) struct Output {
    memory: Option<Watch>,
    stdout: Option<ChildStdout>,
    buffer: BytesMut,
    first: Option<Bytes>,
    pump: Option<Pump>,
    running: Option<Running>,
    status: Option<ExitStatus>,
    ticket: Option<Ticket>,
    deadline: Deadline,
}

impl Output {
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(self.counted(first)))));
        }
        let chunk = std::task::ready!(self.poll_chunk(context));
        let error = match chunk {
            Some(Ok(chunk)) => return Poll::Ready(Some(Ok(Frame::data(self.counted(chunk))))),
            None => {
                if let (Some(status), Some(ticket)) = (self.status.filter(|status| !status.success()), &self.ticket) {
                    ticket.note(&format!("the function's process ended with {}", describe(status)));
                }
                self.ticket = None;
                return Poll::Ready(None);
            }
            Some(Err(Cut::Time(expired))) => BoxError::from(expired),
            Some(Err(Cut::Request(error))) => error,
            Some(Err(Cut::Process(error))) => error.into(),
            Some(Err(Cut::Memory(reason))) => reason.into(),
        };
        if let Some(ticket) = self.ticket.take() {
            ticket.note(&format!("response cut off: {error}"));
        }
        self.running = None;
        Poll::Ready(Some(Err(error)))
    }

    fn counted(&mut self, chunk: Bytes) -> Bytes {
        if let Some(ticket) = &mut self.ticket {
            ticket.bytes += chunk.len() as u64;
        }
        chunk
    }

    /// The next piece of output, or the end of the process.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(pump) = &mut self.pump
            && let Poll::Ready(done) = Pin::new(&mut pump.0).poll(context)
        {
            self.pump = None;
            if let Ok(Err(error)) = done {
                // The process must not take half a request for a whole one.
                return Poll::Ready(Some(Err(Cut::Request(error))));
            }
        }
        if let Some(memory) = &mut self.memory
            && let Poll::Ready(reason) = memory.as_mut().poll(context)
        {
            self.running = None;
            return Poll::Ready(Some(Err(Cut::Memory(reason))));
        }
        if let Some(stdout) = &mut self.stdout {
            self.buffer.reserve(CHUNK);
            match pin!(stdout.read_buf(&mut self.buffer)).poll(context) {
                Poll::Ready(Ok(0)) => self.stdout = None,
                Poll::Ready(Ok(_)) => return Poll::Ready(Some(Ok(self.buffer.split().freeze()))),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(Cut::Process(error)))),
                Poll::Pending => {
                    return self.deadline.poll_expired(context).map(|expired| Some(Err(Cut::Time(expired))));
                }
            }
        }
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        match running.poll_wait(context) {
            Poll::Ready(Ok(status)) => {
                self.status = Some(status);
                self.running = None;
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(Cut::Process(error)))),
            Poll::Pending => self.deadline.poll_expired(context).map(|expired| Some(Err(Cut::Time(expired)))),
        }
    }
}

/// What the function answers to a GET of its ready path: 200 when its process ends well.
pub(crate) async fn probe(shared: &Arc<Shared>, path: &str) -> StatusCode {
    let Ok(request) = Request::get(path).body(()) else { return StatusCode::INTERNAL_SERVER_ERROR };
    let limit = shared.config.exec_timeout;
    let deadline = Deadline::after(std::time::Instant::now(), limit, "exec_timeout");
    match serialize(shared, request.into_parts().0, RequestBody::Empty, deadline).await {
        Ok(_) => StatusCode::OK,
        Err(failure) => failure.status,
    }
}
