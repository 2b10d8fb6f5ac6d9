//! The values of build secrets, taken out of what builders print.
use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a value.
const SHOWN: &str = "***";
/// Shorter ones would take half of a log away.
const SHORTEST: usize = 6;

/// Values that nobody is to read.
#[derive(Default)]
pub struct Mask(Vec<SecretString>);

impl Mask {
    /// Of these values; of those that have several lines, each line by itself.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Self {
        let mut lines: Vec<SecretString> = Vec::new();
        for value in values {
            let text = String::from_utf8_lossy(value);
            lines.extend(text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST).map(SecretString::from));
        }
        // A value may be part of another.
        lines.sort_by_key(|line| std::cmp::Reverse(line.expose_secret().len()));
        Self(lines)
    }

    /// The text without them.
    pub fn cover<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.iter().map(ExposeSecret::expose_secret).fold(Cow::Borrowed(text), |text, value| {
            match text.contains(value) {
                true => Cow::Owned(text.replace(value, SHOWN)),
                false => text,
            }
        })
    }

    /// How long the longest is.
    pub fn longest(&self) -> usize {
        self.0.first().map_or(0, |value| value.expose_secret().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_lines_are_covered_longest_first() {
        let mask =
            Mask::of([b"hunter2\n".as_slice(), b"hunter2-and-more", b"one line\r\nanother line\nx\n", b"short", b""]);
        assert_eq!(mask.cover("a hunter2-and-more, hunter2."), "a ***, ***.");
        assert_eq!(mask.cover("one line, short, x"), "***, short, x");
        assert!(matches!(mask.cover("another"), Cow::Borrowed(_)));
        assert_eq!(mask.longest(), 16);
    }
}
