//! of-watchdog's environment variables, for the binary.

use std::time::Duration;

use crate::{Config, Error, Mode, Upstream, parse_duration, parse_size};

const DEFAULT_PORT: u16 = 8080;
const METRICS_PORT: u16 = 8081;

/// How the binary writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// As of-watchdog does.
    Text,
    /// An object a line.
    Json,
}

/// What the binary is told by its environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the invoker. Its `env` is the whole environment given.
    pub config: Config,
    /// Where to listen: `port`, else `PORT` (Knative sets it), else 8080.
    pub port: u16,
    /// Where metrics are served besides `/metrics` on the main port, if it is free.
    pub metrics_port: u16,
    /// Lines of the function get date, time and stream's name.
    pub prefix_logs: bool,
    /// How lines are written.
    pub log_format: LogFormat,
    /// How long to go on serving, unready, after SIGTERM, for load balancers that notice by probing. Of use only when
    /// `healthcheck_interval` is set; zero otherwise.
    pub healthcheck_interval: Duration,
    /// Don't write the lock file that exec health checks look for.
    pub suppress_lock: bool,
    /// Values that were not understood and replaced by defaults, as of-watchdog does.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads an environment.
    ///
    /// # Errors
    /// No command, an unknown mode, an upstream that can't be one, or a write timeout of zero.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let env: Vec<(String, String)> = variables.into_iter().collect();
        let mut reader = Reader { env: &env, warnings: Vec::new() };

        let command = reader.get("function_process").or_else(|| reader.get("fprocess")).map(words).unwrap_or_default();
        let mode = match reader.get("mode").filter(|mode| !mode.is_empty()).unwrap_or("streaming") {
            "http" => Mode::Http,
            "streaming" => Mode::Streaming,
            "serializing" | "classic" => Mode::Classic,
            "static" => Mode::Static,
            other => {
                let problem = format!("`{other}` is none of http, streaming, serializing, classic, static");
                return Err(Error::Setting { name: "mode".into(), problem });
            }
        };

        if command.is_empty() && mode != Mode::Static {
            return Err(Error::NoCommand);
        }
        if reader.flag("jwt_auth", false) {
            // Not to be passed over: who sets it counts on it.
            let problem =
                "callers' tokens are not checked here; take it out, and check them in front or in the function";
            return Err(Error::Setting { name: "jwt_auth".into(), problem: problem.into() });
        }

        let mut config = Config::new(mode, command);
        if let Some(path) = reader.get("static_path").filter(|path| !path.is_empty()) {
            config.static_path = path.into();
        }
        let upstream = reader.get("http_upstream_url").or_else(|| reader.get("upstream_url"));
        config.upstream = upstream.filter(|url| !url.is_empty()).map(Upstream::parse).transpose()?;
        config.exec_timeout = reader.duration("exec_timeout", config.exec_timeout);
        config.read_timeout = reader.duration("read_timeout", config.read_timeout);
        config.write_timeout = reader.duration("write_timeout", config.write_timeout);
        if config.write_timeout.is_zero() {
            return Err(Error::Setting { name: "write_timeout".into(), problem: "must be over 0s".into() });
        }
        config.max_inflight = reader.number("max_inflight", 0);
        if let Some(text) = reader.get("memory_limit").filter(|text| !text.is_empty()) {
            let wrong = || Error::Setting {
                name: "memory_limit".into(),
                problem: format!("`{text}` is no size: write it as 128Mi"),
            };
            config.memory_limit = Some(parse_size(text).ok_or_else(wrong)?);
        }
        config.ready_path = reader.get("ready_path").filter(|path| !path.is_empty()).map(str::to_owned);
        if let Some(content_type) = reader.get("content_type") {
            config.content_type = content_type.to_owned();
        }
        config.buffer_body = reader.flag("http_buffer_req_body", false) || reader.flag("buffer_http", false);
        config.log_buffer_size = match reader.number::<i64>("log_buffer_size", 64 * 1024) {
            // of-watchdog's "no limit"; there is one, so that a process can't fill the memory with one line.
            ..0 => 16 * 1024 * 1024,
            size => usize::try_from(size).unwrap_or(64 * 1024),
        };
        // The first is what of-watchdog reads, the second what its documentation says.
        config.log_call_id = reader.flag("log_callid", false) || reader.flag("log_call_id", false);
        config.log_requests = reader.flag("log_requests", config.log_call_id);

        let default_port = reader.get("PORT").and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
        let port = reader.number("port", default_port);
        let metrics_port = reader.number("metrics_port", METRICS_PORT);
        let prefix_logs = reader.flag("prefix_logs", true);
        let log_format = match reader.get("log_format").unwrap_or_default() {
            "" | "text" | "plain" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                let problem = format!("`{other}` is neither text nor json");
                return Err(Error::Setting { name: "log_format".into(), problem });
            }
        };
        let healthcheck_interval = reader.duration("healthcheck_interval", Duration::ZERO);
        let suppress_lock = reader.flag("suppress_lock", false);
        let warnings = reader.warnings;
        config.env = env;
        Ok(Settings {
            config,
            port,
            metrics_port,
            prefix_logs,
            log_format,
            healthcheck_interval,
            suppress_lock,
            warnings,
        })
    }
}

struct Reader<'a> {
    env: &'a [(String, String)],
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn or_warn<T: std::fmt::Debug>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>, default: T) -> T {
        let Some(text) = self.get(name) else { return default };
        read(text).unwrap_or_else(|| {
            self.warnings.push(format!("{name}: `{text}` is not understood, {default:?} is used"));
            default
        })
    }

    fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.or_warn(name, parse_duration, default)
    }

    fn number<T: std::str::FromStr + std::fmt::Debug>(&mut self, name: &str, default: T) -> T {
        self.or_warn(name, |text| text.trim().parse().ok(), default)
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        let read = |text: &str| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Some(false),
            _ => None,
        };
        self.or_warn(name, read, default)
    }
}

/// A command line as words; quotes group as in a shell. One whose quotes don't match is split at its spaces, which is
/// all of-watchdog does.
fn words(line: &str) -> Vec<String> {
    shell_words::split(line).unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::from_env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn of_watchdogs_defaults() {
        let settings = settings(&[("fprocess", "cat")]).unwrap();
        assert_eq!(settings.config.mode, Mode::Streaming);
        assert_eq!((settings.port, settings.metrics_port, settings.prefix_logs), (8080, 8081, true));
        assert_eq!(settings.config.exec_timeout, Duration::from_secs(30));
        assert_eq!(settings.config.content_type, "application/octet-stream");
        assert!(!settings.config.log_requests && settings.warnings.is_empty());
    }

    #[test]
    fn all_of_them() {
        let settings = settings(&[
            ("fprocess", "ignored"),
            ("function_process", "python3 -c 'print(1)'"),
            ("mode", "http"),
            ("upstream_url", "http://127.0.0.1:1"),
            ("http_upstream_url", "http://127.0.0.1:5000"),
            ("port", "9000"),
            ("PORT", "9001"),
            ("exec_timeout", "2m"),
            ("read_timeout", "5"),
            ("write_timeout", "1m30s"),
            ("healthcheck_interval", "4s"),
            ("max_inflight", "7"),
            ("prefix_logs", "false"),
            ("ready_path", "/ready"),
            ("http_buffer_req_body", "true"),
            ("log_buffer_size", "100"),
            ("log_callid", "1"),
            ("suppress_lock", "true"),
            ("static_path", "/srv"),
            ("log_format", "json"),
        ])
        .unwrap();
        let config = &settings.config;
        assert_eq!(config.command, ["python3", "-c", "print(1)"]);
        assert_eq!(config.upstream.as_ref().map(Upstream::port), Some(5000));
        assert_eq!(settings.port, 9000);
        assert_eq!(config.exec_timeout, Duration::from_secs(120));
        assert_eq!(config.read_timeout, Duration::from_secs(5));
        assert_eq!(config.write_timeout, Duration::from_secs(90));
        assert_eq!(settings.healthcheck_interval, Duration::from_secs(4));
        assert_eq!(config.max_inflight, 7);
        assert!(!settings.prefix_logs && config.buffer_body && config.log_requests && config.log_call_id);
        assert!(settings.suppress_lock);
        assert_eq!((config.ready_path.as_deref(), config.log_buffer_size), (Some("/ready"), 100));
        assert_eq!((config.static_path.to_str(), settings.log_format), (Some("/srv"), LogFormat::Json));
        assert_eq!(config.env.len(), 20);
    }

    #[test]
    fn both_names_of_one_variable_and_files_without_a_command() {
        assert!(settings(&[("fprocess", "cat"), ("log_call_id", "true")]).unwrap().config.log_call_id);
        let settings = settings(&[("mode", "static")]).unwrap();
        assert_eq!(settings.config.static_path.to_str(), Some("/home/app/public"));
    }

    #[test]
    fn knatives_port() {
        assert_eq!(settings(&[("fprocess", "cat"), ("PORT", "9001")]).unwrap().port, 9001);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let settings = settings(&[("fprocess", "cat"), ("exec_timeout", "soon"), ("max_inflight", "many")]).unwrap();
        assert_eq!(settings.config.exec_timeout, Duration::from_secs(30));
        assert_eq!(settings.warnings.len(), 2);
        assert!(settings.warnings[0].contains("exec_timeout"), "{:?}", settings.warnings);
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (variables, says) in [
            (&[("mode", "http")][..], "fprocess"),
            (&[("fprocess", "cat"), ("mode", "afterburn")], "`afterburn`"),
            (&[("fprocess", "cat"), ("jwt_auth", "true")], "jwt_auth: callers' tokens are not checked here"),
            (&[("fprocess", "cat"), ("memory_limit", "lots")], "memory_limit: `lots` is no size"),
            (&[("fprocess", "cat"), ("log_format", "xml")], "log_format: `xml` is neither"),
            (&[("fprocess", "cat"), ("write_timeout", "0")], "write_timeout: must be over 0s"),
            (&[("fprocess", "cat"), ("upstream_url", "https://x")], "http://"),
        ] {
            let message = settings(variables).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn commands_with_quotes() {
        assert_eq!(words("sh -c \"echo 'a b'\""), ["sh", "-c", "echo 'a b'"]);
        assert_eq!(words("echo it's"), ["echo", "it's"]);
    }
}
