//! Progress for people: a live line a function on a terminal, plain prefixed lines in pipes and CI.
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::{LogFormat, Output, diagnostic, eprint_line, log_json, plain};
use crate::progress::{Part, Progress, State};

/// The progress that fits the output: live, plain or silent.
#[must_use]
pub fn for_output(output: &Output) -> Box<dyn Progress> {
    if output.log == LogFormat::Json {
        Box::new(Json { quiet: output.quiet })
    } else if output.quiet {
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

/// A JSON object a line.
struct Json {
    quiet: bool,
}

impl Json {
    fn say(&self, subject: &str, message: &str) {
        if !self.quiet {
            log_json("info", Some(subject), message);
        }
    }
}

impl Progress for Json {
    fn step(&self, subject: &str, step: &str) {
        self.say(subject, step);
    }
    fn line(&self, subject: &str, line: &str) {
        self.say(subject, line);
    }
    fn warn(&self, subject: &str, message: &str) {
        log_json("warning", Some(subject), message);
    }
    fn done(&self, subject: &str, summary: &str) {
        self.say(subject, summary);
    }
    fn failed(&self, subject: &str, message: &str) {
        log_json("error", Some(subject), message);
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
    by_subject: Mutex<HashMap<String, Node>>,
    colour: bool,
}

/// A function on the screen: its own line, and one below it for each step that runs.
struct Node {
    bar: ProgressBar,
    what: String,
    running: BTreeMap<u64, ProgressBar>,
    ended: usize,
    cached: usize,
}

impl Node {
    /// `building tax:latest, 3 steps done, 2 cached`.
    fn show(&self) {
        let mut text = self.what.clone();
        if self.ended > 0 {
            text += &format!(", {} step{} done", self.ended, if self.ended == 1 { "" } else { "s" });
        }
        if self.cached > 0 {
            text += &format!(", {} cached", self.cached);
        }
        self.bar.set_message(text);
    }

    fn part(&mut self, part: Part<'_>, bars: &MultiProgress) {
        match part.state {
            State::Running => {
                let last = self.running.values().next_back().unwrap_or(&self.bar);
                let bar = bars.insert_after(last, ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("    {elapsed:>4} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_message(part.title.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.insert(part.key, bar);
            }
            State::Cached | State::Ended(_) | State::Stopped => {
                if let Some(bar) = self.running.remove(&part.key) {
                    bar.finish_and_clear();
                }
                *(if part.state == State::Cached { &mut self.cached } else { &mut self.ended }) += 1;
            }
        }
        self.show();
    }
}

impl Live {
    fn with(&self, subject: &str, work: impl FnOnce(&mut Node)) {
        let mut nodes = self.by_subject.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let node = nodes.entry(subject.into()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed}: {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(subject.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            Node { bar, what: String::new(), running: BTreeMap::new(), ended: 0, cached: 0 }
        });
        work(node);
    }

    fn end(&self, subject: &str, line: &str) {
        let node = self.by_subject.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(subject);
        if let Some(node) = node {
            node.running.values().for_each(ProgressBar::finish_and_clear);
            node.bar.finish_and_clear();
        }
        self.bars.suspend(|| eprint_line(line));
    }
}

impl Progress for Live {
    fn step(&self, subject: &str, step: &str) {
        self.with(subject, |node| {
            node.what = step.to_owned();
            node.show();
        });
    }
    fn part(&self, subject: &str, part: Part<'_>) {
        self.with(subject, |node| node.part(part, &self.bars));
    }
    fn line(&self, subject: &str, line: &str) {
        let line = plain(line).into_owned();
        self.with(subject, |node| match node.running.values().next_back() {
            Some(step) => step.set_message(line),
            None => node.bar.set_message(line),
        });
    }
    fn passing(&self, subject: &str, line: &str) {
        self.line(subject, line);
    }
    fn note(&self, subject: &str, message: &str) {
        self.bars.suspend(|| eprint_line(&format!("{subject}: {message}")));
    }
    fn amount(&self, subject: &str, what: &str, done: u64, total: u64) {
        const WIDTH: u64 = 20;
        let filled = (done * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < filled { '━' } else { '╌' }).collect();
        let of = format!("{} of {}", HumanBytes(done), HumanBytes(total));
        self.with(subject, |node| node.bar.set_message(format!("{bar} {of}  {what}")));
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
