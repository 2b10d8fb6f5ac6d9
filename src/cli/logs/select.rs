//! Which entries of a log are shown: by text, by the status of the call that they tell of, by chance.
use std::str::FromStr;
use std::sync::LazyLock;

use clap::Args;
use regex::Regex;

use crate::backend::LogEntry;

/// Flags that choose among entries.
#[derive(Args, Clone, Default)]
pub struct Select {
    /// Only lines with this text, whatever its case
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only lines that tell of calls with such a status, as 500, 5xx or 4xx,5xx
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<Status>,
    /// Only about this part of the lines, as 0.1; the same lines each time
    #[arg(long, value_name = "PART", value_parser = part)]
    sample: Option<f64>,
}

/// A status, or a class of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status(String);

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_lowercase();
        let fits = text.len() == 3
            && text.starts_with(|c: char| ('1'..='5').contains(&c))
            && text.chars().all(|c| c.is_ascii_digit() || c == 'x');
        if fits { Ok(Self(text)) } else { Err("a status is as 404, or 5xx for all of 500 to 599".into()) }
    }
}

impl Status {
    fn is(&self, status: &str) -> bool {
        self.0.chars().zip(status.chars()).all(|(want, have)| want == 'x' || want == have)
    }
}

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("a part is more than 0 and at most 1, as 0.1".into()),
    }
}

/// Where lines have a status: `"GET / HTTP/1.1" 200` of web servers, `POST / - 200 OK` of watchdogs, `"status":200` and
/// `status=200` of structured logs.
static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix) HTTP/[0-9.]+"? \s+ ([1-5][0-9]{2}) \b
        | \b (?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \s \S+ (?: \s - )? \s ([1-5][0-9]{2}) \b
        | \b status(?:_?code)? "? \s* [:=] \s* "? ([1-5][0-9]{2}) \b"#,
    )
    .ok()
});

impl Select {
    /// Whether entries are chosen by the status of calls.
    pub fn is_by_status(&self) -> bool {
        !self.status.is_empty()
    }

    /// Whether an entry has a status, when somebody asks for one.
    pub fn tells_of_a_call(&self, entry: &LogEntry) -> bool {
        self.is_by_status() && status(&entry.text).is_some()
    }

    /// Whether an entry is shown.
    pub fn takes(&self, entry: &LogEntry) -> bool {
        let text = &entry.text;
        let found = |wanted: &String| text.to_lowercase().contains(&wanted.to_lowercase());
        self.search.as_ref().is_none_or(found)
            && (self.status.is_empty() || status(text).is_some_and(|have| self.status.iter().any(|want| want.is(have))))
            && self.sample.is_none_or(|part| chance(entry) < part)
    }
}

/// The status that a line tells of.
fn status(text: &str) -> Option<&str> {
    let found = STATUS.as_ref()?.captures(text)?;
    found.iter().skip(1).flatten().next().map(|one| one.as_str())
}

/// From 0 to 1, evenly, by what the entry is: so two looks at a log show the same lines.
fn chance(entry: &LogEntry) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(entry.timestamp.to_string().as_bytes())
        .update(entry.instance.as_bytes())
        .update(entry.text.as_bytes());
    let hash = hasher.finalize();
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> LogEntry {
        LogEntry {
            name: "tax".into(),
            namespace: String::new(),
            instance: "a".into(),
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            text: text.into(),
        }
    }

    #[test]
    fn a_status_is_found_in_the_lines_of_servers_watchdogs_and_structured_logs() {
        for (line, expected) in [
            (r#"127.0.0.1 - - [x] "GET /a HTTP/1.1" 404 12"#, Some("404")),
            ("2026/01/01 POST / - 200 OK - ContentLength: 5B (0.1s)", Some("200")),
            ("GET /healthz 503 1ms", Some("503")),
            (r#"{"level":"info","status":500,"path":"/"}"#, Some("500")),
            ("level=info status_code=201", Some("201")),
            ("took 200 ms", None),
            ("status: 9000", None),
        ] {
            assert_eq!(status(line), expected, "{line}");
        }
    }

    #[test]
    fn entries_are_chosen_by_all_flags_at_once() {
        let select = Select { search: Some("ORDER".into()), status: vec!["5xx".parse().unwrap()], sample: None };
        assert!(select.takes(&entry("POST /order 502")));
        assert!(!select.takes(&entry("POST /order 404")));
        assert!(!select.takes(&entry("POST /tax 502")));
        assert!(Select::default().takes(&entry("anything")));
        assert!("6xx".parse::<Status>().is_err() && "5x".parse::<Status>().is_err());
    }

    #[test]
    fn a_sample_is_about_as_large_as_asked_and_the_same_each_time() {
        let select = Select { sample: Some(0.1), ..Select::default() };
        let taken = || (0..2000).filter(|n| select.takes(&entry(&format!("line {n}")))).collect::<Vec<_>>();
        assert!((120..280).contains(&taken().len()), "{}", taken().len());
        assert_eq!(taken(), taken());
        assert!(part("0").is_err() && part("1.5").is_err() && part("1").is_ok());
    }
}
