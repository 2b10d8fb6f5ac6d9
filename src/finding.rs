//! One thing that `faas doctor` looked at: how it is, why, and how to mend it. Backends tell theirs by `Backend::examine`.
use std::future::Future;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Fault, Result};

/// How long one look may take unless it is said.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Nothing here needs it, or it could not be looked at for want of something else.
    Skipped,
    /// It works, and will bite one day.
    Warning,
    /// It does not work.
    Broken,
}

/// A text that mends something once it is handed to whoever may: a Role, a policy, a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// What it is, as `Role for kubectl apply`.
    pub title: String,
    /// The text itself.
    pub text: String,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two: `engine`, `login`, `AWS identity`.
    pub about: String,
    /// How it is.
    pub state: State,
    /// What was found, and why it is so; one line, or several.
    pub found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What helps to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
    /// What `--fix` would do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What `--fix` did about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

impl Finding {
    /// A thing, and how it is.
    pub fn new(about: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        let (about, found) = (about.into(), found.into());
        Self { about, state, found, hint: None, document: None, fix: None, fixed: None }
    }

    /// A thing that is as it should be.
    pub fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(about, State::Ok, found)
    }

    /// A thing that nothing needs, or that could not be looked at.
    pub fn skipped(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(about, State::Skipped, found)
    }

    /// A thing that works, and will bite one day.
    pub fn warning(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(about, State::Warning, found)
    }

    /// A thing that does not work.
    pub fn broken(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(about, State::Broken, found)
    }

    /// A thing that could not be used: the fault's words, and its way out.
    pub fn of_fault(about: impl Into<String>, fault: &Fault) -> Self {
        let mut found = fault.to_string();
        for problem in &fault.problems {
            let place = problem.place.as_ref().map(|p| format!("{}:{}: ", p.file, p.line)).unwrap_or_default();
            found += &format!("\n{place}{}", problem.message);
        }
        Self { hint: fault.hint.clone(), ..Self::broken(about, found) }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what helps to mend it.
    #[must_use]
    pub fn document(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        self.document = Some(Document { title: title.into(), text: text.into() });
        self
    }
}

/// Looks at a thing for at most `limit`: a fault is a thing that is broken, and so is no answer.
pub async fn look(about: &str, limit: Duration, at: impl Future<Output = Result<Finding>>) -> Finding {
    match tokio::time::timeout(limit, at).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(fault)) => Finding::of_fault(about, &fault),
        Err(_) => Finding::broken(about, format!("no answer within {}", humantime::format_duration(limit)))
            .hint("look at the network, proxies and firewalls between here and there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_and_what_hangs_is_broken() {
        let failed = look("a", LIMIT, async { Err(Fault::failed("no").cause("why").hint("do")) }).await;
        assert_eq!(
            (failed.state, failed.found.as_str(), failed.hint.as_deref()),
            (State::Broken, "no: why", Some("do"))
        );
        let hung = look("a", Duration::from_millis(1), std::future::pending()).await;
        assert_eq!((hung.state, hung.found.as_str()), (State::Broken, "no answer within 1ms"));
    }
}
