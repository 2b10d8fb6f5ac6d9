//! The way to the user: results to stdout, everything else to stderr; tables or JSON; colour only where it is wanted.
use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::context::Env;
use crate::error::{Code, Fault, Result};
use crate::problem::Problem;

pub mod deployments;
pub mod detail;
pub mod diagnostic;
pub mod functions;
pub mod progress;
pub mod table;
pub mod yaml;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// How notes, warnings and progress are written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `message`, and `function` where it is about one.
    Json,
}

/// Whose words results are said in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Ours.
    #[default]
    Faas,
    /// Those of faas-cli, for its users' scripts: the binary was called by that name.
    FaasCli,
}

/// The way to the user.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// How results are printed.
    pub format: Format,
    /// Whether stderr takes colour.
    pub colour: bool,
    /// Whether stderr is a terminal that may be redrawn.
    pub interactive: bool,
    /// Say nothing but results and errors.
    pub quiet: bool,
    /// How stderr is written.
    pub log: LogFormat,
    /// Ask nothing, even on a terminal.
    pub asks_nothing: bool,
    /// Whose words results are said in.
    pub dialect: Dialect,
}

impl Output {
    /// As the terminal and the environment (`NO_COLOR`, `CLICOLOR_FORCE`, `CI`, `TERM=dumb`) want it.
    #[must_use]
    pub fn detect(format: Format, quiet: bool, env: &Env) -> Self {
        let terminal = std::io::stderr().is_terminal() && env.get("TERM") != Some("dumb");
        let forced = env.get("CLICOLOR_FORCE").is_some_and(|v| v != "0");
        let colour = env.get("NO_COLOR").is_none() && (forced || terminal);
        Self { format, colour, interactive: terminal && !env.is_ci(), quiet, ..Self::default() }
    }

    /// The same way without colour and without lines that are drawn again, for screen readers and logs.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { colour: false, interactive: false, ..self }
    }

    /// The same way with stderr in another format; JSON is for programs, who want no colour.
    #[must_use]
    pub fn logged(self, log: LogFormat) -> Self {
        match log {
            LogFormat::Text => self,
            LogFormat::Json => Self { log, ..self.plain() },
        }
    }

    /// Whether a question may be asked: somebody sits before a terminal, and did not say `--yes`.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        self.interactive && !self.asks_nothing && std::io::stdin().is_terminal()
    }

    /// The same way, with results as JSON when a command's own `--json` asks for it.
    #[must_use]
    pub fn json_if(&self, json: bool) -> Self {
        Self { format: if json { Format::Json } else { self.format }, ..self.clone() }
    }

    /// Whether results are printed for people.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a result: `value` as JSON, or what `table` makes of it, without what others have put in to steer the
    /// terminal.
    ///
    /// # Errors
    /// When stdout can't be written to; a closed pipe is no error.
    pub fn result<T: Serialize + ?Sized>(&self, value: &T, table: impl FnOnce() -> String) -> Result<()> {
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(value)
                    .map_err(|e| Fault::failed("can't write the result as JSON").cause(e))?;
                self.raw(text.as_bytes())?;
                self.raw(b"\n")
            }
            Format::Table => self.raw(plain(&table()).as_bytes()),
        }
    }

    /// Prints a result in the words that were asked for: ours, as [`Output::result`] does, or faas-cli's.
    ///
    /// # Errors
    /// When stdout can't be written to; a closed pipe is no error.
    pub fn answer<T: Serialize + ?Sized>(
        &self,
        value: &T,
        table: impl FnOnce() -> String,
        theirs: impl FnOnce(Format) -> String,
    ) -> Result<()> {
        match self.dialect {
            Dialect::Faas => self.result(value, table),
            Dialect::FaasCli => self.raw(plain(&theirs(self.format)).as_bytes()),
        }
    }

    /// Writes bytes to stdout as they are.
    ///
    /// # Errors
    /// When stdout can't be written to; a closed pipe is no error.
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Fault::failed("can't write to stdout").cause(e))
            }
            _ => Ok(()),
        }
    }

    /// A line for the user on stderr; nothing with `--quiet`.
    pub fn note(&self, line: impl std::fmt::Display) {
        match self.log {
            _ if self.quiet => {}
            LogFormat::Text => eprint_line(&self.by_its_name(&line.to_string())),
            LogFormat::Json => log_json("info", None, &self.by_its_name(&line.to_string())),
        }
    }

    /// A line on the way to a result: a note of ours; faas-cli has it on stdout, in the words that `theirs` makes of it.
    pub fn tell(&self, line: &str, theirs: impl FnOnce(&str) -> String) {
        match self.dialect {
            Dialect::Faas => self.note(line),
            // That stdout is closed shows when the result is written.
            Dialect::FaasCli => drop(self.raw((theirs(line) + "\n").as_bytes())),
        }
    }

    /// A warning on stderr.
    pub fn warn(&self, line: impl std::fmt::Display) {
        let line = line.to_string();
        let line = self.by_its_name(&line);
        if self.log == LogFormat::Json {
            return log_json("warning", None, &line);
        }
        eprint_line(&format!("{}: {line}", diagnostic::paint(self.colour, diagnostic::Tone::Warning, "warning")));
    }

    /// A problem on stderr, with its place.
    pub fn problem(&self, problem: &Problem) {
        if self.log == LogFormat::Json {
            let place = problem.place.as_ref().map(|p| format!("{}:{}:{}: ", p.file, p.line, p.column));
            let level = if problem.is_error() { "error" } else { "warning" };
            let more = [("code", problem.code.map(|code| code.to_string())), ("hint", problem.hint.clone())];
            return log_json_with(level, None, &format!("{}{}", place.unwrap_or_default(), problem.message), more);
        }
        eprint_line(self.by_its_name(&diagnostic::problem(problem, self.colour)).trim_end());
    }

    /// The error that ends the command: as text on stderr, or as JSON on stderr with `--output json`.
    pub fn fault(&self, fault: &Fault) {
        let named = |text: &Option<String>| text.as_deref().map(|text| self.by_its_name(text).into_owned());
        let fault = &Fault {
            message: self.by_its_name(&fault.message).into_owned(),
            cause: named(&fault.cause),
            hint: named(&fault.hint),
            ..fault.clone()
        };
        if self.log == LogFormat::Json {
            let problems = fault.problems.iter();
            problems.for_each(|problem| self.problem(problem));
            let more = [("code", Some(fault.code.to_string())), ("hint", fault.hint.clone())];
            return log_json_with("error", None, &fault.to_string(), more);
        }
        match self.format {
            Format::Json => eprint_line(&serde_json::json!({ "error": fault }).to_string()),
            // Who called faas-cli knows no `faas`.
            Format::Table if self.dialect == Dialect::FaasCli => {
                let fault = Fault::clone(fault).code(Code::of(fault.kind));
                eprint_line(diagnostic::fault(&fault, self.colour).trim_end());
            }
            Format::Table => eprint_line(diagnostic::fault(fault, self.colour).trim_end()),
        }
    }

    /// A text that names this program names it as it was called: who has a link named `faas-cli` may have no `faas`.
    #[must_use]
    pub fn by_its_name<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.dialect {
            Dialect::FaasCli if text.contains("faas ") => {
                text.replace("`faas ", "`faas-cli ").replace("| faas ", "| faas-cli ").into()
            }
            _ => text.into(),
        }
    }
}

/// A line of somebody else's without what would steer the terminal.
#[must_use]
pub fn printable(line: &str) -> String {
    console::strip_ansi_codes(line).chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

/// Text of others without what steers a terminal: escape sequences are taken out, other control characters replaced;
/// line ends and tabs stay.
#[must_use]
pub fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(steers) {
        return text.into();
    }
    let text = text.replace("\r\n", "\n");
    console::strip_ansi_codes(&text).chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Writes a line of the log as JSON to stderr; `function` is the one that it is about.
pub fn log_json(level: &str, function: Option<&str>, message: &str) {
    log_json_with(level, function, message, []);
}

/// The same with more fields, those of them that there are.
fn log_json_with<const N: usize>(
    level: &str,
    function: Option<&str>,
    message: &str,
    more: [(&str, Option<String>); N],
) {
    let mut line = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(),
        "level": level,
        "message": console::strip_ansi_codes(message),
    });
    if let Some(function) = function {
        line["function"] = function.into();
    }
    for (field, value) in more.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        line[field] = console::strip_ansi_codes(&value).into();
    }
    eprint_line(&line.to_string());
}

/// Writes a line to stderr; that stderr is closed is nobody's concern.
pub fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
