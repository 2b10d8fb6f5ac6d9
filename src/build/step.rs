//! The commands of a template's `install:` and `check:`, run in the bundle; their whole process group ends with them.
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use regex::Regex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::Project;
use crate::error::{Code, Fault, OrFault, Result};
use crate::progress::Progress;
use crate::template::manifest::Step;

/// How many of the last lines a failure shows.
const SHOWN: usize = 20;

/// Whether the step is for the bundle in `dir`.
///
/// # Errors
/// When its regular expression is none.
pub fn applies(step: &Step, dir: &Path) -> Result<bool> {
    if step.unless.as_ref().is_some_and(|path| dir.join(path).exists()) {
        return Ok(false);
    }
    let Some(when) = &step.when else { return Ok(true) };
    let Ok(text) = std::fs::read_to_string(dir.join(when)) else { return Ok(false) };
    if let Some(pattern) = &step.matches {
        let regex = Regex::new(pattern)
            .map_err(|error| Fault::usage(format!("the template's `matches: {pattern}` is wrong")).cause(error))?;
        return Ok(regex.is_match(&text));
    }
    Ok(text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#')))
}

/// The folder of the function `name` that outlives its bundles: what `{cache}` in a step stands for.
pub fn cache(project: &Project<'_>, name: &str) -> String {
    let project_hash = blake3::hash(project.root.as_os_str().as_encoded_bytes()).to_hex();
    project.cache.join("compiled").join(format!("{name}-{}", &project_hash[..16])).display().to_string()
}

/// Runs the step in `dir`, its output line by line to `progress`.
///
/// # Errors
/// When it can't be started or fails: the last lines of its output, and the step's hint.
pub async fn run(step: &Step, dir: &Path, name: &str, what: &str, progress: &dyn Progress) -> Result<()> {
    let scratch = Scratch::new();
    let tmp = scratch.0.as_deref();
    if let Some(probe) = &step.probe {
        let (status, said) = execute(probe, dir, name, tmp, &mut |_| {}).await?;
        if !status.success() {
            let mut fault = Fault::failed(format!("{name}: {what} needs `{probe}` to work")).cause(said);
            fault.hint = step.hint.clone();
            return Err(fault);
        }
    }
    progress.step(name, what);
    let (status, said) = execute(&step.run, dir, name, tmp, &mut |line| progress.line(name, line)).await?;
    if status.success() {
        return Ok(());
    }
    let mut fault = Fault::failed(format!("{name}: {what} failed: {}", step.run)).code(Code::BUILD_FAILED).cause(said);
    if step.probe.is_none() {
        fault.hint = step.hint.clone();
    }
    Err(fault)
}

/// A folder for what a step keeps while it runs: one that is ended half-way, as pip is by Ctrl-C, clears up nothing.
/// Where none can be made, the step finds its own way.
struct Scratch(Option<PathBuf>);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("faas-build-").tempdir().ok().map(tempfile::TempDir::keep))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Who was killed a moment ago may still be at it.
        for _ in 0..50 {
            match self.0.as_ref().map_or(Ok(()), std::fs::remove_dir_all) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

/// Runs a command line, its temporary files in `tmp`, each line of its output to `each`; how it ended, and its last lines
/// of output.
///
/// # Errors
/// When it can't be started.
pub async fn execute(
    line: &str,
    dir: &Path,
    name: &str,
    tmp: Option<&Path>,
    each: &mut (dyn FnMut(&str) + Send),
) -> Result<(ExitStatus, String)> {
    let words = shell_words::split(line)
        .map_err(|error| Fault::usage(format!("the template's command `{line}` can't be split")).cause(error))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Fault::usage("the template has an empty command"));
    };
    // Where the program is looked for anyway.
    let path = std::env::var("PATH").unwrap_or_default();
    let behind = crate::manager::behind_name(program, &path);
    let mut command = Command::new(behind.as_deref().unwrap_or(Path::new(program)));
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(tmp) = tmp {
        command.env("TMPDIR", tmp);
    }
    let parent = rustix::process::getpid();
    let tie = move || {
        // Should this process be killed without a word.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        match rustix::process::getppid() {
            Some(pid) if pid == parent => Ok(()),
            _ => Err(std::io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())),
        }
    };
    // SAFETY: only two system calls, no allocation and no lock, between fork and exec.
    unsafe { command.pre_exec(tie) };
    let mut child = Group(command.spawn().or_fault(|| format!("{name}: can't start `{program}`"))?);
    let mut last: VecDeque<String> = VecDeque::with_capacity(SHOWN);
    let mut out = lines(child.0.stdout.take());
    let mut err = lines(child.0.stderr.take());
    let mut open = (out.is_some(), err.is_some());
    while open.0 || open.1 {
        let line = tokio::select! {
            line = next(&mut out), if open.0 => line.inspect_none(|| open.0 = false),
            line = next(&mut err), if open.1 => line.inspect_none(|| open.1 = false),
        };
        if let Some(line) = line {
            each(&line);
            if last.len() == SHOWN {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
    let status = child.0.wait().await.or_fault(|| format!("{name}: lost `{program}`"))?;
    let said = Vec::from(last).join("\n");
    let said = match said.lines().count() {
        0 => status.to_string(),
        1 => said,
        _ => format!("\n{said}"),
    };
    Ok((status, said))
}

trait InspectNone {
    fn inspect_none(self, f: impl FnOnce()) -> Self;
}

impl<T> InspectNone for Option<T> {
    fn inspect_none(self, f: impl FnOnce()) -> Self {
        if self.is_none() {
            f();
        }
        self
    }
}

/// What one stream has said, and the start of a line that has no end yet.
struct Lines<R> {
    reader: BufReader<R>,
    start: Vec<u8>,
}

fn lines<R: AsyncRead>(stream: Option<R>) -> Option<Lines<R>> {
    stream.map(|stream| Lines { reader: BufReader::new(stream), start: Vec::new() })
}

/// The next line, without its end and whatever bytes are no text; `None` at the end. Who gives up waiting for it loses
/// nothing: the other stream may have a line first.
async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Lines<R>>) -> Option<String> {
    let lines = lines.as_mut()?;
    let read = lines.reader.read_until(b'\n', &mut lines.start).await;
    let line = std::mem::take(&mut lines.start);
    match read {
        Ok(_) if !line.is_empty() => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
        _ => None,
    }
}

/// A child whose process group is killed when it is dropped before it ended.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_comes_in_pieces_is_not_lost_when_the_other_stream_ends() {
        let line = "sh -c 'printf v18; exec 2>&-; sleep 0.2; echo .20; sleep 0.1'";
        let (status, said) = execute(line, Path::new("/"), "tax", None, &mut |_| {}).await.unwrap();
        assert_eq!((status.success(), said.as_str()), (true, "v18.20"));
    }
}
