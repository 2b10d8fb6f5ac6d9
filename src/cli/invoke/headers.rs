//! `-H` flags: `Key: Value`, and faas-cli's older `Key=Value`.
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Fault, Result};

/// The headers, repeated ones kept. What parts key and value is the first `:` or `=`: neither can stand in a name.
///
/// # Errors
/// A usage fault that names the one that is wrong.
pub fn parse(given: &[String]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for text in given {
        let wrong = |why: &str| {
            Fault::usage(format!("`{}` is no header", key_of(text)))
                .cause(why.to_owned())
                .hint("write it as -H 'Key: Value'")
        };
        let at = text.find([':', '=']).ok_or_else(|| wrong("it has neither `:` nor `=`"))?;
        let (key, value) = (text[..at].trim(), text[at + 1..].trim());
        if key.is_empty() {
            return Err(wrong("its key is empty"));
        }
        if value.is_empty() {
            return Err(wrong("its value is empty"));
        }
        let name: HeaderName = key.parse().map_err(|_| wrong("a key has letters, digits and - only"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("its value has characters that a header can't"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// A message shows the key only: the value may be a token.
fn key_of(text: &str) -> &str {
    text.split([':', '=']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<HeaderMap> {
        parse(&[text.to_owned()])
    }

    #[test]
    fn both_forms_are_read_and_a_url_as_value_is_whole() {
        for text in ["X-Callback-Url: http://h:1/x?a=b", "X-Callback-Url=http://h:1/x?a=b"] {
            assert_eq!(one(text).unwrap()["x-callback-url"], "http://h:1/x?a=b", "{text}");
        }
    }

    #[test]
    fn repeated_headers_are_kept() {
        let headers = parse(&["A: 1".into(), "a: 2".into()]).unwrap();
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_wrong_one_is_named_without_its_value() {
        for text in ["Authorization", ": x", "A:", "A B: x", "A: \u{7f}secret"] {
            let fault = one(text).unwrap_err();
            assert_eq!(fault.kind, crate::error::Kind::Usage);
            assert!(!fault.to_string().contains("secret"), "{fault}");
        }
    }
}
