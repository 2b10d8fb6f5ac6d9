//! Prints what the function and the invoker have to say.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use faas_watchdog::{LogSink, Stream};

/// The function's stdout goes to stdout, everything else to stderr.
pub struct Console {
    /// Put date, time and stream's name before the function's lines, as of-watchdog does.
    pub prefix: bool,
}

impl LogSink for Console {
    fn line(&self, stream: Stream, line: &[u8]) {
        let name = if stream == Stream::Stdout { "stdout: " } else { "stderr: " };
        // One write per line, so that the lines of several threads don't mix.
        let mut text = Vec::with_capacity(line.len() + 32);
        if self.prefix {
            text.extend_from_slice(now().as_bytes());
            text.extend_from_slice(name.as_bytes());
        }
        text.extend_from_slice(line);
        text.push(b'\n');
        // A log that nobody reads any more must not end the function.
        let _ = match stream {
            Stream::Stdout => std::io::stdout().lock().write_all(&text),
            Stream::Stderr => std::io::stderr().lock().write_all(&text),
        };
    }

    fn note(&self, message: &str) {
        let _ = std::io::stderr().lock().write_all(format!("{}{message}\n", now()).as_bytes());
    }
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
