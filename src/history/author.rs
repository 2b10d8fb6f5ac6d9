//! Who deploys, and from which commit: what the environment and git tell, asked once and only when something is deployed.
use std::path::Path;
use std::process::Command;

use super::Record;
use crate::context::Env;

/// Where CI systems say who started the job; there, the machine's own user says nothing.
const ACTORS: [&str; 5] =
    ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME", "BUILD_REQUESTEDFOR"];
const USERS: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

/// The part of a record that all functions of a deploy have in common; what nobody tells is left out.
#[must_use]
pub fn author(env: &Env, root: &Path) -> Record {
    let by = ACTORS.iter().chain(&USERS).find_map(|name| env.get(name)).map(str::to_owned);
    let told = if asks_git(env, root) { commit(root) } else { None };
    let (commit, dirty) = told.map_or((None, false), |(commit, dirty)| (Some(commit), dirty));
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Record { at: Some(at), by, commit, dirty, ..Record::default() }
}

/// Whether there is a repository to ask; starting git to hear that there is none takes as long as a small deploy.
#[must_use]
pub fn asks_git(env: &Env, root: &Path) -> bool {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    env.get("GIT_DIR").is_some() || root.ancestors().any(|folder| folder.join(".git").exists())
}

/// The commit that is checked out in the folder, and whether files in it differ from that.
fn commit(root: &Path) -> Option<(String, bool)> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        // A deploy must not wait for, or write into, somebody's repository.
        .args(["--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", "."])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let is_one = commit.len() >= 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    is_one.then(|| (commit.to_owned(), text.lines().any(|line| !line.starts_with('#'))))
}
