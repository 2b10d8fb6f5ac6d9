//! What an invoker is told: the command, the mode, the limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// How requests reach the function's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One long-lived child that is an HTTP server on a loopback port.
    Http,
    /// A process per request; the body streams to its stdin and its stdout streams back.
    Streaming,
    /// A process per request; whole body in, whole output back (of-watchdog's `serializing`, and the classic watchdog).
    Classic,
    /// No process: the files of a folder.
    Static,
}

impl Mode {
    /// The name as `mode` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Http => "http",
            Mode::Streaming => "streaming",
            Mode::Classic => "serializing",
            Mode::Static => "static",
        }
    }
}

/// Where the child of [`Mode::Http`] listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Addresses to try, in this order.
    pub addresses: Vec<SocketAddr>,
    /// What is put before every request's path; empty or `/something`, without a slash at its end.
    pub prefix: String,
}

impl Upstream {
    /// A port on loopback, IPv4 first (a server bound to `localhost` may listen on `::1` only).
    pub fn loopback(port: u16) -> Self {
        let v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
        Upstream { addresses: vec![v4, v6], prefix: String::new() }
    }

    /// Reads `http://127.0.0.1:3000`, `http://localhost:3000/prefix` or `127.0.0.1:3000`.
    ///
    /// # Errors
    /// A scheme other than `http`, or a host that is neither an IP address nor `localhost`: the child lives on this
    /// machine, so no name has to be looked up.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Setting { name: "upstream_url".into(), problem };
        let rest = url.strip_prefix("http://").unwrap_or(url);
        if rest.contains("://") {
            return Err(wrong(format!("`{url}` must start with http://")));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority: http::uri::Authority =
            authority.parse().map_err(|_| wrong(format!("`{url}` is not a URL like http://127.0.0.1:3000")))?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(authority.host()) => 80,
            None => return Err(wrong(format!("`{url}`: the port must be a number from 1 to 65535"))),
        };
        let prefix = path.trim_end_matches('/').to_owned();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host == "localhost" {
            return Ok(Upstream { prefix, ..Upstream::loopback(port) });
        }
        let address: IpAddr = host.parse().map_err(|_| {
            wrong(format!("`{url}`: the host must be an IP address or localhost, where the child listens"))
        })?;
        Ok(Upstream { addresses: vec![SocketAddr::new(address, port)], prefix })
    }

    /// The port the child listens on.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }
}

/// Everything an [`Invoker`](crate::Invoker) needs to know. [`Config::new`] gives of-watchdog's defaults.
#[derive(Clone)]
pub struct Config {
    /// Program and arguments; none in [`Mode::Static`]. A program without a slash is looked up in the `PATH` of `env`.
    pub command: Vec<String>,
    /// Where the process runs; the current folder when `None`.
    pub cwd: Option<PathBuf>,
    /// The whole environment of the process: nothing is inherited. `PORT` and `port` are added in [`Mode::Http`], and
    /// `AWS_LAMBDA_FUNCTION_TIMEOUT` unless it is there; the request's `Http_*` in the other modes.
    pub env: Vec<(String, String)>,
    /// How requests reach the process.
    pub mode: Mode,
    /// The folder whose files [`Mode::Static`] serves.
    pub static_path: PathBuf,
    /// Where the child of [`Mode::Http`] listens; `None`: a free port is chosen at each start.
    pub upstream: Option<Upstream>,
    /// The longest a call may take, counted from its arrival; zero: no limit. A request's `X-Timeout` can shorten it.
    pub exec_timeout: Duration,
    /// The longest the request's body may take to arrive; zero: no limit.
    pub read_timeout: Duration,
    /// The longest a response may take until its last byte, counted from the request's arrival; zero: no limit.
    pub write_timeout: Duration,
    /// The longest a request waits for a child that is starting or restarting.
    pub start_wait: Duration,
    /// The time between TERM and KILL when the child is stopped.
    pub stop_grace: Duration,
    /// Calls at a time; one more is answered 429. Zero: no limit.
    pub max_inflight: u32,
    /// The most memory, in bytes, that a process and its children may hold; over it they are killed.
    pub memory_limit: Option<u64>,
    /// A path that must answer 2xx before the function counts as ready.
    pub ready_path: Option<String>,
    /// `Content-Type` of responses in the modes that start a process per request.
    pub content_type: String,
    /// Read the whole request before the child of [`Mode::Http`] gets it, so that it sees a `Content-Length`.
    pub buffer_body: bool,
    /// Lines of the process longer than this are split; bytes.
    pub log_buffer_size: usize,
    /// One line per request to the log.
    pub log_requests: bool,
    /// Add the `X-Call-Id` to the request's line.
    pub log_call_id: bool,
}

impl Config {
    /// of-watchdog's defaults for a command: 30 s timeouts, no limit on calls at a time.
    pub fn new(mode: Mode, command: Vec<String>) -> Self {
        Config {
            command,
            cwd: None,
            env: Vec::new(),
            mode,
            static_path: PathBuf::from("/home/app/public"),
            upstream: None,
            exec_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            start_wait: Duration::from_secs(10),
            stop_grace: Duration::from_secs(10),
            max_inflight: 0,
            memory_limit: None,
            ready_path: None,
            content_type: "application/octet-stream".into(),
            buffer_body: false,
            log_buffer_size: 64 * 1024,
            log_requests: false,
            log_call_id: false,
        }
    }

    /// The value of a variable in [`Config::env`]; the last one wins, as it does for the process.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

// By hand, since the environment may hold secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("command", &self.command)
            .field("cwd", &self.cwd)
            .field("env", &self.env.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
            .field("mode", &self.mode)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_urls() {
        let parsed = Upstream::parse("http://127.0.0.1:3000").unwrap();
        assert_eq!((parsed.addresses, parsed.prefix), (vec!["127.0.0.1:3000".parse().unwrap()], String::new()));
        let parsed = Upstream::parse("http://localhost:5000/base/").unwrap();
        assert_eq!(parsed.addresses, vec!["127.0.0.1:5000".parse().unwrap(), "[::1]:5000".parse().unwrap()]);
        assert_eq!(parsed.prefix, "/base");
        assert_eq!(Upstream::parse("[::1]:81").unwrap().addresses, vec!["[::1]:81".parse().unwrap()]);
        assert_eq!(Upstream::parse("http://127.0.0.1").unwrap().port(), 80);
        for wrong in ["https://127.0.0.1:1", "http://example.com:80", "http://", "http://127.0.0.1:99999"] {
            assert!(Upstream::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let mut config = Config::new(Mode::Http, vec!["true".into()]);
        config.env.push(("TOKEN".into(), "s3cret".into()));
        let shown = format!("{config:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("s3cret"), "{shown}");
    }
}
