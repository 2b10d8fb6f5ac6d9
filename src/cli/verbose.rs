//! `-v` to `-vvv`: what is done, on stderr, without passwords and tokens.
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::LazyLock;

use regex::Regex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::context::Env;
use crate::output::{LogFormat, log_json};

/// Commands whose own `-v` is older than this one.
const OWN: [&str; 3] = ["list", "ls", "describe"];

/// The arguments without `-v`, `-vv` and `-vvv`, wherever they stand before `--`, and how many there were. Commands that
/// have a `-v` of their own keep it; before the command it is always this one.
pub fn taken_out(args: Vec<OsString>) -> (Vec<OsString>, u8) {
    let (mut kept, mut count) = (Vec::with_capacity(args.len()), 0);
    let mut own = false;
    let mut rest = args.into_iter();
    kept.extend(rest.next());
    for arg in rest.by_ref() {
        let text = arg.to_str().unwrap_or_default();
        if text == "--" {
            kept.push(arg);
            break;
        }
        let times = text.strip_prefix('-').filter(|v| matches!(*v, "v" | "vv" | "vvv")).map_or(0, str::len);
        if times > 0 && !(own && times == 1) {
            count += u8::try_from(times).unwrap_or(3);
            continue;
        }
        own |= OWN.contains(&text);
        kept.push(arg);
    }
    kept.extend(rest);
    (kept, count)
}

/// Starts telling; `FAAS_LOG` says more exactly what, in the words of `tracing`. Without either nothing is told.
pub fn start(verbose: u8, env: &Env, format: LogFormat) {
    let own = match verbose {
        0 => None,
        1 => Some("faas=info"),
        2 => Some("faas=debug,kube_client::client::builder=debug"),
        _ => Some("faas=trace,reqwest=debug,hyper_util=debug,kube=debug,aws_smithy_runtime=debug,oci_client=debug"),
    };
    let Some(filter) = env.get("FAAS_LOG").or(own).and_then(|text| EnvFilter::try_new(text).ok()) else { return };
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time();
    // A daemon that has its own is told by that.
    let _ = match format {
        LogFormat::Text => told.with_writer(Redacted { json: false }).try_init(),
        LogFormat::Json => told.with_level(false).with_writer(Redacted { json: true }).try_init(),
    };
}

/// What must not be told: passwords in addresses, and what stands behind words that announce one.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix)
        (?P<address> :// [^\s/:@]* : ) [^\s/@]+ (?P<at> @ )
        | (?P<scheme> \b (?: bearer | basic ) \s+ ) [A-Za-z0-9+/=._~-]{4,}
        | (?P<word> \b (?: authorization | x-amz-security-token | x-registry-auth | cookie | password | passwd | secret | token | api[-_]?key )
            "? \s* [:=] \s* "? ) (?: (?: bearer | basic ) \s+ )? [^\s",&]+"#,
    )
    .ok()
});

/// A line without what must not be told.
fn redacted(line: &str) -> String {
    match SECRETS.as_ref() {
        Some(secrets) => secrets.replace_all(line, "${address}${scheme}${word}[left out]${at}").into_owned(),
        None => String::new(),
    }
}

/// Stderr, redacted; the writer gets a whole event at a time.
#[derive(Clone, Copy)]
struct Redacted {
    json: bool,
}

impl Write for Redacted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = redacted(&String::from_utf8_lossy(bytes));
        if self.json {
            log_json("debug", None, text.trim());
        } else {
            io::stderr().lock().write_all(text.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Redacted {
    type Writer = Self;

    fn make_writer(&self) -> Self::Writer {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(args: &[&str]) -> (Vec<String>, u8) {
        let (kept, count) = taken_out(args.iter().map(Into::into).collect());
        (kept.into_iter().map(|arg| arg.into_string().unwrap()).collect(), count)
    }

    #[test]
    fn it_is_taken_out_wherever_it_stands_and_left_to_commands_that_have_their_own() {
        let up = |kept: &[&str], count| (kept.iter().map(|&k| k.to_owned()).collect::<Vec<_>>(), count);
        assert_eq!(taken(&["faas", "-v", "up"]), up(&["faas", "up"], 1));
        assert_eq!(taken(&["faas", "up", "-vv", "-v"]), up(&["faas", "up"], 3));
        assert_eq!(taken(&["faas", "list", "-v"]), up(&["faas", "list", "-v"], 0));
        assert_eq!(taken(&["faas", "-v", "list", "-v", "-vv"]), up(&["faas", "list", "-v"], 3));
        assert_eq!(taken(&["faas", "test", "--", "-v"]), up(&["faas", "test", "--", "-v"], 0));
    }

    #[test]
    fn passwords_and_tokens_are_left_out() {
        for (line, expected) in [
            ("GET https://me:pass@host/x", "GET https://me:[left out]@host/x"),
            ("authorization: Basic YWRtaW46cHc=", "authorization: [left out]"),
            ("sent Bearer eyJhbGciOi.x.y now", "sent Bearer [left out] now"),
            ("{\"password\":\"geheim\",\"a\":1}", "{\"password\":\"[left out]\",\"a\":1}"),
            ("url?token=abc&x=1", "url?token=[left out]&x=1"),
            ("GET http://127.0.0.1:8080/system/functions", "GET http://127.0.0.1:8080/system/functions"),
        ] {
            assert_eq!(redacted(line), expected);
        }
    }
}
