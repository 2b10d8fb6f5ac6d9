//! Everything wrong with a stack file, gathered while it is read.
use std::fmt;

use super::schema;
use super::source::{Source, Span};
use crate::problem::{Problem, Severity};

/// Problems told at most; a file of rubbish shouldn't give a screen of them.
const MOST: usize = 50;

/// The dotted path of a field, built while the tree is walked and written out only for a problem.
#[derive(Clone, Copy)]
pub struct Field<'p> {
    parent: Option<&'p Field<'p>>,
    name: &'p str,
}

impl<'p> Field<'p> {
    /// The file as a whole.
    pub const ROOT: Field<'static> = Field { parent: None, name: "" };

    /// The field under `name`.
    pub fn key(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), name }
    }

    /// Its last name.
    pub fn name(&self) -> &'p str {
        self.name
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            None => Ok(()),
            Some(parent) if parent.parent.is_none() => f.write_str(self.name),
            Some(parent) => write!(f, "{parent}.{}", self.name),
        }
    }
}

/// Everything wrong with a stack file.
pub struct Report<'s> {
    source: &'s Source,
    strict: bool,
    found: Vec<(usize, Problem)>,
    hidden: usize,
    failed: bool,
    /// Where the user wrote variables whose values broke the text around them.
    broken: Vec<Span>,
    spare: Problem,
}

impl<'s> Report<'s> {
    /// Nothing yet. With `strict`, unknown keys are errors.
    pub fn new(source: &'s Source, strict: bool) -> Self {
        let spare = Problem::error("", "");
        Self { source, strict, found: Vec::new(), hidden: 0, failed: false, broken: Vec::new(), spare }
    }

    /// The text that is read.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// Whether anything found is an error.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether no more problems will be shown.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// Adds a problem, and gives it back so that a hint can be put on it.
    pub fn add(&mut self, span: Span, problem: Problem) -> &mut Problem {
        let at = self.source.origin(span);
        self.add_written(at, problem)
    }

    /// Adds a problem at a span of what the user wrote.
    pub fn add_written(&mut self, at: Span, problem: Problem) -> &mut Problem {
        if self.broken.iter().any(|broken| (broken.start..=broken.end).contains(&at.start)) {
            self.spare = problem;
            return &mut self.spare;
        }
        self.failed |= problem.is_error();
        // A value that is reached by several merge keys or overlays is wrong once.
        let same = |(start, p): &(usize, Problem)| *start == at.start && p.message == problem.message;
        if let Some(known) = self.found.iter().position(same) {
            return &mut self.found[known].1;
        }
        if self.is_full() {
            self.hidden += 1;
            self.spare = problem;
            return &mut self.spare;
        }
        self.found.push((at.start, problem.at(Some(self.source.place_written(at)))));
        let last = self.found.len() - 1;
        &mut self.found[last].1
    }

    /// Adds the one problem that is told of what stands at `at`: others found there go, and none is added later. Their
    /// texts would tell what is in the variable.
    pub fn only(&mut self, at: Span, problem: Problem) {
        let here = at.start..=at.end;
        self.found.retain(|(start, _)| !here.contains(start));
        self.add_written(at, problem);
        self.broken.push(at);
    }

    /// Adds an error.
    pub fn error(&mut self, field: &Field, span: Span, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::error(field.to_string(), message);
        self.add(span, problem)
    }

    /// Adds a warning.
    pub fn warning(&mut self, field: &Field, span: Span, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::warning(field.to_string(), message);
        self.add(span, problem)
    }

    /// Adds a key that `level` doesn't have, with the nearest that it has.
    pub fn unknown(&mut self, field: &Field, span: Span, level: &schema::Level) {
        if self.is_full() {
            self.failed |= self.strict;
            self.hidden += 1;
            return;
        }
        let mut problem = Problem::warning(field.to_string(), format!("{} has no key `{}`", level.name, field.name()));
        problem.hint = schema::hint(level, field.name());
        if self.strict {
            problem.severity = Severity::Error;
        }
        self.add(span, problem);
    }

    /// Takes over problems found in another file.
    pub fn take(&mut self, other: Vec<Problem>, span: Span) {
        let start = self.source.origin(span).start;
        self.failed |= other.iter().any(Problem::is_error);
        self.found.extend(other.into_iter().map(|p| (start, p)));
    }

    /// Everything found, in the order of the file.
    pub fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(start, _)| *start);
        let mut all: Vec<Problem> = self.found.into_iter().map(|(_, p)| p).collect();
        if self.hidden > 0 {
            let mut rest = Problem::warning("", format!("{} more problems are not shown", self.hidden));
            if self.failed {
                rest.severity = Severity::Error;
            }
            all.push(rest);
        }
        all
    }
}
