//! The modes that start a process per request: streaming, and classic (the whole request in, the whole output back).

use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Frame};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::body::{Deadline, Expired, RequestBody};
use crate::failure::Failure;
use crate::feed::Feed;
use crate::headers::{DURATION, duration_value};
use crate::invoker::Shared;
use crate::launch::Started;
use crate::leader::Leader;
use crate::lines::{self, LogSink, OfCall, Stream};
use crate::spawn::{self, Group};
use crate::supervisor::describe;
use crate::ticket::{Ticket, call_id};
use crate::upstream::{collect, request_failure};
use crate::{Body, BoxError, Config, cgi, memory};

/// What is read of an output at first: memory that was not touched before costs more than most answers' reading.
const FIRST_CHUNK: usize = 4 * 1024;
/// What a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The process of one request. Dropped before its end, its whole group is killed.
struct Running {
    group: Group,
    leader: Leader,
    /// Copies stderr to the log.
    errors: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    shared: Arc<Shared>,
}

impl Running {
    /// The process, where it reads the request and where its output comes.
    fn start(shared: &Arc<Shared>, parts: &Parts, length: Option<u64>) -> Result<(Self, OwnedFd, Receiver), Failure> {
        let config = &shared.config;
        let variables = cgi::variables(parts, length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1));
        let started = shared.launch.start(&variables).and_then(|started| {
            let Started { group, leader, stdin, stdout, stderr } = started;
            let (stdout, stderr) =
                (Receiver::from_owned_fd_unchecked(stdout)?, Receiver::from_owned_fd_unchecked(stderr)?);
            Ok((group, leader, stdin, stdout, stderr))
        });
        let (group, leader, stdin, stdout, stderr) = started.map_err(|error| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the function's process can't be started")
                .because(format!("can't start {}: {error}", config.command[0]))
        })?;
        let sink: Arc<dyn LogSink> = match call_id(parts).and_then(|id| id.to_str().ok()) {
            Some(id) => Arc::new(OfCall { sink: shared.logs.clone(), id: id.to_owned() }),
            None => shared.logs.clone(),
        };
        let errors = lines::copy(stderr, Stream::Stderr, sink, config.log_buffer_size, None);
        shared.groups.lock().unwrap_or_else(PoisonError::into_inner).push(group.id());
        Ok((Running { group, leader, errors: Some(Box::pin(errors)), shared: shared.clone() }, stdin, stdout))
    }

    /// Logs what has come on stderr. By the call itself: most processes say nothing, and a task of its own is work for
    /// another thread.
    fn poll_errors(&mut self, context: &mut Context<'_>) {
        if let Some(errors) = &mut self.errors
            && errors.as_mut().poll(context).is_ready()
        {
            self.errors = None;
        }
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<ExitStatus>> {
        self.poll_errors(context);
        let status = self.leader.poll_wait(context);
        if status.is_ready() {
            self.group.release();
            // What it said last.
            self.poll_errors(context);
        }
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.group.id();
        self.shared.groups.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| *group != id);
        // A process it leaves behind may keep stderr open for ever.
        if let (Some(errors), Ok(runtime)) = (self.errors.take(), Handle::try_current()) {
            runtime.spawn(errors);
        }
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
        let (mut running, stdin, mut stdout) = Running::start(shared, &parts, Some(input.len() as u64))?;
        let process = running.group.id();
        let mut feed = Some(Feed::new(RequestBody::Full(Some(input)), stdin));
        let mut output = Vec::new();
        let work = async {
            let read = {
                let mut read = pin!(stdout.read_to_end(&mut output));
                std::future::poll_fn(|context| {
                    running.poll_errors(context);
                    poll_feed(&mut feed, context);
                    read.as_mut().poll(context)
                })
                .await
            };
            // It needn't read what it is given; one that has ended its output may still want it.
            let status = std::future::poll_fn(|context| {
                poll_feed(&mut feed, context);
                running.poll_wait(context)
            })
            .await;
            (status, read.map(|_| output))
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

/// Writes more of the request, until all of it is written or nobody reads it.
fn poll_feed(feed: &mut Option<Feed>, context: &mut Context<'_>) {
    if let Some(writing) = feed
        && Pin::new(writing).poll(context).is_ready()
    {
        *feed = None;
    }
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
    let (running, stdin, stdout) = Running::start(shared, &parts, length)?;
    let process = running.group.id();
    let of = shared.clone();
    let mut output = Output {
        memory: shared
            .config
            .memory_limit
            .map(|_| -> Watch { Box::pin(async move { memory::exceeded(&of.config, process).await }) }),
        stdout: Some(stdout),
        buffer: BytesMut::new(),
        chunk: FIRST_CHUNK,
        first: None,
        feeding: Some(Feeding::Here(Feed::new(body, stdin))),
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
        output.feed_apart();
        output.ticket = ticket;
        *response.body_mut() = Body::output(output);
    }
    Ok(response)
}

/// Who writes the request to the process. It ends with the response.
enum Feeding {
    /// The call, while it waits for the process.
    Here(Feed),
    /// A task: who reads the response may be waited for.
    Apart(Apart),
}

struct Apart(JoinHandle<Result<(), BoxError>>);

impl Feeding {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Feeding::Here(feed) => Pin::new(feed).poll(context),
            Feeding::Apart(task) => Pin::new(&mut task.0).poll(context).map(|done| done.unwrap_or(Ok(()))),
        }
    }
}

impl Drop for Apart {
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
    stdout: Option<Receiver>,
    buffer: BytesMut,
    /// How much is read at a time.
    chunk: usize,
    first: Option<Bytes>,
    feeding: Option<Feeding>,
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

    /// What of the request is still to come is written by a task.
    fn feed_apart(&mut self) {
        self.feeding = self.feeding.take().map(|feeding| match feeding {
            Feeding::Here(feed) => Feeding::Apart(Apart(tokio::spawn(feed))),
            apart => apart,
        });
    }

    fn counted(&mut self, chunk: Bytes) -> Bytes {
        if let Some(ticket) = &mut self.ticket {
            ticket.bytes += chunk.len() as u64;
        }
        chunk
    }

    /// The next piece of output, or the end of the process.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(running) = &mut self.running {
            running.poll_errors(context);
        }
        if let Some(feeding) = &mut self.feeding
            && let Poll::Ready(done) = feeding.poll(context)
        {
            self.feeding = None;
            if let Err(error) = done {
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
            self.buffer.reserve(self.chunk);
            match pin!(stdout.read_buf(&mut self.buffer)).poll(context) {
                Poll::Ready(Ok(0)) => self.stdout = None,
                Poll::Ready(Ok(count)) => {
                    if count >= self.chunk {
                        self.chunk = (self.chunk * 4).min(CHUNK);
                    }
                    return Poll::Ready(Some(Ok(self.buffer.split().freeze())));
                }
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
