//! `Retry-After`: how long a server asks to be left alone (RFC 9110, 10.2.3).
use std::time::Duration;

use http::HeaderMap;

/// What the header says, in seconds or as a date; a date that has passed is no wait at all.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let after = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            retry_after(&HeaderMap::from_iter([(http::header::RETRY_AFTER, value)]))
        };
        assert_eq!(after("3"), Some(Duration::from_secs(3)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert!(after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(3600));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
