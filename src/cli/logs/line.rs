//! A log entry as a line of text: faas-cli's three styles, and its times.
use std::fmt::Write;
use std::str::FromStr;

use crate::backend::LogEntry;
use crate::error::{OrFault, Result};

/// How a line is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Time and text
    Plain,
    /// key="value" pairs
    Keyvalue,
    /// One JSON object a line
    Json,
}

/// How times are printed; `None` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(Option<String>);

/// Go's layouts and strftime's signs; longer ones first where one begins another.
const SIGNS: [(&str, &str); 27] = [
    (".000000000", ".%9f"),
    (".999999999", "%.f"),
    (".000000", ".%6f"),
    (".999999", "%.6f"),
    (".000", ".%3f"),
    (".999", "%.3f"),
    ("January", "%B"),
    ("Monday", "%A"),
    ("Z07:00", "Z"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("2006", "%Y"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("01", "%m"),
    ("02", "%d"),
    ("_2", "%e"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
];

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let layout = match text.to_lowercase().as_str() {
            "" => return Ok(Self(None)),
            "rfc3339" => "2006-01-02T15:04:05Z07:00",
            "rfc3339nano" => "2006-01-02T15:04:05.999999999Z07:00",
            "rfc822" => "02 Jan 06 15:04 MST",
            "rfc850" => "Monday, 02-Jan-06 15:04:05 MST",
            "rfc1123" => "Mon, 02 Jan 2006 15:04:05 MST",
            "ansic" => "Mon Jan _2 15:04:05 2006",
            "unixdate" => "Mon Jan _2 15:04:05 MST 2006",
            "kitchen" => "3:04PM",
            _ => text,
        };
        if layout.contains('%') {
            let epoch = jiff::Timestamp::UNIX_EPOCH;
            jiff::fmt::strtime::format(layout, epoch).map_err(|e| format!("`{text}` is no time format: {e}"))?;
            return Ok(Self(Some(layout.into())));
        }
        let mut format = String::new();
        let mut rest = layout;
        while let Some(next) = rest.chars().next() {
            if let Some((go, sign)) = SIGNS.iter().find(|(go, _)| rest.starts_with(go)) {
                format += sign;
                rest = &rest[go.len()..];
            } else if let Some(after) = rest.strip_prefix('3') {
                format += "%-I";
                rest = after;
            } else {
                format.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        Ok(Self(Some(format)))
    }
}

/// The line, with its end.
///
/// # Errors
/// When a time can't be printed in this format.
pub fn format(entry: &LogEntry, style: Style, time: &TimeFormat, name: bool, instance: bool) -> Result<String> {
    if style == Style::Json {
        return serde_json::to_string(entry).map(|text| text + "\n").or_fault(|| "can't write a log entry".into());
    }
    let time = match &time.0 {
        Some(format) => jiff::fmt::strtime::format(format, &entry.timestamp.to_zoned(jiff::tz::TimeZone::UTC))
            .or_fault(|| format!("can't print a time as `{format}`"))?,
        None => String::new(),
    };
    let mut line = String::new();
    if style == Style::Plain {
        if !time.is_empty() {
            let _ = write!(line, "{time} ");
        }
        if name {
            let _ = write!(line, "{} ", entry.name);
        }
        if instance {
            let _ = write!(line, "({}) ", entry.instance);
        }
        let _ = writeln!(line, "{}", entry.text);
        return Ok(line);
    }
    let mut pair = |key: &str, value: &str| {
        // A quote in the text must not end the value.
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(line, "{key}=\"{value}\" ");
    };
    if !time.is_empty() {
        pair("timestamp", &time);
    }
    if name {
        pair("name", &entry.name);
    }
    if instance {
        pair("instance", &entry.instance);
    }
    pair("text", &entry.text);
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> LogEntry {
        LogEntry {
            name: "tax".into(),
            namespace: "fn".into(),
            instance: "7".into(),
            timestamp: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            text: "said \"hi\"".into(),
        }
    }

    fn shown(style: Style, time: &str, name: bool, instance: bool) -> String {
        format(&entry(), style, &time.parse().unwrap(), name, instance).unwrap()
    }

    #[test]
    fn the_styles_are_those_of_faas_cli() {
        let rfc = "2006-01-02T15:04:05Z07:00";
        assert_eq!(shown(Style::Plain, rfc, true, true), "2026-01-02T03:04:05Z tax (7) said \"hi\"\n");
        assert_eq!(shown(Style::Plain, "", false, false), "said \"hi\"\n");
        assert_eq!(
            shown(Style::Keyvalue, rfc, true, false),
            "timestamp=\"2026-01-02T03:04:05Z\" name=\"tax\" text=\"said \\\"hi\\\"\" \n"
        );
        assert_eq!(
            shown(Style::Json, rfc, false, false),
            "{\"name\":\"tax\",\"namespace\":\"fn\",\"instance\":\"7\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"text\":\"said \\\"hi\\\"\"}\n"
        );
    }

    #[test]
    fn times_are_given_in_gos_way_or_in_strftimes() {
        let time = |format: &str| shown(Style::Plain, format, false, false).replace(" said \"hi\"\n", "");
        assert_eq!(time("Mon Jan _2 15:04:05.000 2006"), "Fri Jan  2 03:04:05.678 2026");
        assert_eq!(time("rfc3339nano"), "2026-01-02T03:04:05.678Z");
        assert_eq!(time("%H:%M"), "03:04");
        assert_eq!(time("kitchen"), "3:04AM");
        assert!("%Q%".parse::<TimeFormat>().is_err());
    }
}
