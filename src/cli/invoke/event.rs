//! `--event`: the body as the data of a CloudEvent, in binary mode (streamed, attributes in headers) or structured
//! (one JSON document). Format: CloudEvents 1.0, its JSON format and its HTTP protocol binding.
use base64::Engine;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};

use super::input::Input;
use crate::cli::values::pair;
use crate::error::{Fault, OrFault, Result};

/// The content type of an event that is one JSON document.
const STRUCTURED: &str = "application/cloudevents+json";
/// The largest event in structured mode, which has to be whole before it is sent.
const LARGEST: usize = 16 << 20;
/// Attributes that flags of their own set.
const OWN: [&str; 8] = ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "data"];

/// What makes a call an event.
#[derive(Args)]
pub struct EventFlags {
    /// Send the body as the data of a CloudEvent of this type
    #[arg(long = "event", value_name = "TYPE")]
    kind: Option<String>,
    /// The event's id [default: a new one]
    #[arg(long, value_name = "ID", requires = "kind")]
    event_id: Option<String>,
    /// The event's source, a URI or a part of one
    #[arg(long, value_name = "URI", requires = "kind", default_value = "/faas")]
    event_source: String,
    /// The event's subject
    #[arg(long, value_name = "TEXT", requires = "kind")]
    event_subject: Option<String>,
    /// Another attribute of the event; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "kind", value_parser = pair)]
    event_attribute: Vec<(String, String)>,
    /// Where the event's attributes stand: in headers, or in one JSON document with the data
    #[arg(long, value_enum, value_name = "MODE", requires = "kind", default_value_t, conflicts_with = "sign")]
    event_mode: Mode,
}

/// Where an event's attributes stand.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// In headers; the body is the data
    #[default]
    Binary,
    /// In one JSON document with the data
    Structured,
}

impl EventFlags {
    /// Whether the call is an event at all.
    pub fn is_given(&self) -> bool {
        self.kind.is_some()
    }

    /// Makes the call an event: its headers and body. `headers` have the data's content type.
    ///
    /// # Errors
    /// An attribute that can't be one; data that can't be read, or is too large for structured mode.
    pub async fn wrap(&self, mut headers: HeaderMap, input: Input) -> Result<(HeaderMap, Input)> {
        let Some(kind) = &self.kind else { return Ok((headers, input)) };
        let attributes = self.attributes(kind)?;
        match self.event_mode {
            Mode::Binary => {
                for (name, value) in &attributes {
                    let key: HeaderName = format!("ce-{name}").parse().map_err(|_| no_name(name))?;
                    let value =
                        HeaderValue::from_str(&encoded(value)).or_fault(|| format!("`{name}` can't be sent"))?;
                    headers.insert(key, value);
                }
                Ok((headers, input))
            }
            Mode::Structured => {
                let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
                let event = document(attributes, given.to_owned(), &whole(input).await?)?;
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
                Ok((headers, Input::whole(event)))
            }
        }
    }

    /// Names and values, those that every event has first.
    fn attributes(&self, kind: &str) -> Result<Vec<(String, String)>> {
        let id = self.event_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        for (name, value) in [("--event", kind), ("--event-id", id.as_str()), ("--event-source", &self.event_source)] {
            if value.is_empty() {
                return Err(Fault::usage(format!("{name} is empty, and every event has one")));
            }
        }
        let mut all: Vec<(String, String)> = [
            ("specversion", "1.0".to_owned()),
            ("id", id),
            ("source", self.event_source.clone()),
            ("type", kind.to_owned()),
            ("time", jiff::Timestamp::now().to_string()),
        ]
        .into_iter()
        .chain(self.event_subject.clone().map(|subject| ("subject", subject)))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        for (name, value) in &self.event_attribute {
            if name == "time" {
                // Whoever replays an event gives its own.
                all.retain(|(known, _)| known != "time");
            } else if OWN.contains(&name.as_str()) || name == "data_base64" {
                return Err(Fault::usage(format!("`{name}` is no further attribute of an event"))
                    .hint("--event, --event-id, --event-source, --event-subject and --content-type set the others"));
            }
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
                return Err(no_name(name));
            }
            all.push((name.clone(), value.clone()));
        }
        Ok(all)
    }
}

fn no_name(name: &str) -> Fault {
    Fault::usage(format!("`{}` is no name for an attribute of an event", name.escape_debug()))
        .hint("it has lower-case letters and digits only")
}

/// A value as a header has it: percent-encoded where it is not printable ASCII, a quote or a percent sign (binding,
/// 3.1.3.2).
fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

/// The event as one JSON document (JSON format, 3.1): JSON as it is, text as text, anything else in base64.
fn document(attributes: Vec<(String, String)>, content_type: String, data: &[u8]) -> Result<Bytes> {
    let mut event: Map<String, Value> = attributes.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence == "text/json" || essence.ends_with("+json");
    event.insert("datacontenttype".into(), json!(content_type));
    if !data.is_empty() {
        match std::str::from_utf8(data) {
            Ok(text) if is_json => {
                let data: Value = serde_json::from_str(text).map_err(|error| {
                    Fault::usage("the event's data is not JSON")
                        .cause(error)
                        .hint("--content-type says what it is, as text/plain")
                })?;
                event.insert("data".into(), data);
            }
            Ok(text) => drop(event.insert("data".into(), json!(text))),
            Err(_) => {
                let text = base64::engine::general_purpose::STANDARD.encode(data);
                event.insert("data_base64".into(), json!(text));
            }
        }
    }
    Ok(Value::Object(event).to_string().into())
}

async fn whole(input: Input) -> Result<Vec<u8>> {
    let what = || "can't read stdin".to_owned();
    let mut body = input.body;
    let mut data = Vec::new();
    while let Some(piece) = body.try_next().await.or_fault(what)? {
        data.extend_from_slice(&piece);
        if data.len() > LARGEST {
            return Err(Fault::usage(format!("the event's data is larger than {} MiB", LARGEST >> 20))
                .hint("leave out --event-mode: in binary mode data is streamed"));
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        event: EventFlags,
        #[arg(long)]
        sign: Option<String>,
    }

    async fn wrapped(args: &[&str], content_type: &'static str, data: &'static [u8]) -> Result<(HeaderMap, Vec<u8>)> {
        let line = Line::try_parse_from(["faas"].iter().chain(args)).expect("flags");
        assert_eq!(line.sign, None);
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect();
        let (headers, input) = line.event.wrap(headers, Input::whole(Bytes::from_static(data))).await?;
        Ok((headers, whole(input).await?))
    }

    #[tokio::test]
    async fn in_binary_mode_attributes_are_headers_and_data_is_the_body() {
        let args = ["--event", "shop.order", "--event-subject", "n° 7", "--event-attribute", "tenant=a%b"];
        let (headers, body) = wrapped(&args, "text/plain", b"hello").await.unwrap();
        assert_eq!(body, b"hello");
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-type", "shop.order"),
            ("ce-source", "/faas"),
            ("ce-subject", "n%C2%B0%207"),
            ("ce-tenant", "a%25b"),
            ("content-type", "text/plain"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let again = wrapped(&args, "text/plain", b"").await.unwrap().0;
        assert!(!headers["ce-id"].is_empty() && headers["ce-id"] != again["ce-id"]);
    }

    #[tokio::test]
    async fn in_structured_mode_all_is_one_document() {
        let args = [
            "--event",
            "a.b",
            "--event-mode",
            "structured",
            "--event-id",
            "7",
            "--event-attribute",
            "time=2026-01-01T00:00:00Z",
        ];
        let event = async |content_type, data| {
            let (headers, body) = wrapped(&args, content_type, data).await.unwrap();
            assert_eq!(headers["content-type"], STRUCTURED);
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        assert_eq!(
            event("application/json", br#"{"n": 1}"#).await,
            json!({"specversion": "1.0", "id": "7", "source": "/faas", "type": "a.b", "time": "2026-01-01T00:00:00Z",
                   "datacontenttype": "application/json", "data": {"n": 1}})
        );
        assert_eq!(event("text/plain; charset=utf-8", "ä".as_bytes()).await["data"], json!("ä"));
        assert_eq!(event("image/png", &[0xff, 0]).await["data_base64"], json!("/wA="));
        assert_eq!(event("text/plain", b"").await.get("data"), None);
        let fault = wrapped(&args, "application/json", b"{").await.unwrap_err();
        assert_eq!(fault.kind, crate::error::Kind::Usage);
    }

    #[tokio::test]
    async fn what_can_be_no_attribute_is_told() {
        for attribute in ["Type=a", "a-b=c", "type=x", "data=x", "data_base64=x"] {
            let fault =
                wrapped(&["--event", "a", "--event-attribute", attribute], "text/plain", b"").await.unwrap_err();
            assert_eq!(fault.kind, crate::error::Kind::Usage, "{attribute}");
        }
        assert!(wrapped(&["--event", ""], "text/plain", b"").await.is_err());
        assert!(Line::try_parse_from(["faas", "--event-id", "7"]).is_err());
        assert!(Line::try_parse_from(["faas", "--event", "a", "--event-mode", "structured", "--sign", "x"]).is_err());
    }
}
