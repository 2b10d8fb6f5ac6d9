//! What can go wrong before a request is answered: bad settings, a program that isn't there, a child that never listens.

use std::time::Duration;

/// Why an invoker can't be started or doesn't get ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No command was given.
    #[error("no command to run: set fprocess (or function_process)")]
    NoCommand,
    /// The program is not a file that can be executed.
    #[error("{program}: no such program (looked in {searched})")]
    NoProgram {
        /// The program as it was given.
        program: String,
        /// The folders that were looked through, or the path that was tried.
        searched: String,
    },
    /// There is no folder to serve files of.
    #[error("static_path: {path} is not a folder that can be read: {problem}")]
    NoFolder {
        /// The folder.
        path: String,
        /// The system's words.
        problem: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{name}: {problem}")]
    Setting {
        /// The setting's name.
        name: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// The process could not be started.
    #[error("can't start {program}: {cause}")]
    Spawn {
        /// The program.
        program: String,
        /// The system's words.
        #[source]
        cause: std::io::Error,
    },
    /// [`Invoker::start`](crate::Invoker::start) was called outside a tokio runtime.
    #[error("an invoker needs a tokio runtime to live in")]
    NoRuntime,
    /// The child ended before it listened.
    #[error("the function's process ended before it listened: {reason}{}", tail(.last_lines))]
    Ended {
        /// How it ended, e.g. `exit status 1`.
        reason: String,
        /// The last lines it wrote to stderr (or stdout when stderr is empty).
        last_lines: Vec<String>,
    },
    /// The child runs but isn't ready within the time allowed.
    #[error("the function's process was not ready within {within:?}: {missing}{}", tail(.last_lines))]
    NotReady {
        /// The time allowed.
        within: Duration,
        /// What is missing.
        missing: String,
        /// The last lines it wrote to stderr (or stdout when stderr is empty).
        last_lines: Vec<String>,
    },
    /// The invoker is being stopped.
    #[error("the invoker is stopping")]
    Stopping,
}

fn tail(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}
