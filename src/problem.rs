//! One thing wrong in a stack file, with its place, so that all of them can be told at once.
use std::sync::Arc;

use serde::Serialize;

use crate::error::Code;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The command goes on.
    Warning,
    /// The command can't go on.
    Error,
}

/// A place in a file that the user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters the thing takes; at least 1.
    pub length: usize,
    /// The line itself, without its end; of a very long line the part around the column.
    pub text: Arc<str>,
    /// How many characters of the line are left out before `text`.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// One thing wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The dotted path of the field, as `functions.tax.timeout`; empty for the file as a whole.
    pub field: String,
    /// What is wrong; starts in lower case.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of which class it is, where that is another than a file that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Where, when the thing stands in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Problem {
    /// An error at a field.
    pub fn error(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self { severity: Severity::Error, field, message, hint: None, code: None, place: None }
    }

    /// A warning at a field.
    pub fn warning(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(field, message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where it stands.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Says of which class it is, unless that is said already.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code.get_or_insert(code);
        self
    }

    /// Whether the command can't go on.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The class of a stack file with these problems, whichever command meets it: that of its errors, or, where they are of
/// several, that of a file that is wrong.
#[must_use]
pub fn class(problems: &[Problem]) -> Code {
    let mut errors = problems.iter().filter(|problem| problem.is_error()).map(|problem| problem.code);
    let first = errors.next().flatten();
    first.filter(|code| errors.all(|other| other == Some(*code))).unwrap_or(Code::STACK_INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_the_class_of_its_errors_where_they_are_of_one() {
        let refused = |field: &str| Problem::error(field, "no").code(Code::PROVIDER_REFUSES);
        assert_eq!(class(&[refused("a"), Problem::warning("b", "odd"), refused("c")]), Code::PROVIDER_REFUSES);
        assert_eq!(class(&[refused("a"), Problem::error("b", "no")]), Code::STACK_INVALID);
        assert_eq!(class(&[Problem::error("b", "no"), refused("a")]), Code::STACK_INVALID);
    }
}
