//! Values of variables are put into the text, not into the tree. This finds those that changed what the text around
//! them means, so that a password with a ` #` in it fails instead of being cut short.
use granit_parser::ScalarStyle;

use super::compose::Scalar;
use super::report::{Field, Report};
use super::source::{Source, Span};
use super::substitute::Piece;

/// Adds an error for every value that isn't wholly inside of one scalar, unless it was meant as YAML: a flow list or
/// mapping, more items of a flow list, or lines of their own.
pub fn check(source: &Source, scalars: &[Scalar], report: &mut Report) {
    let mut line = Line::default();
    for piece in source.pieces().iter().filter(|p| !p.variable.is_empty()) {
        if piece.start >= line.end {
            line = Line::at(source.text(), scalars, piece.start);
        }
        if let Some(why) = harm(source.text(), scalars, piece, &line) {
            let at = Span { start: piece.from, end: piece.to };
            let message = format!("the value of `{}` {why}", piece.variable);
            let mut problem = crate::problem::Problem::error(Field::ROOT.to_string(), message);
            problem.hint = Some("put it in an `environment_file` or a secret, or change the quotes around it".into());
            report.only(at, problem);
        }
    }
}

/// A line, looked at once however many values are in it.
#[derive(Default)]
struct Line {
    /// Where its first character that is no space stands.
    begins: usize,
    /// After its line end, or the end of the text.
    end: usize,
    /// Where a comment opens in it.
    comment: Option<usize>,
}

impl Line {
    fn at(text: &str, scalars: &[Scalar], at: usize) -> Self {
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end = text[at..].find('\n').map_or(text.len() + 1, |i| at + i + 1);
        let line = &text[start..end.min(text.len())];
        let opens = |i: &usize| {
            let after_space = line[..*i].ends_with([' ', '\t']) || *i == 0;
            after_space && containing(scalars, Span { start: start + i, end: start + i + 1 }).is_none()
        };
        let begins = start + (line.len() - line.trim_start().len());
        Self { begins, end, comment: line.match_indices('#').map(|(i, _)| i).find(opens).map(|i| start + i) }
    }
}

fn harm(text: &str, scalars: &[Scalar], piece: &Piece, line: &Line) -> Option<&'static str> {
    let value = &text[piece.start..piece.end];
    let trimmed = value.trim_matches([' ', '\t', '\n', '\r']);
    if trimmed.is_empty() {
        return None;
    }
    let lines = value.contains('\n');
    let start = piece.start + value.find(trimmed).unwrap_or(0);
    let span = Span { start, end: start + trimmed.len() };
    let starts_line = piece.start <= line.begins;
    if let Some(scalar) = containing(scalars, span) {
        let quoted = matches!(scalar.style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let block = matches!(scalar.style, ScalarStyle::Literal | ScalarStyle::Folded);
        if block && scalar.span.start == span.start && !starts_line {
            return Some("starts a block of text here");
        }
        return ((quoted && lines) || (!block && trimmed.contains('\n')))
            .then_some("has several lines, which YAML would join to one");
    }
    if line.comment.is_some_and(|at| at < piece.start) {
        return lines.then_some("has several lines, and only the first would be in the comment");
    }
    let flow = [('{', '}'), ('[', ']')].iter().any(|(a, b)| trimmed.starts_with(*a) && trimmed.ends_with(*b));
    let ends_line = text[piece.end..].trim_start_matches([' ', '\t', '\r']).chars().next().is_none_or(|c| c == '\n');
    if flow || (starts_line && ends_line) {
        return None;
    }
    let mut at = span.start;
    let items = !lines
        && trimmed.contains(',')
        && trimmed.split(',').all(|item| {
            let inner = item.trim();
            let start = at + item.find(inner).unwrap_or(0);
            at += item.len() + 1;
            inner.is_empty() || containing(scalars, Span { start, end: start + inner.len() }).is_some()
        });
    if items {
        return None;
    }
    Some(if lines { "has several lines, which breaks the text around it" } else { "is cut or changed by YAML here" })
}

/// The scalar that all of `span` is in.
fn containing(scalars: &[Scalar], span: Span) -> Option<&Scalar> {
    let before = scalars.partition_point(|s| s.span.start <= span.start);
    scalars[..before].iter().rev().take(2).find(|s| s.span.end >= span.end && s.span.end > s.span.start)
}

/// Values tried at most for one that breaks the text.
const SUSPECTS: usize = 32;

/// For a text that isn't YAML at `at`: the value because of which it isn't. With a plain word in its place the text can
/// be read, or at least to the end of the line where it broke.
pub fn suspect(source: &Source, at: usize, broken_at: impl Fn(&str) -> Option<usize>) -> Option<&Piece> {
    let text = source.text();
    // Some errors stand at the quote that opens before the value.
    let line_end = text[at.min(text.len())..].find('\n').map_or(text.len(), |i| at + i);
    let plain = |value: &str| value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '/'));
    let suspects = source.pieces().iter().rev().filter(|p| p.start <= line_end && !p.variable.is_empty());
    suspects.filter(|p| !plain(&text[p.start..p.end])).take(SUSPECTS).find(|piece| {
        let word = format!("{}x{}", &text[..piece.start], &text[piece.end..]);
        let line_end = (line_end + 1).saturating_sub(piece.end - piece.start);
        broken_at(&word).is_none_or(|at| at > line_end)
    })
}

#[cfg(test)]
mod tests {
    use super::super::compose::compose;
    use super::super::substitute::substitute;
    use super::*;

    /// What is wrong with `text` when `V` is `value`.
    fn told(text: &str, value: &str) -> Vec<String> {
        let (new, pieces) = substitute(text, &|_| Some(value.into())).expect("substituted");
        let source = Source::new("s.yml", text).substituted(new.into_owned(), pieces);
        let mut report = Report::new(&source, false);
        compose(&source, &mut report);
        report.finish().into_iter().map(|p| p.message + p.hint.as_deref().unwrap_or_default()).collect()
    }

    #[test]
    fn values_that_change_the_meaning_are_errors() {
        for (text, value) in [
            ("k: ${V}\n", "abc #def"),
            ("k: ${V}\n", "a: b"),
            ("k: ${V}\n", "one\ntwo"),
            ("k: ${V}\n", "one\nb: two"),
            ("k: \"${V}\"\n", "one\ntwo"),
            ("k: '${V}'\n", "one\n\ntwo"),
            ("k: \"${V}\"\nl: \"x\"\n", "a\"b"),
            ("k: \"${V}\"\n", "a\\qb"),
            ("k: ${V}\n", "*x"),
            ("k: ${V}\n", "&x y"),
            ("k: ${V}\n", "!x y"),
            ("k: ${V}\n", "@x"),
            ("k: ${V}\n", "|"),
            ("k: [${V}]\n", "a #b"),
            ("k: |\n  ${V}\nl: 1\n", "one\n two"),
            ("k: 1 # ${V}\nl: 1\n", "x\nm: 2"),
            // Here the text breaks only lines later.
            ("k: ${V}\nl: 1\nm: {a: 1}\n", "{a"),
            ("k: \"${V}\"\nl: 1\nm: \"x\"\n", "\""),
        ] {
            let told = told(text, value);
            assert!(told.iter().any(|t| t.contains("the value of `V`")), "{text:?} {value:?}: {told:?}");
        }
    }

    #[test]
    fn values_that_keep_to_themselves_are_fine() {
        for (text, value) in [
            ("k: ${V}\n", "plain"),
            ("k: ${V}\n", ""),
            ("k: ${V}/x\n", "registry:5000"),
            ("k: ${V}\n", "  padded\n"),
            ("k: \"${V}\"\n", "a: b #c"),
            ("k: '${V}'\n", "a \"b\""),
            ("k: ${V}\n", "\"quoted: #\""),
            ("k: ${V}\n", "{a: 1, b: [2]}"),
            ("k: [x, ${V}]\n", "a, b,c"),
            ("k:\n  ${V}\n", "a: 1\n  b: 2"),
            ("k: 1 # ${V}\n", "it's a: #comment"),
            ("# ${V}\nk: 1\n", "'"),
            ("${V}: 1\n", "key"),
            ("k: |\n  a ${V} b\n", "x: #y"),
            ("k: a # b\nl: ${V}\n", "it's"),
        ] {
            assert_eq!(told(text, value), [] as [&str; 0], "{text:?} {value:?}");
        }
    }
}
