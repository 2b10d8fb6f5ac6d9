//! What a command is given: flags, a snapshot of the environment, folders and the way to the user. Nothing below `cli`
//! reads the environment by itself.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Fault;
use crate::output::Output;

/// What a command is given.
#[derive(Clone)]
pub struct Context {
    /// A snapshot of the environment.
    pub env: Env,
    /// The folder that the command was called in.
    pub cwd: PathBuf,
    /// Where things are kept.
    pub dirs: Dirs,
    /// The way to the user.
    pub out: Output,
}

/// A snapshot of the environment variables; those that are not UTF-8 are left out.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    /// A variable's value; an empty one counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A variable's value, empty or not.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a variable turns something on: by any value but an empty one and `false`, `no`, `off` and `0`.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        let is_no = |value: &str| ["false", "f", "no", "n", "off", "0"].iter().any(|no| value.eq_ignore_ascii_case(no));
        self.get(name).is_some_and(|value| !is_no(value.trim()))
    }

    /// Whether a CI system runs this (`CI=true` or `CI=1`).
    #[must_use]
    pub fn is_ci(&self) -> bool {
        matches!(self.get("CI"), Some("true" | "1"))
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// Stands for the home folder where none is known: nothing can be there, and many commands need nothing of it.
const NOWHERE: &str = "/proc/self/no-home-folder";

/// Where `faas` keeps things. `FAAS_HOME` puts all of it under one folder.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// The embedded platform's state and the native bundles.
    pub data: PathBuf,
    /// What can be made again: templates, downloads, build manifests.
    pub cache: PathBuf,
    /// The user's home.
    pub home: PathBuf,
}

impl Dirs {
    /// By `FAAS_HOME`, else by `XDG_DATA_HOME` and `XDG_CACHE_HOME`, else below the home folder: that of `HOME`, else of the
    /// system's list of users, else a folder that is nowhere.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        // A relative one means this folder, for the platform too, which runs in another.
        let folder = |name: &str| {
            let text = env.get(name)?;
            Some(std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text)))
        };
        let home = folder("HOME").or_else(|| std::env::home_dir().filter(|home| home.is_absolute()));
        if let Some(all) = folder("FAAS_HOME") {
            let home = home.unwrap_or_else(|| all.clone());
            return Self { data: all.join("data"), cache: all.join("cache"), home };
        }
        let home = home.unwrap_or_else(|| NOWHERE.into());
        let under = |variable: &str, rest: &str| {
            env.get(variable)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .unwrap_or_else(|| home.join(rest))
                .join("faas")
        };
        Self { data: under("XDG_DATA_HOME", ".local/share"), cache: under("XDG_CACHE_HOME", ".cache"), home }
    }

    /// The fault, or if it is about what can't be kept without a home folder, one that says so.
    #[must_use]
    pub fn explain(&self, fault: Fault) -> Fault {
        if self.home != Path::new(NOWHERE) || !fault.to_string().contains(NOWHERE) {
            return fault;
        }
        Fault::failed("no home folder is known").hint("set HOME, or FAAS_HOME to a folder that faas may use")
    }

    /// The embedded platform's folder (mode 0700): state, token, logs.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.data.join("local")
    }

    /// Native bundles, by name and fingerprint.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.data.join("bundles")
    }
}

impl Context {
    /// `path` as seen from the folder that the command was called in.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }
}
