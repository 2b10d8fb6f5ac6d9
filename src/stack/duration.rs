//! Durations as Go and faas-cli write them: `1h2m3s`, `500ms`, and a plain number of seconds for timeouts.
use std::time::Duration;

/// Units of Go's `time.ParseDuration`, in nanoseconds; longer names before their prefixes.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// Reads a Go duration (`1h2m3.5s`, `500ms`, `0`) or a whole number of seconds (`30`).
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("a duration can't be negative".into());
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.is_empty() {
        return Err("the duration is empty".into());
    }
    let total = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u128>().ok().and_then(|seconds| seconds.checked_mul(1_000_000_000))
    } else {
        let mut rest = text;
        let mut total = Some(0_u128);
        while !rest.is_empty() {
            let (nanoseconds, after) = part(rest)?;
            total = total.zip(nanoseconds).and_then(|(a, b)| a.checked_add(b));
            rest = after;
        }
        total
    };
    // Go keeps durations in an i64 of nanoseconds: 292 years.
    match total.and_then(|n| i64::try_from(n).ok()).and_then(|n| u64::try_from(n).ok()) {
        Some(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
        None => Err("the duration is too long".into()),
    }
}

/// One `NUMBER UNIT` off the front; `None` for a number too big to count.
fn part(text: &str) -> Result<(Option<u128>, &str), String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err("it takes a number and a unit, as `30s`, `5m` or `1h30m`".into());
    }
    let Some((unit, size)) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit)) else {
        return Err("its unit is missing or unknown; the units are ms, s, m and h".into());
    };
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u128>().ok() };
    // More digits than the unit has nanoseconds change nothing.
    let digits: String = fraction.chars().take(18).collect();
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(18));
    let fraction = digits.parse::<u128>().unwrap_or(0) * size / scale;
    Ok((whole.and_then(|w| w.checked_mul(*size)).and_then(|w| w.checked_add(fraction)), &rest[unit.len()..]))
}

/// The duration as Go writes it: `1h2m3s`, `1.5s`, `500ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let decimal = |unit: u128, name: &str| {
        let text = format!("{}.{:09}", nanoseconds / unit, nanoseconds % unit * (1_000_000_000 / unit));
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanoseconds {
        0 => "0s".into(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = Duration::new(seconds % 60, duration.subsec_nanos());
            let rest = format!("{}.{:09}", rest.as_secs(), rest.subsec_nanos());
            let rest = rest.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("30", 30_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1.s", 1_000_000_000),
            ("500ms", 500_000_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("10μs", 10_000),
            ("7ns", 7),
            (" 1m ", 60_000_000_000),
            ("0.123456789123456789123s", 123_456_789),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "s", ".s", "1x", "-5s", "1.2.3s", "1h 2m", "ten", "5 s", "99999999999h", "1d", "1h5"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"9".repeat(60)).is_err());
    }

    #[test]
    fn writes_what_go_writes() {
        for text in ["0s", "7ns", "1.5µs", "500ms", "1.5s", "30s", "1m0s", "1h2m3s", "1h0m0.5s", "26h0m0s"] {
            assert_eq!(format(parse(text).expect(text)), text);
        }
    }
}
