//! Progress for people: a live line a function on a terminal, plain prefixed lines in pipes and CI.
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::{Output, diagnostic, eprint_line, plain};
use crate::progress::Progress;

/// The progress that fits the output: live, plain or silent.
#[must_use]
pub fn for_output(output: &Output) -> Box<dyn Progress> {
    if output.quiet {
        Box::new(Quiet { colour: output.colour })
    } else if output.interactive {
        Box::new(Live { bars: MultiProgress::new(), by_subject: Mutex::default(), colour: output.colour })
    } else {
        Box::new(Plain { colour: output.colour })
    }
}

struct Quiet {
    colour: bool,
}

impl Progress for Quiet {
    fn step(&self, _: &str, _: &str) {}
    fn line(&self, _: &str, _: &str) {}
    fn warn(&self, subject: &str, message: &str) {
        eprint_line(&format!(
            "{}: {subject}: {}",
            diagnostic::paint(self.colour, diagnostic::Tone::Warning, "warning"),
            plain(message)
        ));
    }
    fn done(&self, _: &str, _: &str) {}
    fn failed(&self, subject: &str, message: &str) {
        eprint_line(&format!(
            "{subject}: {}: {}",
            diagnostic::paint(self.colour, diagnostic::Tone::Error, "failed"),
            plain(message)
        ));
    }
}

struct Plain {
    colour: bool,
}

impl Progress for Plain {
    fn step(&self, subject: &str, step: &str) {
        eprint_line(&format!("{subject}: {step}"));
    }
    fn line(&self, subject: &str, line: &str) {
        eprint_line(&format!("{subject} | {}", plain(line)));
    }
    fn note(&self, subject: &str, message: &str) {
        eprint_line(&format!("{subject}: {message}"));
    }
    fn warn(&self, subject: &str, message: &str) {
        Quiet { colour: self.colour }.warn(subject, message);
    }
    fn done(&self, subject: &str, summary: &str) {
        eprint_line(&format!("{subject}: {summary}"));
    }
    fn failed(&self, subject: &str, message: &str) {
        Quiet { colour: self.colour }.failed(subject, message);
    }
}

struct Live {
    bars: MultiProgress,
    by_subject: Mutex<HashMap<String, ProgressBar>>,
    colour: bool,
}

impl Live {
    fn bar(&self, subject: &str) -> ProgressBar {
        let mut bars = self.by_subject.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bars.entry(subject.into())
            .or_insert_with(|| {
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(subject.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            })
            .clone()
    }

    fn end(&self, subject: &str, line: &str) {
        let bar = self.by_subject.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(subject);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        self.bars.suspend(|| eprint_line(line));
    }
}

impl Progress for Live {
    fn step(&self, subject: &str, step: &str) {
        self.bar(subject).set_message(step.to_owned());
    }
    fn line(&self, subject: &str, line: &str) {
        self.bar(subject).set_message(plain(line).into_owned());
    }
    fn note(&self, subject: &str, message: &str) {
        self.bars.suspend(|| eprint_line(&format!("{subject}: {message}")));
    }
    fn amount(&self, subject: &str, what: &str, done: u64, total: u64) {
        const WIDTH: u64 = 20;
        let filled = (done * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < filled { '━' } else { '╌' }).collect();
        let of = format!("{} of {}", HumanBytes(done), HumanBytes(total));
        self.bar(subject).set_message(format!("{bar} {of}  {what}"));
    }
    fn warn(&self, subject: &str, message: &str) {
        self.bars.suspend(|| Quiet { colour: self.colour }.warn(subject, message));
    }
    fn done(&self, subject: &str, summary: &str) {
        self.end(subject, &format!("{subject}: {summary}"));
    }
    fn failed(&self, subject: &str, message: &str) {
        let word = diagnostic::paint(self.colour, diagnostic::Tone::Error, "failed");
        self.end(subject, &format!("{subject}: {word}: {}", plain(message)));
    }
}
