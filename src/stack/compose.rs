//! From YAML text to a tree: anchors followed, merge keys (`<<`) merged, duplicate keys told, bombs refused.
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::inserted;
use super::node::{Entry, Node, Value};
use super::report::{Field, Report};
use super::source::{Source, Span};
use crate::problem::Problem;

/// Nodes that aliases may make, all together: 1,000 functions that merge a base of 100 keys stay below it, a bomb
/// doesn't.
const COPIES: usize = 250_000;

/// Values in a file, at most.
const MOST: usize = 1_000_000;

/// A scalar and where it stands: what [`inserted`] wants to know.
pub struct Scalar {
    /// Where it stands; quotes are part of it.
    pub span: Span,
    /// How it is written.
    pub style: ScalarStyle,
}

/// Reads the text into a tree; `None` when there is nothing, or nothing that could be read.
pub fn compose<'s>(source: &'s Source, report: &mut Report) -> Option<Node<'s>> {
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let parser = Parser::new_from_str_with_options(source.text(), options);
    let scalars = (!source.pieces().is_empty()).then(Vec::new);
    let mut composer =
        Composer { parser, source, report, anchors: HashMap::new(), copies: 0, count: 0, last: 0, scalars };
    let root = composer.document();
    let Composer { scalars, .. } = composer;
    match root {
        Ok(root) => {
            if let Some(scalars) = scalars {
                inserted::check(source, &scalars, report);
            }
            root
        }
        Err(Stop::Scan(error)) => {
            scan_error(source, &error, report);
            None
        }
        Err(Stop::TooMany(span)) => {
            report.error(&Field::ROOT, span, "a stack file has at most a million values").hint =
                Some("is it the file you meant?".into());
            None
        }
        Err(Stop::Bomb(span)) => {
            report.error(&Field::ROOT, span, "the aliases (`*name`) in this file expand to far too much").hint =
                Some("an anchor that holds aliases of anchors that hold aliases grows without end".into());
            None
        }
    }
}

enum Stop {
    Scan(ScanError),
    Bomb(Span),
    TooMany(Span),
}

struct Composer<'s, 'r, 'q> {
    parser: Parser<'s, granit_parser::StrInput<'s>>,
    source: &'s Source,
    report: &'r mut Report<'q>,
    anchors: HashMap<usize, Node<'s>>,
    copies: usize,
    count: usize,
    last: usize,
    scalars: Option<Vec<Scalar>>,
}

impl<'s> Composer<'s, '_, '_> {
    fn next(&mut self) -> Result<(Event<'s>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or_default();
                let span = Span { start: range.start, end: range.end };
                // Ends of block collections are empty and stand at the next token.
                if span.end > span.start {
                    self.last = span.end;
                }
                Ok((event, span))
            }
            Some(Err(error)) => Err(Stop::Scan(error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Node<'s>>, Stop> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(..), span) if root.is_some() => {
                    self.report.error(&Field::ROOT, span, "a second document starts here").hint =
                        Some("a stack file is one document: put the second one in a file of its own".into());
                    return Ok(root);
                }
                (event, span) if event.is_node() => root = Some(self.node(event, span)?),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span) -> Result<Node<'s>, Stop> {
        self.count += 1;
        if self.count > MOST {
            return Err(Stop::TooMany(span));
        }
        let anchor = event.anchor_id();
        if let Some(tag) = event.tag().filter(|t| t.is_custom()) {
            let message = format!("the tag `{}` means nothing in a stack file", tag.original());
            self.report.warning(&Field::ROOT, span, message);
        }
        let mut node = match event {
            Event::Scalar(text, style, _, tag) => self.scalar(text, style, tag.as_deref(), span),
            Event::SequenceStart(..) => self.list(span)?,
            Event::MappingStart(..) => self.map(span)?,
            Event::Alias(id) => return self.alias(id, span),
            Event::UnresolvedAlias(name) => {
                self.report.error(&Field::ROOT, span, format!("there is no anchor `&{name}` before this alias"));
                Node::null(span)
            }
            _ => Node::null(span),
        };
        if let Some(id) = anchor {
            node.anchored = true;
            self.spend(&node, span)?;
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn spend(&mut self, node: &Node, span: Span) -> Result<(), Stop> {
        self.copies += node.size();
        if self.copies > COPIES { Err(Stop::Bomb(span)) } else { Ok(()) }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node<'s>, Stop> {
        if let Some(known) = self.anchors.get(&id) {
            let mut node = known.clone();
            node.anchored = false;
            self.spend(&node, span)?;
            return Ok(node);
        }
        self.report.error(&Field::ROOT, span, "an alias can't stand inside of what it names");
        Ok(Node::null(span))
    }

    fn scalar(&mut self, text: Cow<'s, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node<'s> {
        if let Some(scalars) = &mut self.scalars {
            scalars.push(Scalar { span, style });
        }
        let plain = style == ScalarStyle::Plain && tag.is_none_or(|t| !t.is_yaml_core_schema_tag("str"));
        let value = match text.as_ref() {
            "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
            _ => Value::Scalar { text, plain },
        };
        Node { value, span, anchored: false }
    }

    fn list(&mut self, start: Span) -> Result<Node<'s>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    let span = self.whole(start, end);
                    return Ok(Node { value: Value::List(items), span, anchored: false });
                }
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self, start: Span) -> Result<Node<'s>, Stop> {
        let mut entries: Vec<Entry<'s>> = Vec::new();
        let mut known: HashSet<Cow<'s, str>> = HashSet::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let span = self.whole(start, span);
                self.merge(&mut entries, merges);
                return Ok(Node { value: Value::Map(entries), span, anchored: false });
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let key = self.node(event, span)?;
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span)?;
            if is_merge {
                merges.push(node);
                continue;
            }
            let text = match key.value {
                Value::Scalar { text, .. } => text,
                Value::Null => self.source.text().get(span.start..span.end).unwrap_or_default().into(),
                Value::List(_) | Value::Map(_) => {
                    self.report.error(&Field::ROOT, key.span, format!("a key must be text, this is {}", key.kind()));
                    continue;
                }
            };
            // A set pays only for mappings that are searched often.
            let twice = if entries.len() < 12 {
                entries.iter().any(|e| e.key == text)
            } else {
                if known.is_empty() {
                    known.extend(entries.iter().map(|e| e.key.clone()));
                }
                !known.insert(text.clone())
            };
            if twice {
                self.duplicate(&entries, &text, span);
                continue;
            }
            entries.push(Entry { key: text, span, node });
        }
    }

    /// From the start of a collection to its end; that of a block collection is the end of the last thing in it.
    fn whole(&self, start: Span, end: Span) -> Span {
        let end = if end.end > end.start { end.end } else { self.last };
        Span { start: start.start, end: end.max(start.start) }
    }

    fn duplicate(&mut self, entries: &[Entry], key: &str, span: Span) {
        if self.report.is_full() {
            return;
        }
        let first = entries.iter().find(|e| e.key == key).map(|e| self.source.place(e.span).line);
        let problem = self.report.error(&Field::ROOT, span, format!("the key `{key}` is there twice"));
        problem.field = key.into();
        problem.hint = first.map(|line| format!("the first one is on line {line}; take one of them out"));
    }

    /// Puts in what `<<:` names: a key that is there already wins, and an earlier source beats a later one.
    fn merge(&mut self, entries: &mut Vec<Entry<'s>>, merges: Vec<Node<'s>>) {
        let mut sources = Vec::new();
        for node in merges {
            match node.value {
                Value::List(items) => sources.extend(items),
                Value::Null => {}
                _ => sources.push(node),
            }
        }
        for node in sources {
            let Value::Map(more) = node.value else {
                let what = node.kind();
                self.report.error(&Field::ROOT, node.span, format!("`<<` merges mappings, this is {what}"));
                continue;
            };
            let known: HashSet<Cow<'s, str>> = entries.iter().map(|e| e.key.clone()).collect();
            entries.extend(more.into_iter().filter(|e| !known.contains(&e.key)));
        }
    }
}

fn scan_error(source: &Source, error: &ScanError, report: &mut Report) {
    use granit_parser::ErrorKind as Kind;
    let start = error.marker().byte_offset().unwrap_or(source.text().len());
    let span = Span { start, end: start + 1 };
    let info = error.info().replace("`@'", "`@`").replace("``'", "a backquote");
    let hint = match error.kind() {
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation => Some("indent with spaces"),
        Kind::UnclosedQuotedScalar => Some("the quote that opens here is never closed"),
        Kind::UnclosedFlowCollection { .. } | Kind::UnexpectedEofFlowSequence | Kind::UnexpectedEofFlowMapping => {
            Some("a bracket that opens is never closed")
        }
        Kind::MappingValueNotAllowed => Some("put a value that holds `: ` in quotes"),
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => Some("a line in a mapping is `key: value`"),
        Kind::UnexpectedCharacter { .. } => Some("put a value that starts with this character in quotes"),
        Kind::ExpectedBlockMappingKey | Kind::InvalidIndentation => {
            Some("keys of one mapping start in the same column: look at the spaces before this one")
        }
        Kind::InvalidColonPlacement | Kind::ExpectedFlowMappingSeparator | Kind::ExpectedFlowSequenceSeparator => {
            Some("a comma or a closing bracket is missing before this")
        }
        _ => None,
    };
    if let Some(piece) = inserted::suspect(source, start, broken_at) {
        let message = format!("the value of `{}` breaks the YAML around it: {info}", piece.variable);
        let written = Span { start: piece.from, end: piece.to };
        report.add_written(written, Problem::error("", message)).hint =
            Some("put it in an `environment_file` or a secret, or change the quotes around it".into());
        return;
    }
    report.error(&Field::ROOT, span, format!("this isn't YAML: {info}")).hint = hint.map(str::to_owned);
}

/// Where the text stops being YAML.
fn broken_at(text: &str) -> Option<usize> {
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let mut parser = Parser::new_from_str_with_options(text, options);
    while let Some(event) = parser.next_event() {
        if let Err(error) = event {
            return Some(error.marker().byte_offset().unwrap_or(text.len()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (serde_json::Value, Vec<String>) {
        let source = Source::new("s.yml", text);
        let mut report = Report::new(&source, false);
        let node = compose(&source, &mut report);
        let json = node.map_or(serde_json::Value::Null, |n| n.json());
        let told = report.finish();
        let line = |p: &crate::problem::Problem| {
            let place = p.place.as_ref().expect("place");
            format!("{}:{} {}", place.line, place.column, p.message)
        };
        (json, told.iter().map(line).collect())
    }

    #[test]
    fn merge_keys() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  z: 3\nd: {<<: *b}\n";
        let (json, told) = read(text);
        assert_eq!(told, [] as [&str; 0]);
        assert_eq!(json["c"], serde_json::json!({"z": 3, "x": 1, "y": 1}));
        assert_eq!(json["d"], serde_json::json!({"y": 2, "z": 2}));
    }

    #[test]
    fn several_things_wrong_at_once() {
        let (_, told) = read("a: 1\nb: *no\na: 2\n[x]: 1\nc: {<<: 5}\nd: &d [*d]\n");
        assert_eq!(
            told,
            [
                "2:4 there is no anchor `&no` before this alias",
                "3:1 the key `a` is there twice",
                "4:1 a key must be text, this is a list",
                "5:9 `<<` merges mappings, this is a number",
                "6:8 an alias can't stand inside of what it names",
            ]
        );
    }

    #[test]
    fn duplicates_in_a_big_mapping() {
        let mut text: String = (0..40).map(|i| format!("k{i}: {i}\n")).collect();
        text += "k3: x\nk39: x\n";
        let (_, told) = read(&text);
        assert_eq!(told, ["41:1 the key `k3` is there twice", "42:1 the key `k39` is there twice"]);
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            text += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
        }
        let (_, told) = read(&text);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("expand to far too much"), "{told:?}");
    }

    #[test]
    fn a_second_document_is_told() {
        assert_eq!(read("a: 1\n---\nb: 1\n").1, ["2:1 a second document starts here"]);
        assert_eq!(read("---\na: 1\n...\n").1, [] as [&str; 0]);
    }
}
