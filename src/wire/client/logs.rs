//! A function's log: newline-delimited JSON, read as it comes.
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::Method;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::{Client, answer, trouble};
use crate::error::{Fault, OrFault, Result};
use crate::wire::LogMessage;

/// The longest line that is taken; a gateway that sends more is broken.
const LONGEST_LINE: u64 = 8 << 20;

/// Which log entries.
#[derive(Debug, Clone, Default)]
pub struct LogsRequest {
    /// The function's name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// One replica only.
    pub instance: Option<String>,
    /// Not before this time.
    pub since: Option<jiff::Timestamp>,
    /// The last so many.
    pub tail: Option<u64>,
    /// Go on as new ones come.
    pub follow: bool,
}

/// Opens the log.
///
/// # Errors
/// Those of every call.
pub async fn open(
    client: &Client,
    query: &LogsRequest,
) -> Result<impl Stream<Item = Result<LogMessage>> + Send + 'static + use<>> {
    let what = format!("can't read the log of {}", query.name);
    let mut pairs = vec![("name", query.name.clone()), ("follow", query.follow.to_string())];
    pairs.extend(query.namespace.clone().map(|v| ("namespace", v)));
    pairs.extend(query.instance.clone().map(|v| ("instance", v)));
    pairs.extend(query.since.map(|v| ("since", v.to_string())));
    pairs.extend(query.tail.map(|v| ("tail", v.to_string())));
    let request = client
        .request(Method::GET, &["system", "logs"])
        .await?
        .query(&pairs)
        // A followed log has no end.
        .timeout(std::time::Duration::from_secs(365 * 24 * 3600));
    let response = request.send().await.map_err(|e| trouble::unanswered(client, &what, &e))?;
    if !response.status().is_success() {
        return Err(answer::read(client, response, &what).await?.fault(&what));
    }
    let reader = StreamReader::new(response.bytes_stream().map_err(|e| trouble::body_error(&e)).boxed());
    Ok(futures_util::stream::try_unfold(reader, |mut reader| async move {
        Ok(line(&mut reader).await?.map(|message| (message, reader)))
    }))
}

async fn line<R: AsyncBufRead + Unpin>(reader: &mut R) -> Result<Option<LogMessage>> {
    loop {
        let mut bytes = Vec::new();
        let read = reader.take(LONGEST_LINE).read_until(b'\n', &mut bytes).await;
        if read.or_fault(|| "the log was cut".into())? == 0 {
            return Ok(None);
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        return serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            let start: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
            Fault::failed("the gateway sent a log line that can't be read").cause(format!("{e}: {}", start.trim_end()))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_one_by_one_and_empty_ones_skipped() {
        let text = concat!(
            "{\"name\":\"f\",\"timestamp\":\"2026-01-02T03:04:05.6Z\",\"text\":\"one\"}\n\r\n",
            "{\"name\":\"f\",\"timestamp\":\"2026-01-02T03:04:06Z\",\"text\":\"two\"}"
        );
        let mut reader = text.as_bytes();
        let mut seen = Vec::new();
        while let Some(message) = line(&mut reader).await.unwrap() {
            seen.push(message.text);
        }
        assert_eq!(seen, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_line_that_is_no_entry_is_named() {
        let fault = line(&mut "<html>\n".as_bytes()).await.unwrap_err();
        assert!(fault.to_string().contains("<html>"), "{fault}");
    }
}
