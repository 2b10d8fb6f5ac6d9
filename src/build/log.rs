//! The log of an image build: the whole of it in a file, and the last lines of every step for the case that it fails.
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Project;
use super::dockerfile::{self, Instruction};
use super::mask::Mask;
use crate::error::{Code, Fault, Result};
use crate::progress::{Part, Progress, State};
use crate::template::file::cant_write;

/// How many lines of the failing step a failure shows.
const SHOWN: usize = 20;
/// A line that is longer is taken for several.
const LONGEST: usize = 16 * 1024;

/// The log of one build.
pub struct Log<'a> {
    name: &'a str,
    progress: &'a dyn Progress,
    file: std::io::BufWriter<std::fs::File>,
    path: PathBuf,
    context: PathBuf,
    instructions: Vec<Instruction>,
    steps: BTreeMap<u64, Step>,
    hidden: Mask,
    /// The frontend that the Dockerfile asks for.
    frontend: Option<String>,
}

#[derive(Default)]
struct Step {
    /// What the builder calls it, as `RUN make`.
    title: String,
    /// What stands before that, as `#7` or `Step 3/4`.
    label: String,
    /// Its number among all instructions, where the builder counts so.
    nth: Option<usize>,
    partial: String,
    last: VecDeque<String>,
}

impl<'a> Log<'a> {
    /// Starts the log of the function `name`, whose context folder and Dockerfile are given.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn open(
        project: &Project<'_>,
        name: &'a str,
        context: &Path,
        dockerfile: &str,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let dir = folder(&project.build_dir, name);
        std::fs::create_dir_all(&dir).map_err(|error| cant_write(&dir, &error))?;
        let path = dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&path).map_err(|error| cant_write(&path, &error))?;
        Ok(Self {
            name,
            progress,
            file: std::io::BufWriter::new(file),
            path,
            context: context.to_owned(),
            instructions: dockerfile::instructions(dockerfile),
            steps: BTreeMap::new(),
            hidden: Mask::default(),
            frontend: dockerfile::syntax(dockerfile).map(str::to_owned),
        })
    }

    /// From now on these values are in no line, neither in the file nor on the screen.
    pub fn hide(&mut self, values: Mask) {
        self.hidden = values;
    }

    /// A step began: `shown` is its line in the log, `title` what the builder calls it. Steps may overlap: `key` tells
    /// them apart.
    pub fn step(&mut self, key: u64, shown: &str, title: &str, nth: Option<usize>) {
        let step = self.steps.entry(key).or_default();
        step.title = title.to_owned();
        let label =
            shown.strip_suffix(title).map(|before| before.trim_end_matches([' ', ':'])).filter(|l| !l.is_empty());
        step.label = label.unwrap_or(shown).to_owned();
        step.nth = nth;
        self.write(shown);
        self.flush();
        self.progress.part(self.name, Part { key, title: &plain(&self.hidden.cover(shown)), state: State::Running });
    }

    /// A step ended.
    pub fn ended(&mut self, key: u64, state: State) {
        let label = self.steps.get(&key).map_or("", |step| step.label.as_str());
        self.progress.part(self.name, Part { key, title: &plain(&self.hidden.cover(label)), state });
    }

    /// Text that a step printed, not always by whole lines; `prefix` goes before each line in the log.
    pub fn text(&mut self, key: u64, prefix: &str, text: &str) {
        let step = self.steps.entry(key).or_default();
        step.partial += text;
        let mut lines = Vec::new();
        let most = LONGEST + self.hidden.longest();
        loop {
            let end = step.partial.find('\n').map(|end| end + 1);
            let mut length = end.unwrap_or(step.partial.len());
            if length > most {
                // Not within a value that is to be hidden: one whose end has not come yet stays for later.
                let covered = self.hidden.cover(&step.partial[..length]).into_owned();
                step.partial.replace_range(..length, &covered);
                length = covered.len();
            }
            let cut = match end {
                _ if length > most => step.partial.floor_char_boundary(LONGEST),
                Some(_) => length,
                None => break,
            };
            lines.push(step.partial.drain(..cut).collect::<String>());
        }
        for line in lines {
            self.line(key, prefix, line.trim_end());
        }
        self.flush();
    }

    /// So that the file can be followed while the build runs.
    fn flush(&mut self) {
        let _ = self.file.flush();
    }

    fn line(&mut self, key: u64, prefix: &str, line: &str) {
        if line.is_empty() {
            return;
        }
        let line = &*self.hidden.cover(line);
        self.write(&format!("{prefix}{line}"));
        // A progress bar of a program redraws its line: the last state is what counts.
        let shown = plain(line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or(line));
        self.progress.line(self.name, &shown);
        let last = &mut self.steps.entry(key).or_default().last;
        if last.len() == SHOWN {
            last.pop_front();
        }
        last.push_back(shown);
    }

    /// A line for the log and the user that belongs to no step.
    pub fn note(&mut self, line: &str) {
        self.write(line);
        self.flush();
        self.progress.line(self.name, &plain(&self.hidden.cover(line)));
    }

    /// A line for the log alone.
    pub fn write(&mut self, line: &str) {
        let line = self.hidden.cover(line);
        // A log that can't be kept must not end the build.
        let _ = writeln!(self.file, "{line}");
    }

    /// The build failed, in the step `key` where one is known: the Dockerfile's line, the step's last lines, the error.
    pub fn failed(&mut self, key: Option<u64>, error: &str) -> Fault {
        let error = error.strip_prefix("Docker stream error: ").unwrap_or(error).trim_end();
        self.write(error);
        self.flush();
        let mut said = Vec::new();
        let step = key.and_then(|key| self.steps.get_mut(&key));
        // The builder's own steps say what it was about; those of the user could say anything.
        let about = step.as_ref().map_or("", |step| step.title.as_str());
        let is_frontend = about.starts_with("resolve image config for");
        let about = if about.starts_with("[internal]") { about.to_owned() } else { String::new() };
        if let Some(step) = step {
            let rest = std::mem::take(&mut step.partial);
            let at = dockerfile::find(&self.instructions, &step.title, step.nth);
            if let Some(at) = at {
                let (line, name, rest) = (at.line, &at.name, &at.rest);
                said.push(format!("{}:{line}: {name} {rest}", self.context.join("Dockerfile").display()));
            } else if !step.title.is_empty() {
                said.push(plain(&step.title));
            }
            said.extend(step.last.drain(..));
            said.extend(Some(plain(&rest)).filter(|rest| !rest.trim().is_empty()));
        } else if let Some(line) = line_in(error) {
            said.push(format!("{}:{line}", self.context.join("Dockerfile").display()));
        }
        said.extend(error.lines().map(plain));
        let log = format!("the whole log is in {}", self.path.display());
        // A full disk shows in what a step prints, whatever its exit code.
        let full = said.iter().find(|line| line.to_lowercase().contains("no space left on device"));
        let hint = super::builder::hint(&format!("{about} {error}"))
            .or_else(|| super::builder::hint(full?))
            .filter(|_| !is_frontend)
            .or_else(|| self.frontend.as_deref().filter(|_| is_frontend).map(super::builder::about_frontend))
            .map_or_else(|| log.clone(), |hint| format!("{hint}; {log}"));
        Fault::failed(format!("{}: the image can't be built", self.name))
            .code(Code::BUILD_FAILED)
            .cause(self.hidden.cover(&said.join("\n")))
            .hint(hint)
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where logs are kept; out of the way of a function that is called `logs` too.
fn folder(build_dir: &Path, name: &str) -> PathBuf {
    let logs = build_dir.join("logs");
    if name == "logs" || logs.join("Dockerfile").exists() { build_dir.join(".logs") } else { logs }
}

/// The line without what a terminal would take for a command.
fn plain(line: &str) -> String {
    let line = console::strip_ansi_codes(line);
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The Dockerfile's line in a parser's words: `dockerfile parse error line 3: …`, `… on line 3: …`.
fn line_in(error: &str) -> Option<usize> {
    let after = error.to_lowercase().split_once("parse error ")?.1.to_owned();
    let number = after.split_once("line ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn with<T>(dockerfile: &str, work: impl FnOnce(&mut Log<'_>) -> T) -> (T, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = Log {
            name: "tax",
            progress: &Silent,
            file: std::io::BufWriter::new(std::fs::File::create(&path).unwrap()),
            path: path.clone(),
            context: "/p/build/tax".into(),
            instructions: dockerfile::instructions(dockerfile),
            steps: BTreeMap::new(),
            hidden: Mask::of([b"hunter2-and-more".as_slice()]),
            frontend: dockerfile::syntax(dockerfile).map(str::to_owned),
        };
        let result = work(&mut log);
        drop(log);
        (result, std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn a_failure_has_the_line_and_the_last_lines_of_its_step() {
        let (fault, log) = with("FROM x\nRUN one\nRUN two\n", |log| {
            log.step(1, "#1 RUN one", "RUN one", None);
            log.text(1, "#1 ", "of one\n");
            log.step(2, "#2 RUN two", "RUN two", None);
            for n in 0..30 {
                log.text(2, "#2 ", &format!("line {n}\n"));
            }
            log.text(2, "#2 ", "no end");
            log.failed(Some(2), "exit code: 3")
        });
        let cause = fault.cause.unwrap();
        assert!(cause.starts_with("/p/build/tax/Dockerfile:3: RUN two\nline 10\n"), "{cause}");
        assert!(cause.ends_with("line 29\nno end\nexit code: 3"), "{cause}");
        assert!(log.contains("#1 of one") && log.contains("#2 line 0"), "{log}");
    }

    #[test]
    fn what_terminals_obey_is_taken_out_and_long_lines_are_cut() {
        let (fault, _) = with("FROM x\nRUN one\n", |log| {
            log.step(1, "s", "RUN one", None);
            log.text(1, "", "\u{1b}[31mred\u{1b}[0m\u{7}\n10%\r50%\r100%\n");
            log.text(1, "", &"x".repeat(LONGEST * 2 + 1));
            assert!(log.steps[&1].partial.len() <= LONGEST + log.hidden.longest());
            log.failed(Some(1), "no")
        });
        assert!(fault.cause.as_ref().unwrap().contains("RUN one\nred\u{fffd}\n100%\nxxx"), "{fault}");
    }

    #[test]
    fn secrets_are_in_no_line_even_where_it_is_cut() {
        let (fault, log) = with("FROM x\nRUN one\n", |log| {
            log.step(1, "s", "RUN one", None);
            log.text(1, "", "it is hunter2-");
            log.text(1, "", "and-more!\n");
            for at in LONGEST - 20..LONGEST + 20 {
                log.text(1, "", &("x".repeat(at) + "hunter2-"));
                log.text(1, "", &("and-more".to_owned() + &"y".repeat(LONGEST) + "\n"));
            }
            log.failed(Some(1), "no: hunter2-and-more")
        });
        let told = fault.cause.unwrap();
        assert!(told.ends_with("no: ***") && log.contains("it is ***!"), "{told}");
        for text in [&told, &log] {
            assert!(!text.contains("hunter2") && !text.contains("and-more"), "{text}");
        }
    }

    #[test]
    fn a_frontend_that_can_not_be_had_is_told_by_its_line() {
        let (fault, _) = with("# syntax=r.example/no:1\nFROM x\n", |log| {
            log.step(1, "#1 resolve image config for r.example/no:1", "resolve image config for r.example/no:1", None);
            log.failed(Some(1), "r.example/no:1: failed to resolve source metadata for r.example/no:1: not found")
        });
        assert!(fault.hint.unwrap().starts_with("the frontend `r.example/no:1` of its line `# syntax=` can't be had"));
    }

    #[test]
    fn a_parse_error_has_its_line() {
        assert_eq!(line_in("dockerfile parse error line 3: unknown instruction: FOO"), Some(3));
        assert_eq!(line_in("dockerfile parse error on line 12: x"), Some(12));
        assert_eq!(line_in("exit code 3"), None);
    }
}
