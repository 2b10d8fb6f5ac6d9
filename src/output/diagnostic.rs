//! Faults and problems as text: the message, the line of the file with a mark under the thing, and the way out.
use std::fmt::Write;

use super::plain;
use crate::error::{Code, Fault};
use crate::problem::{Problem, Severity};

/// What a piece of text is, and so how it is coloured.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    /// The word before an error.
    Error,
    /// The word before a warning.
    Warning,
    /// The word before a hint.
    Hint,
    /// Line numbers and rulers.
    Quiet,
}

/// `text` in the tone's colour, or as it is.
#[must_use]
pub fn paint(colour: bool, tone: Tone, text: &str) -> String {
    use anstyle::{AnsiColor, Style};
    let style = match tone {
        Tone::Error => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        Tone::Warning => Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())),
        Tone::Hint => Style::new().bold().fg_color(Some(AnsiColor::Cyan.into())),
        Tone::Quiet => Style::new().fg_color(Some(AnsiColor::BrightBlack.into())),
    };
    if colour { format!("{style}{text}{style:#}") } else { text.into() }
}

/// The fault as it is shown: problems first, each with its place, then the message, the cause and the hint.
#[must_use]
pub fn fault(fault: &Fault, colour: bool) -> String {
    let mut text = String::new();
    for one in &fault.problems {
        text += &problem(one, colour);
    }
    let _ = writeln!(text, "{}: {}", paint(colour, Tone::Error, "error"), plain(&fault.to_string()));
    if let Some(hint) = &fault.hint {
        let _ = writeln!(text, "{}: {}", paint(colour, Tone::Hint, "hint"), plain(hint));
    }
    // Problems have said what to do, each for itself.
    let told = !fault.problems.is_empty() || fault.code == Code::STACK_INVALID;
    if fault.code.is_specific() && !told {
        let _ = writeln!(text, "{}: faas explain {}", paint(colour, Tone::Quiet, "more"), fault.code.short());
    }
    text
}

/// One problem: `error: message`, `--> file:line:column`, the line, a mark under the thing, and the hint.
#[must_use]
pub fn problem(problem: &Problem, colour: bool) -> String {
    let mut text = String::new();
    let word = match problem.severity {
        Severity::Error => paint(colour, Tone::Error, "error"),
        Severity::Warning => paint(colour, Tone::Warning, "warning"),
    };
    let _ = writeln!(text, "{word}: {}", plain(&problem.message));
    if let Some(place) = &problem.place {
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let bar = paint(colour, Tone::Quiet, "|");
        let _ = writeln!(
            text,
            "{gutter}{} {}:{}:{}",
            paint(colour, Tone::Quiet, "-->"),
            place.file,
            place.line,
            place.column
        );
        let _ = writeln!(text, "{} {bar} {}", paint(colour, Tone::Quiet, &number), place.text);
        let indent: String = place
            .text
            .chars()
            .take(place.column.saturating_sub(1 + place.skipped))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let mark = paint(colour, Tone::Error, &"^".repeat(place.length.clamp(1, 200)));
        let _ = writeln!(text, "{gutter} {bar} {indent}{mark}");
    }
    if let Some(hint) = &problem.hint {
        let _ = writeln!(text, "  {}: {}", paint(colour, Tone::Hint, "hint"), plain(hint));
    }
    text
}
