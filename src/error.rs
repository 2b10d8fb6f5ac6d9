//! The one error that a user sees: what failed, why, what to do, and the exit code that goes with it.
use std::fmt;

use serde::Serialize;

use crate::problem::Problem;

pub mod code;

pub use code::Code;

/// The result of anything that can fail in front of a user.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// What sort of failure it was. Callers decide by this, and so does the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It did not work: the platform, the engine or the disk said no.
    Failed,
    /// The command line or the stack file is wrong.
    Usage,
    /// A comparison found differences (`plan --exit-code`).
    Differs,
    /// The function, secret, namespace or file is not there.
    NotFound,
    /// The platform wants other credentials.
    Unauthorized,
    /// This backend has no such thing.
    Unsupported,
    /// It took longer than it may.
    TimedOut,
    /// The user ended it (Ctrl-C).
    Interrupted,
    /// The terminal it ran in has gone (SIGHUP).
    HungUp,
    /// Another program ended it (SIGTERM).
    Terminated,
}

impl Kind {
    /// The process's exit code for this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Differs => 3,
            Self::NotFound => 4,
            Self::Unauthorized => 5,
            Self::Unsupported => 6,
            Self::TimedOut => 124,
            // As shells say of who was ended by a signal: 128 and its number.
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// A failure told to the user: `error: {message}`, then the cause, the problems found, and the way out.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// What sort of failure it was.
    pub kind: Kind,
    /// Its class, which has a page: `faas explain E0101`.
    pub code: Code,
    /// What failed, on which thing; starts in lower case.
    pub message: String,
    /// Why, in the platform's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Everything wrong with the stack file, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl Fault {
    /// A failure of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, code: Code::of(kind), message: message.into(), cause: None, hint: None, problems: Vec::new() }
    }

    /// It did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The command line or the stack file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The platform wants other credentials.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, message)
    }

    /// This backend has no such thing: what, why, and (by [`Fault::hint`]) what to do instead.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// It took longer than it may.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Kind::TimedOut, message)
    }

    /// The user ended it.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// The terminal has gone.
    #[must_use]
    pub fn hung_up() -> Self {
        Self::new(Kind::HungUp, "the terminal has gone")
    }

    /// Another program ended it.
    #[must_use]
    pub fn terminated() -> Self {
        Self::new(Kind::Terminated, "terminated")
    }

    /// Adds why it failed, in the platform's own words.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(format!("{cause:#}"));
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says of which class it is, where more is known than its kind.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Its words without the name of what it is about, for lines that start with that.
    #[must_use]
    pub fn without(&self, name: &str) -> String {
        let text = self.to_string();
        text.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned()
    }

    /// Adds the problems found in the stack file.
    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => fault,
            Err(error) => Self::failed(format!("{error:#}")),
        }
    }
}

/// Turns any other error into a [`Fault`] that says what was being done.
pub trait OrFault<T> {
    /// `message` says what failed on which thing; the error itself becomes the cause.
    ///
    /// # Errors
    /// The error, as a [`Kind::Failed`] fault.
    fn or_fault(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> OrFault<T> for Result<T, E> {
    fn or_fault(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Fault::failed(message()).cause(e))
    }
}
