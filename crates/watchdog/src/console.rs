//! Prints what the function and the invoker have to say.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use faas_watchdog::{CallLine, LogFormat, LogSink, Stream};
use serde_json::{Value, json};

/// The function's stdout goes to stdout, everything else to stderr.
pub struct Console {
    /// Put date, time and stream's name before the function's lines, as of-watchdog does.
    pub prefix: bool,
    /// Objects or text.
    pub format: LogFormat,
}

impl Console {
    /// A line of the function. Without prefix it is left as it is, whatever the format: a function that writes objects
    /// itself means them to be found as they are.
    fn function(&self, stream: Stream, line: &[u8], call_id: Option<&str>) {
        let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
        let mut text = Vec::with_capacity(line.len() + 32);
        match (self.prefix, self.format) {
            (true, LogFormat::Json) => {
                let line = String::from_utf8_lossy(line);
                text = object(json!({ "source": "function", "stream": name, "msg": line }), call_id);
            }
            (true, LogFormat::Text) => {
                text.extend_from_slice(now().as_bytes());
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(line);
            }
            (false, _) => text.extend_from_slice(line),
        }
        text.push(b'\n');
        // One write per line, so that the lines of several threads don't mix. A log that nobody reads any more must not
        // end the function.
        let _ = match stream {
            Stream::Stdout => std::io::stdout().lock().write_all(&text),
            Stream::Stderr => std::io::stderr().lock().write_all(&text),
        };
    }

    fn watchdog(&self, message: &str, call_id: Option<&str>, more: Value) {
        let mut text = match self.format {
            LogFormat::Text => format!("{}{message}", now()).into_bytes(),
            LogFormat::Json => {
                let mut line = json!({ "source": "watchdog", "msg": message });
                if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
                    line.extend(more);
                }
                object(line, call_id)
            }
        };
        text.push(b'\n');
        let _ = std::io::stderr().lock().write_all(&text);
    }
}

impl LogSink for Console {
    fn line(&self, stream: Stream, line: &[u8]) {
        self.function(stream, line, None);
    }

    fn note(&self, message: &str) {
        self.watchdog(message, None, Value::Null);
    }

    fn line_of(&self, stream: Stream, line: &[u8], call_id: &str) {
        self.function(stream, line, Some(call_id));
    }

    fn note_of(&self, message: &str, call_id: &str) {
        self.watchdog(message, Some(call_id), Value::Null);
    }

    fn call(&self, call: &CallLine<'_>) {
        let more = json!({
            "method": call.method.as_str(), "target": call.target.to_string(), "status": call.status,
            "bytes": call.bytes, "seconds": call.took.as_secs_f64(),
        });
        self.watchdog(&call.to_string(), call.call_id, more);
    }
}

/// A line of the log as an object, with the time before all else.
fn object(line: Value, call_id: Option<&str>) -> Vec<u8> {
    let mut all = serde_json::Map::new();
    all.insert("time".into(), timestamp().into());
    if let Value::Object(line) = line {
        all.extend(line);
    }
    if let Some(id) = call_id {
        all.insert("call_id".into(), id.into());
    }
    Value::Object(all).to_string().into_bytes()
}

/// The time in UTC, to the millisecond, as RFC 3339 wants it.
fn timestamp() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// The time in UTC as Go's log package writes it, with a space after it.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} ")
}

/// Year, month and day of a number of days since 1970-01-01, by Howard Hinnant's `civil_from_days`.
pub fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_780, (2026, 11, 23)),
            (19_722, (2023, 12, 31)),
        ] {
            assert_eq!(date(days), expected);
        }
    }
}
