//! How work tells the user what it does, without knowing about terminals.
use std::time::Duration;

/// A step of the work on a function; several may run at once.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Tells it from the others of the same function.
    pub key: u64,
    /// What it is called, as `#7 [2/5] RUN make`; once it ended, `#7` will do.
    pub title: &'a str,
    /// How far it is.
    pub state: State,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It was done before.
    Cached,
    /// It ended well, and took so long where that is known.
    Ended(Option<Duration>),
    /// It failed, or was given up when another did.
    Stopped,
}

impl Part<'_> {
    /// What is said of it where each state is a line of its own, as docker does; `None` for one that did not end well:
    /// the failure says more.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let title = self.title;
        match self.state {
            State::Running => Some(title.to_owned()),
            State::Cached => Some(format!("{title} CACHED")),
            State::Ended(Some(took)) => Some(format!("{title} DONE {:.1}s", took.as_secs_f64())),
            State::Ended(None) => Some(format!("{title} DONE")),
            State::Stopped => None,
        }
    }
}

/// Told what happens to each function; implemented by `output`. `subject` is the function's name.
pub trait Progress: Send + Sync {
    /// Work on a function starts or enters its next step: `building`, `pushing`, `deploying`…
    fn step(&self, subject: &str, step: &str);
    /// A step began or ended.
    fn part(&self, subject: &str, part: Part<'_>) {
        if let Some(line) = part.line() {
            self.step(subject, &line);
        }
    }
    /// A line that the work printed: a build log line, a platform's event.
    fn line(&self, subject: &str, line: &str);
    /// A line that the work printed and that is told again with its result: only for whoever watches.
    fn passing(&self, subject: &str, line: &str) {
        let _ = (subject, line);
    }
    /// Something that the user asked to be told: it stays on the screen.
    fn note(&self, subject: &str, message: &str) {
        self.line(subject, message);
    }
    /// So much of a transfer is done, in bytes; `what` says what is sent.
    fn amount(&self, subject: &str, what: &str, done: u64, total: u64) {
        let _ = (subject, what, done, total);
    }
    /// Something that the user should know although work goes on.
    fn warn(&self, subject: &str, message: &str);
    /// Work on a function ended well; `summary` says how, as `unchanged` or `built in 1.2s`.
    fn done(&self, subject: &str, summary: &str);
    /// Work on a function failed.
    fn failed(&self, subject: &str, message: &str);
}

/// The progress of one of several targets: each function is named `TARGET/NAME`.
pub struct Labelled<'a> {
    inner: &'a dyn Progress,
    label: &'a str,
}

impl<'a> Labelled<'a> {
    /// `inner`, with `label` before each name.
    #[must_use]
    pub fn new(inner: &'a dyn Progress, label: &'a str) -> Self {
        Self { inner, label }
    }

    fn named(&self, subject: &str) -> String {
        format!("{}/{subject}", self.label)
    }
}

impl Progress for Labelled<'_> {
    fn step(&self, subject: &str, step: &str) {
        self.inner.step(&self.named(subject), step);
    }
    fn part(&self, subject: &str, part: Part<'_>) {
        self.inner.part(&self.named(subject), part);
    }
    fn line(&self, subject: &str, line: &str) {
        self.inner.line(&self.named(subject), line);
    }
    fn note(&self, subject: &str, message: &str) {
        self.inner.note(&self.named(subject), message);
    }
    fn amount(&self, subject: &str, what: &str, done: u64, total: u64) {
        self.inner.amount(&self.named(subject), what, done, total);
    }
    fn warn(&self, subject: &str, message: &str) {
        self.inner.warn(&self.named(subject), message);
    }
    fn done(&self, subject: &str, summary: &str) {
        self.inner.done(&self.named(subject), summary);
    }
    fn failed(&self, subject: &str, message: &str) {
        self.inner.failed(&self.named(subject), message);
    }
}

/// Progress that says nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str, _: &str) {}
    fn line(&self, _: &str, _: &str) {}
    fn warn(&self, _: &str, _: &str) {}
    fn done(&self, _: &str, _: &str) {}
    fn failed(&self, _: &str, _: &str) {}
}
