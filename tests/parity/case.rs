//! A case as it is written in `cases/*.yml`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The cases of one command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    #[serde(skip)]
    pub path: PathBuf,
    /// As `secret create`.
    pub command: String,
    /// Files that every case of this file starts with; its own are laid over them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// As [`Case::repos`], for all.
    #[serde(default)]
    pub repos: BTreeMap<String, BTreeMap<String, String>>,
    pub cases: Vec<Case>,
}

/// A folder, a gateway, command lines, and what is compared.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// Command lines without the program, run one after another; `{gateway}` stands for the gateway's address.
    pub run: Vec<String>,
    /// Files of the folder that it runs in; an empty folder ends in `/`, `!x` in front makes it a program.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Files below the home folder.
    #[serde(default)]
    pub home: BTreeMap<String, String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What is on stdin; nothing when it is left out.
    #[serde(default)]
    pub stdin: String,
    /// Makes the folder a git repository with one commit, always the same.
    #[serde(default)]
    pub git: bool,
    /// Git repositories beside the folder, each with one commit that is always the same and the tag `v1`; `{repos}` stands
    /// for where they are.
    #[serde(default)]
    pub repos: BTreeMap<String, BTreeMap<String, String>>,
    /// What the gateway answers. Whatever is not here is answered as by a gateway on which all is well.
    #[serde(default)]
    pub gateway: Vec<Rule>,
    #[serde(default)]
    pub compare: Compare,
    /// What is not the same (`exit`, `stdout`, `requests`, `files`), and which bug or wish is the reason.
    #[serde(default)]
    pub better: BTreeMap<String, String>,
    /// What ours must do where it is better.
    #[serde(default)]
    pub ours: Ours,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As `GET /system/functions`; without a query it fits any. Of several that fit, each answers once, the last always.
    pub on: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
    /// A body as JSON.
    #[serde(default)]
    pub json: Option<serde_json::Value>,
}

fn ok() -> u16 {
    200
}

/// What is compared; all of it unless told.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Compare {
    pub stdout: Stdout,
    pub requests: Requests,
    /// Paths (as in .gitignore: `build/**`) that are compared; all when empty.
    pub files: Vec<String>,
    /// Paths that are not.
    pub not_files: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Stdout {
    #[default]
    Exact,
    /// The same lines in any order.
    Lines,
    /// Each line of `ours.stdout` is in both; for texts of which scripts read some lines only.
    Some,
    None,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Requests {
    /// Every request; those of a command at once may come in any order.
    All,
    /// Those that change something: PUT, POST, PATCH, DELETE.
    #[default]
    Writes,
    None,
}

/// What ours must do where it is better.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Ours {
    pub exit: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// Requests that it makes, as `PUT /system/functions`.
    pub requests: Option<Vec<String>>,
}

impl CaseFile {
    pub fn recordings(&self) -> PathBuf {
        self.path.with_extension("recorded.json")
    }
}

/// All files of cases, by name.
pub fn files(folder: &Path) -> Vec<CaseFile> {
    let entries = std::fs::read_dir(folder).expect("cases").flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file of cases");
        let mut file: CaseFile = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for case in &mut file.cases {
            let own = std::mem::replace(&mut case.files, file.files.clone());
            case.files.extend(own);
            let own = std::mem::replace(&mut case.repos, file.repos.clone());
            case.repos.extend(own);
        }
        let mut names: Vec<&str> = file.cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{}: two cases of one name", path.display());
        file.path = path;
        file
    };
    paths.into_iter().map(read).collect()
}
