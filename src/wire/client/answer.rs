//! An answer of the gateway, read whole, and what its status means to the user.
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::{Auth, Client, trouble};
use crate::error::{Fault, Result};
use crate::wire::{page, retry_after};

/// The longest answer that is read: a list of some 100,000 functions.
const LONGEST: usize = 64 << 20;
/// How much is shown of the way to what is wrong in an answer.
const PATH: usize = 80;
/// What to do where something else than a gateway answers.
const OTHER: &str = "is this an OpenFaaS gateway? -g names another";
/// How much of a refusal is shown.
const SHOWN: usize = 400;

/// An answer of the gateway, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, as text.
    pub text: String,
    content_type: String,
    location: Option<String>,
    retry_after: Option<Duration>,
    address: String,
    logged_in: bool,
}

/// How long to wait before the next attempt: what `Retry-After` says, else longer each time.
pub fn wait(headers: &HeaderMap, attempt: u32) -> Duration {
    retry_after(headers).unwrap_or_else(|| Duration::from_millis(250 << attempt.min(5)))
}

/// Reads an answer whole.
///
/// # Errors
/// When it is cut, or too long.
pub async fn read(client: &Client, mut response: Response, what: &str) -> Result<Answer> {
    let text_of = |name: header::HeaderName| {
        response.headers().get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
    };
    let (status, content_type, location) =
        (response.status(), text_of(header::CONTENT_TYPE).unwrap_or_default(), text_of(header::LOCATION));
    let retry_after = retry_after(response.headers());
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LONGEST => {
                return Err(Fault::failed(what).cause(format!(
                    "the answer of {} is longer than {} MiB",
                    client.address(),
                    LONGEST >> 20
                )));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(e) => return Err(trouble::cut(client, what, &e)),
        }
    }
    Ok(Answer {
        status,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        content_type,
        location,
        retry_after,
        address: client.address().into(),
        logged_in: !matches!(client.options.auth, Auth::None),
    })
}

/// Whether a refusal says, in faasd's words, that there is no such namespace.
pub fn is_about_namespace(text: &str) -> bool {
    text.trim_end().ends_with("namespace not valid")
}

impl Answer {
    /// The answer when it is a success, else [`Answer::fault`].
    ///
    /// # Errors
    /// What the status means.
    pub fn accept(self, what: &str) -> Result<Self> {
        if self.status.is_success() && self.is_html() {
            return Err(Fault::failed(what)
                .cause(format!("{} is no gateway: it answers with {}", self.address, self.words()))
                .hint(OTHER));
        }
        if self.status.is_success() { Ok(self) } else { Err(self.fault(what)) }
    }

    /// What a refusal means; `what` says what could not be done.
    #[must_use]
    pub fn fault(&self, what: &str) -> Fault {
        let address = &self.address;
        let fault = self.plain_fault(what);
        match fault.hint {
            None if self.is_html() => fault
                .hint(format!("is a gateway behind {address}, and does it run? a proxy before it may have said that")),
            _ => fault,
        }
    }

    fn plain_fault(&self, what: &str) -> Fault {
        let address = &self.address;
        if is_about_namespace(&self.text) && !self.status.is_success() {
            return Fault::not_found(format!("{what}: the gateway has no such namespace"))
                .hint("`faas namespace list` shows those that it has, `faas namespace create` makes one");
        }
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let why = if self.logged_in { "refused the login" } else { "wants a login" };
                Fault::unauthorized(format!("{what}: the gateway at {address} {why}"))
                    .cause(self.words())
                    .hint(format!("run `faas login -g {address}`"))
            }
            StatusCode::NOT_FOUND => Fault::not_found(what).cause(self.words()),
            StatusCode::TOO_MANY_REQUESTS => {
                let hint = match self.retry_after.map(|wait| Duration::from_secs(wait.as_secs())) {
                    Some(wait) if !wait.is_zero() => {
                        format!(
                            "the gateway is busy; it asks to be left alone for {}",
                            humantime::format_duration(wait)
                        )
                    }
                    _ => "the gateway is busy; try again later".to_owned(),
                };
                Fault::failed(what).cause(self.words()).hint(hint)
            }
            StatusCode::GATEWAY_TIMEOUT => Fault::timed_out(what).cause(self.words()),
            status if status.is_redirection() => {
                let fault = Fault::failed(what);
                match &self.location {
                    Some(to) => fault
                        .cause(format!("the gateway at {address} redirects to {to} ({status})"))
                        .hint("give the address behind the redirect as the gateway, with -g or OPENFAAS_URL"),
                    None => fault.cause(self.words()),
                }
            }
            _ if self.text.contains("HTTP request to an HTTPS server") => {
                Fault::failed(what).cause(self.words()).hint("the gateway speaks TLS: write its address with https://")
            }
            _ => Fault::failed(what).cause(self.words()),
        }
    }

    /// The platform's own words, shortened, and its status.
    #[must_use]
    pub fn words(&self) -> String {
        if self.is_html() {
            return format!("a web page: {} ({})", page::words(&self.text), self.status);
        }
        let text = page::squeeze(&self.text);
        if text.is_empty() {
            return format!("{} answered {} and nothing else", self.address, self.status);
        }
        format!("{} ({})", page::cut(&text, SHOWN), self.status)
    }

    /// The answer as a list: `null` is one without anything in it, and a `null` in it nothing.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let list: Option<Vec<Option<T>>> = self.json()?;
        Ok(list.unwrap_or_default().into_iter().flatten().collect())
    }

    /// The answer as JSON. The content type is not asked: OpenFaaS labels some of its JSON `text/plain`.
    ///
    /// # Errors
    /// When it is not JSON, or not the JSON that was asked for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let mut json = serde_json::Deserializer::from_str(&self.text);
        serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let kind = match self.content_type.split(';').next().unwrap_or_default().trim() {
                "" => "no content type",
                kind => kind,
            };
            let fault = self.misfit();
            if self.text.trim_start().starts_with(['[', '{', 'n', '"']) && !self.is_html() {
                fault.cause(format!("at `{}`: {}", page::cut(&e.path().to_string(), PATH), e.inner()))
            } else {
                fault.cause(format!("it is {kind}, not JSON: {}", self.words())).hint(OTHER)
            }
        })
    }

    fn misfit(&self) -> Fault {
        Fault::failed(format!("the answer of {} is not what a gateway answers", self.address))
    }

    /// It is JSON, and not that of a gateway: why.
    #[must_use]
    pub fn unfit(&self, why: &str) -> Fault {
        self.misfit().cause(format!("{why}: {}", self.words())).hint(OTHER)
    }

    fn is_html(&self) -> bool {
        page::is_page(&self.content_type, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, text: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            text: text.into(),
            content_type: content_type.into(),
            location: None,
            retry_after: None,
            address: "http://gw:8080".into(),
            logged_in: false,
        }
    }

    #[test]
    fn a_page_is_shortened_to_its_words() {
        let page = "<html><head><style>p{}</style></head><body>\n<h1>Bad   Gateway</h1>&amp; more</body></html>";
        assert_eq!(answer(500, "", page).words(), "a web page: Bad Gateway & more (500 Internal Server Error)");
    }

    #[test]
    fn long_refusals_are_cut_between_characters() {
        let words = answer(400, "text/plain", &"ä".repeat(1000)).words();
        assert_eq!(words, format!("{}… (400 Bad Request)", "ä".repeat(SHOWN)));
    }

    #[test]
    fn json_is_read_whatever_it_is_labelled() {
        assert_eq!(answer(200, "text/plain", "[\"a\"]").json::<Vec<String>>().unwrap(), ["a"]);
        let fault = answer(200, "text/html", "<html>Welcome</html>").json::<Vec<String>>().unwrap_err();
        assert!(fault.to_string().contains("text/html, not JSON: a web page: Welcome"), "{fault}");
        let fault = answer(200, "application/json", "[1]").json::<Vec<String>>().unwrap_err();
        assert!(fault.to_string().contains("at `[0]`"), "{fault}");
    }

    #[test]
    fn a_web_page_is_no_success() {
        let fault = answer(200, "text/html", "<html>Welcome</html>").accept("can't remove tax").unwrap_err();
        assert!(fault.to_string().contains("is no gateway: it answers with a web page: Welcome"), "{fault}");
        assert!(answer(202, "text/plain", "").accept("can't remove tax").is_ok());
    }

    #[test]
    fn the_wait_is_what_the_gateway_asks_for() {
        let mut headers = HeaderMap::new();
        assert_eq!(wait(&headers, 1), Duration::from_millis(500));
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        assert_eq!(wait(&headers, 1), Duration::from_secs(2));
    }
}
