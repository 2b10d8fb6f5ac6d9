//! Web pages where an answer was expected: told from plain text, and shortened to what they say.
use std::sync::LazyLock;

use regex::Regex;

/// How much of a page is shown.
const SHOWN: usize = 120;

/// Whether it is a web page, by its content type or by how it starts.
#[must_use]
pub fn is_page(content_type: &str, text: &str) -> bool {
    let start: String = text.trim_start().chars().take(9).collect::<String>().to_ascii_lowercase();
    content_type.contains("html") || start.starts_with("<!doctype") || start.starts_with("<html")
}

/// What a page says, in few words: its title, else how its text starts.
#[must_use]
pub fn words(html: &str) -> String {
    static TITLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?is)<title[^>]*>(.*?)</title>").ok());
    let title = TITLE.as_ref().and_then(|title| title.captures(html)).map(|found| without_tags(&found[1]));
    let text = title.filter(|title| !title.is_empty()).unwrap_or_else(|| without_tags(html));
    if text.is_empty() { "one without words".into() } else { cut(&text, SHOWN) }
}

/// The text, cut after so many characters, which is shown by dots.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// The text on one line.
#[must_use]
pub fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_tags(html: &str) -> String {
    static TAGS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?is)<script.*?</script>|<style.*?</style>|<!--.*?-->|<[^>]*>").ok());
    let text = TAGS.as_ref().map_or_else(|| html.into(), |tags| tags.replace_all(html, " "));
    squeeze(&text.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_shortened_to_its_title_or_its_first_words() {
        let page = "<html><head><style>p{}</style></head><body>\n<h1>Bad   Gateway</h1>&amp; more</body></html>";
        assert_eq!(words(page), "Bad Gateway & more");
        assert_eq!(words("<TITLE>\n502  Oops</TITLE><p>long"), "502 Oops");
        assert_eq!(words("<html><body></body></html>"), "one without words");
        assert_eq!(words(&"<p>ä</p>".repeat(5000)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn pages_are_known_without_a_content_type() {
        for text in ["\n<HTML><BODY>", "<!DOCTYPE html>", " <html>"] {
            assert!(is_page("text/plain", text), "{text}");
        }
        assert!(is_page("text/html; charset=utf-8", "x"));
        assert!(!is_page("", "<Error><Code>"));
    }
}
