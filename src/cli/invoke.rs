//! `faas invoke`: calls a function; stdin is its body, stdout its answer, both streamed.
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};

use super::Global;
use super::password::in_arguments;
use super::session::{GatewayFlags, Session};
use super::values::duration;
use crate::backend::{Call, CallOptions, LogTail, Reply, near};
use crate::context::Context;
use crate::error::{Code, Fault, Kind, OrFault, Result};
use crate::function::FunctionId;
use crate::output::{Dialect, Output};
use crate::wire::page;

mod event;
mod headers;
mod input;
mod sign;

/// How much of an answer that is no success is read, and told to programs.
const READ: usize = 64 << 10;
/// How much of it is shown to people, in characters.
const SHOWN: usize = 4000;

/// Call a function: stdin is the request's body, stdout the answer's
#[derive(Args)]
#[command(
    after_help = "Examples:\n  echo '{\"subtotal\": 100}' | faas invoke tax\n  faas invoke tax -H 'X-Token: abc' --query rate=high < order.json\n  faas invoke thumbnail --content-type image/png < big.png > small.png\n  echo '{\"order\": 7}' | faas invoke billing --event shop.order.placed\n  faas invoke report --async -H 'X-Callback-Url: https://example.com/done' < /dev/null"
)]
pub struct Invoke {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Queue the call instead of waiting for its answer
    #[arg(short = 'a', long = "async")]
    asynchronous: bool,
    /// A header, as `Key: Value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// A query parameter, as key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::values::pair)]
    query: Vec<(String, String)>,
    /// The body's content type
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The HTTP method
    #[arg(short, long, default_value = "POST", value_name = "METHOD", ignore_case = true,
          value_parser = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])]
    method: String,
    /// The path below the function's own, as /orders/7
    #[arg(long, default_value = "/", value_name = "PATH", hide_default_value = true)]
    path: String,
    /// Sign the body (HMAC with SHA-256) in this header; needs --key-file or --key
    #[arg(long, value_name = "HEADER", requires = "signing")]
    sign: Option<String>,
    /// The key to sign with; other users of this machine can see it while the command runs
    #[arg(long, value_name = "KEY", requires = "sign", group = "signing")]
    key: Option<String>,
    /// The file that holds the key to sign with
    #[arg(long, value_name = "FILE", requires = "sign", group = "signing")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    event: event::EventFlags,
    /// Give up after this long, as 30s or 2m; 0 waits for as long as the platform does
    #[arg(long, default_value = "0", value_name = "DURATION", value_parser = duration, hide_default_value = true)]
    timeout: Duration,
    /// Send the body as the platform's own event, and print the answer as the function gave it
    #[arg(long)]
    raw: bool,
    /// Show the end of the function's log on stderr
    #[arg(long, conflicts_with_all = ["asynchronous", "url"])]
    logs: bool,
    /// Call this version or alias
    #[arg(long, value_name = "VERSION")]
    qualifier: Option<String>,
    /// Call the function by its URL, signed where it asks for that
    #[arg(long, conflicts_with_all = ["asynchronous", "raw", "qualifier"])]
    url: bool,
    /// Exchange the login's token for one that this function asks for (OpenFaaS IAM)
    #[arg(long)]
    auth: bool,
    /// Take the answer piece by piece, where functions answer so
    #[arg(long, conflicts_with = "asynchronous")]
    stream: bool,
}

impl Invoke {
    /// Calls it.
    ///
    /// # Errors
    /// When no answer came, or one that is no success: 401 and 404 have their own exit codes.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let headers = self.headers()?;
        let path = self.path();
        let key = self.signing_key(context)?;
        let session = Session::open(context, global, &self.gateway)?;
        let capabilities = session.backend.capabilities();
        if self.asynchronous {
            capabilities.require("async calls", capabilities.asynchronous)?;
        }
        let options = self.options();
        if let Some(flag) = options.first().filter(|_| capabilities.provider != "lambda") {
            return Err(Fault::unsupported(format!("provider `{}` has no {flag}", capabilities.provider)).hint(
                match flag {
                    "--logs" => format!("it is for provider `lambda`: `faas logs {}` shows the log here", self.name),
                    "--url" => format!(
                        "it is for provider `lambda`: `faas describe {}` shows the address, -g takes that of a gateway",
                        self.name
                    ),
                    _ => "it is for provider `lambda`".to_owned(),
                },
            ));
        }
        if self.auth && capabilities.provider != "openfaas" {
            return Err(Fault::unsupported(format!("provider `{}` exchanges no tokens", capabilities.provider))
                .hint("--auth is for provider `openfaas`"));
        }
        let log = options.log.clone();
        let id = session.named(&self.name)?;
        let method = Method::from_bytes(self.method.to_ascii_uppercase().as_bytes()).or_fault(|| "no method".into())?;
        let bodiless = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
        crate::runtime::block_on(async {
            let (input, headers) = match (&self.sign, &key) {
                (Some(name), Some(key)) => {
                    let (input, signature) = sign::read(key.expose_secret(), bodiless, &context.out)?;
                    let mut headers = headers;
                    headers.insert(header_name(name)?, signature);
                    (input, headers)
                }
                _ => (input::stdin(bodiless, &context.out).await?, headers),
            };
            let (headers, input) = self.event.wrap(headers, input).await?;
            let call = Call {
                method,
                path,
                headers,
                body: input.body,
                length: input.length,
                asynchronous: self.asynchronous,
                timeout: (!self.timeout.is_zero()).then_some(self.timeout),
                options,
            };
            let answered = async {
                let names = session.stack.as_ref().map_or(&[][..], |stack| stack.names.as_slice());
                let reply = match session.backend.invoke(&id, call).await {
                    Err(fault) if fault.code == Code::NO_FUNCTION => {
                        return Err(fault.hint(near::hint(session.backend.as_ref(), &id, names).await));
                    }
                    answered => answered?,
                };
                if !reply.status.is_success() {
                    return Err(refused(&id, reply, &context.out).await);
                }
                match self.asynchronous {
                    true => queued(context, &reply),
                    false => pass_on(&id, reply).await,
                }
            };
            let answered = answered.await;
            // Of calls that failed, too: of those it is wanted most.
            if let Some(log) = log {
                show(&log);
            }
            answered
        })
    }

    fn signing_key(&self, context: &Context) -> Result<Option<SecretString>> {
        match (&self.key, &self.key_file) {
            (Some(key), _) => {
                in_arguments(context, "--key", "--key-file");
                Ok(Some(SecretString::from(key.clone())))
            }
            (None, Some(file)) => super::secret::file::text(&context.absolute(file), file)
                .map(|text| Some(SecretString::from(text.trim_end_matches(['\n', '\r'])))),
            (None, None) => Ok(None),
        }
    }

    fn options(&self) -> CallOptions {
        CallOptions {
            qualifier: self.qualifier.clone(),
            raw: self.raw,
            url: self.url,
            stream: self.stream,
            exchange: self.auth,
            log: self.logs.then(LogTail::default),
        }
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = headers::parse(&self.headers)?;
        match &self.content_type {
            Some(given) => {
                let value = HeaderValue::from_str(given).or_fault(|| format!("`{given}` is no content type"))?;
                headers.insert(header::CONTENT_TYPE, value);
            }
            None if !headers.contains_key(header::CONTENT_TYPE) => {
                let usual = if self.event.is_given() { "application/json" } else { "text/plain" };
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(usual));
            }
            None => {}
        }
        Ok(headers)
    }

    /// Path and query; the parameters in the order of their names, as faas-cli sends them.
    fn path(&self) -> String {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let mut path = format!("{slash}{}", self.path);
        let mut pairs = self.query.clone();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if !pairs.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            path += if path.contains('?') { "&" } else { "?" };
            path += &query;
        }
        path
    }
}

/// The end of a log, without what would move a terminal's cursor.
fn show(log: &LogTail) {
    let text = log.lock().map(|text| text.clone()).unwrap_or_default();
    for line in text.lines() {
        let plain: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        crate::output::eprint_line(&plain);
    }
}

fn header_name(name: &str) -> Result<HeaderName> {
    name.parse().map_err(|_| Fault::usage(format!("`{name}` is no header name")))
}

fn queued(context: &Context, reply: &Reply) -> Result<()> {
    let id = reply.headers.get("x-call-id").and_then(|v| v.to_str().ok());
    if !context.out.is_table() {
        return context.out.result(&serde_json::json!({ "status": reply.status.as_u16(), "call_id": id }), String::new);
    }
    context.out.note("Function submitted asynchronously.");
    if let Some(id) = id {
        context.out.note(format!("Call id: {id}"));
    }
    Ok(())
}

/// The answer to stdout, as it comes and as it is.
async fn pass_on(id: &FunctionId, reply: Reply) -> Result<()> {
    let mut body = reply.body;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| cut(id, &e))?;
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(&chunk).and_then(|()| stdout.flush()) {
            // Whoever read it has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.or_fault(|| "can't write to stdout".into())?,
        }
    }
    Ok(())
}

fn cut(id: &FunctionId, error: &std::io::Error) -> Fault {
    if error.kind() == std::io::ErrorKind::TimedOut {
        return Fault::timed_out(format!("{id} did not end its answer in time")).hint("--timeout gives it longer");
    }
    Fault::failed(format!("the answer of {id} was cut")).cause(error)
}

/// An answer that is no success: to stderr, so that a pipe gets nothing but answers.
async fn refused(id: &FunctionId, reply: Reply, out: &Output) -> Fault {
    let mut bytes = Vec::new();
    let mut body = reply.body;
    while let Some(Ok(chunk)) = body.next().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(READ - bytes.len())]);
        if bytes.len() == READ {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    let status = reply.status;
    let content_type = reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let for_people = out.is_table() && out.dialect == Dialect::Faas;
    let shown = match for_people {
        true if page::is_page(content_type.unwrap_or_default(), text) => format!("a web page: {}", page::words(text)),
        true => page::cut(text, SHOWN),
        false => text.to_owned(),
    };
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Unauthorized,
        StatusCode::GATEWAY_TIMEOUT => Kind::TimedOut,
        _ => Kind::Failed,
    };
    let fault = Fault::new(kind, format!("{id} answered {status}"));
    let fault = if text.is_empty() { fault } else { fault.cause(shown) };
    let wants = reply.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match reply.headers.get(header::LOCATION).and_then(|l| l.to_str().ok()) {
        Some(to) if status.is_redirection() => fault.hint(format!("it redirects to {to}")),
        _ if wants.contains("IAM function invoke") => fault.hint("--auth exchanges the login's token for one it takes"),
        _ if text.contains("Can't reach service") => {
            fault.hint(format!("it doesn't listen (yet): `faas logs {id}` may say why"))
        }
        _ if status == StatusCode::NOT_FOUND => {
            fault.hint("the function may have said so itself; `faas list` shows what is deployed")
        }
        _ if status.is_server_error() => fault.hint(format!("`faas logs {id}` may say why")),
        _ => fault,
    }
}
