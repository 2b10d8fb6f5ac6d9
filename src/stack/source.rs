//! The text of a stack file: what the user wrote, what it reads after substitution, and the way back between the two.
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::substitute::Piece;
use crate::problem::Place;

/// Characters shown of a very long line.
const WINDOW: usize = 160;

/// Bytes from `start` to `end` in the text after substitution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// The text of a stack file.
pub struct Source {
    name: String,
    written: String,
    substituted: Option<String>,
    pieces: Vec<Piece>,
    lines: OnceLock<Vec<usize>>,
}

/// Only the name: the text may hold values of variables, and those may be secret.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

impl Source {
    /// A text that nothing was substituted in. `name` is the file's name as the user gave it.
    pub fn new(name: impl Into<String>, written: impl Into<String>) -> Self {
        let (name, written) = (name.into(), written.into());
        Self { name, written, substituted: None, pieces: Vec::new(), lines: OnceLock::new() }
    }

    /// Sets what the text reads after substitution, and what was put in where.
    pub fn substituted(mut self, text: String, pieces: Vec<Piece>) -> Self {
        self.substituted = Some(text);
        self.pieces = pieces;
        self
    }

    /// The text after substitution.
    pub fn text(&self) -> &str {
        self.substituted.as_deref().unwrap_or(&self.written)
    }

    /// What was put in, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Where the span stands in what the user wrote. A span that touches a substituted value takes in all of its
    /// `${…}`.
    pub fn origin(&self, span: Span) -> Span {
        let before = self.pieces.partition_point(|p| p.start <= span.start);
        let start = match before.checked_sub(1).map(|i| &self.pieces[i]) {
            Some(p) if span.start < p.end || span.start == p.start => p.from,
            Some(p) => p.to + (span.start - p.end),
            None => span.start,
        };
        let before = self.pieces.partition_point(|p| p.start < span.end);
        let end = match before.checked_sub(1).map(|i| &self.pieces[i]) {
            Some(p) if span.end <= p.end => p.to,
            Some(p) => p.to + (span.end - p.end),
            None => span.end,
        };
        Span { start, end: end.max(start) }
    }

    /// The span as the user wrote it, for messages: one line, printable, without quotes, not too long. Values of
    /// variables are never in it.
    pub fn shown(&self, span: Span) -> String {
        let Span { start, end } = self.origin(span);
        let text = self.written.get(start..end).unwrap_or_default().trim_end();
        let bare = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
        shown(bare.unwrap_or(text))
    }

    /// The variable whose empty value is all that follows a key which ends at `at`.
    pub fn empty_after(&self, at: usize) -> Option<&str> {
        let piece = self.pieces.get(self.pieces.partition_point(|p| p.start < at))?;
        let between = self.text().get(at..piece.start)?;
        let alone = piece.start == piece.end && between.chars().all(|c| matches!(c, ':' | ' ' | '"' | '\''));
        alone.then_some(piece.variable.as_str())
    }

    /// The place of a span of the text after substitution.
    pub fn place(&self, span: Span) -> Place {
        self.place_written(self.origin(span))
    }

    /// The place of a span of what the user wrote.
    pub fn place_written(&self, span: Span) -> Place {
        let lines = self.lines.get_or_init(|| {
            std::iter::once(0)
                .chain(self.written.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
                .collect()
        });
        let start = floor(&self.written, span.start);
        let line = lines.partition_point(|l| *l <= start);
        let line_start = lines[line - 1];
        let line_end = lines.get(line).map_or(self.written.len(), |next| next - 1);
        let text = self.written[line_start..line_end].trim_end_matches('\r');
        let line_end = line_start + text.len();
        let start = start.min(line_end);
        let end = floor(&self.written, span.end).clamp(start, line_end);
        let column = self.written[line_start..start].chars().count() + 1;
        // Of a very long line the part around the column is enough to see.
        let skipped = if text.len() > 4 * WINDOW { column.saturating_sub(WINDOW / 2) } else { 0 };
        let shown = if text.len() > 4 * WINDOW { WINDOW } else { usize::MAX };
        let part: String = text.chars().skip(skipped).take(shown).collect();
        let length = self.written[start..end].chars().count();
        Place { file: self.name.clone(), line, column, length: length.max(1), text: printable(&part), skipped }
    }
}

/// The nearest start of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The text with nothing in it that would move a terminal's cursor; as many characters as before.
fn printable(text: &str) -> Arc<str> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

/// A piece of somebody's text for a message: one line, printable, not too long.
pub fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_skip_line_ends() {
        let source = Source::new("s.yml", "a: 1\r\nbé: \u{1}x\r\n");
        let at = source.text().find('x').expect("x");
        let place = source.place(Span { start: at, end: at + 3 });
        assert_eq!((place.line, place.column, place.length, &*place.text), (2, 6, 1, "bé: \u{fffd}x"));
        let end = source.place(Span { start: 999, end: 1000 });
        assert_eq!((end.line, end.column, &*end.text), (3, 1, ""));
    }

    #[test]
    fn of_a_very_long_line_the_part_around_the_column_is_shown() {
        let source = Source::new("s.yml", format!("{}here{}", "a".repeat(5000), "b".repeat(5000)));
        let place = source.place(Span { start: 5000, end: 5004 });
        assert_eq!((place.column, place.length, place.text.chars().count()), (5001, 4, WINDOW));
        assert!(place.text[place.column - 1 - place.skipped..].starts_with("here"));
    }

    #[test]
    fn a_span_that_touches_a_value_takes_in_its_expression() {
        let pieces = vec![Piece { start: 3, end: 8, from: 3, to: 7, variable: "V".into() }];
        let source = Source::new("s.yml", "a: ${V}/x\nb: 1").substituted("a: value/x\nb: 1".into(), pieces);
        assert_eq!(source.origin(Span { start: 3, end: 10 }), Span { start: 3, end: 9 });
        assert_eq!(source.origin(Span { start: 4, end: 6 }), Span { start: 3, end: 7 });
        assert_eq!(source.origin(Span { start: 11, end: 12 }), Span { start: 10, end: 11 });
        assert_eq!(source.shown(Span { start: 3, end: 10 }), "${V}/x");
    }
}
