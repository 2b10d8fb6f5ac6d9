//! The programs that a template needs on this machine, checked before anything is installed.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;

use super::step;
use crate::context::Env;
use crate::error::{Fault, Result};
use crate::template::manifest::Native;

/// How long a program may take to say its version. Less than what `faas doctor` waits for.
const PATIENCE: Duration = Duration::from_secs(8);

/// A program that was found.
pub struct Program {
    path: PathBuf,
    name: String,
    at_least: Option<String>,
}

/// Finds every program that `native` requires for the function `name`.
///
/// # Errors
/// Says which one is missing and how to get it.
pub fn find(native: &Native, name: &str, env: &Env) -> Result<Vec<Program>> {
    native.requires.iter().map(|wanted| find_one(wanted, native, name, env)).collect()
}

fn find_one(wanted: &str, native: &Native, name: &str, env: &Env) -> Result<Program> {
    let (program, at_least) = match wanted.split_once(">=") {
        Some((program, version)) => (program.trim(), Some(version.trim().to_owned())),
        None => (wanted.trim(), None),
    };
    let path = std::env::split_paths(env.get("PATH").unwrap_or_default())
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path));
    let Some(path) = path else {
        let version = at_least.map(|v| format!(" {v} or newer")).unwrap_or_default();
        let mut fault = Fault::failed(format!("{name}: {program}{version} is needed to run it and is not in PATH"));
        fault.hint = native.get.clone();
        return Err(fault);
    };
    Ok(Program { path, name: program.into(), at_least })
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

impl Program {
    /// Changes when another program is installed in its place.
    #[must_use]
    pub fn identity(&self) -> String {
        let real = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let (size, time) = std::fs::metadata(&real).map_or((0, 0), |m| (m.len(), m.mtime()));
        format!("{}:{size}:{time}", real.display())
    }

    /// Checks that it is new enough, by what it says to `--version`.
    ///
    /// # Errors
    /// When it is too old, or can't be started.
    pub async fn check_version(&self, native: &Native, name: &str) -> Result<()> {
        let Some(at_least) = &self.at_least else { return Ok(()) };
        let program = &self.name;
        let behind = crate::manager::behind(&self.path);
        let started = behind.as_ref().unwrap_or(&self.path).to_string_lossy();
        let line = format!("{} --version", shell_words::quote(&started));
        let mut ignored = |_: &str| {};
        let asked = step::execute(&line, Path::new("/"), name, None, &mut ignored);
        let Ok(answered) = tokio::time::timeout(PATIENCE, asked).await else {
            let (shown, waited) = (self.path.display(), PATIENCE.as_secs());
            return Err(Fault::timed_out(format!("{name}: {program} does not work"))
                .cause(format!("`{shown} --version` gives no answer within {waited} s"))
                .hint(format!("mend it, or put another {program} before it in PATH")));
        };
        let (_, said) = answered?;
        let found = version_in(&said);
        if found.as_ref().is_some_and(|found| *found >= numbers(at_least)) {
            return Ok(());
        }
        let said = said.lines().find(|line| !line.is_empty()).unwrap_or("nothing");
        let mut fault = Fault::failed(format!("{name}: {program} {at_least} or newer is needed to run it"))
            .cause(format!("`{} --version` says {said}", self.path.display()));
        fault.hint = native.get.clone();
        Err(fault)
    }
}

fn version_in(text: &str) -> Option<Vec<u64>> {
    let version = Regex::new(r"\d+(\.\d+)+").ok()?;
    version.find(text).map(|found| numbers(found.as_str()))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_in("Python 3.11.7\n").unwrap() >= numbers("3.9"));
        assert!(version_in("v18.20.2").unwrap() < numbers("20"));
        assert!(version_in("GNU bash, version 5.2.15(1)-release").unwrap() >= numbers("4"));
        assert_eq!(version_in("no version here"), None);
    }
}
