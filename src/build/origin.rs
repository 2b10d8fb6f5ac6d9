//! Where a project comes from, as labels of its images: commit, repository and version, told by git.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Project;

/// `org.opencontainers.image.*`, as far as git knows: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
/// Empty outside of a repository. Asked once for a project; not part of a function's fingerprint, so that a commit that
/// does not touch a function builds it no new image.
pub fn labels<'p>(project: &'p Project<'_>) -> &'p BTreeMap<String, String> {
    project.origin.get_or_init(|| read(project.root))
}

fn read(root: &Path) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut add = |key: &str, value: String| labels.insert(format!("org.opencontainers.image.{key}"), value);
    let Some(revision) = git(root, &["rev-parse", "HEAD"]) else { return labels };
    let changed = git(root, &["status", "--porcelain", "--untracked-files=no", "."]).is_some();
    add("revision", format!("{revision}{}", if changed { "-dirty" } else { "" }));
    if let Some(source) = git(root, &["config", "--get", "remote.origin.url"]).and_then(|url| address(&url)) {
        add("source", source);
    }
    if !changed && let Some(version) = git(root, &["describe", "--tags", "--exact-match"]) {
        add("version", version);
    }
    labels
}

/// What git says, when it says something.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

/// The repository as an address that people can open: without a login in it, and by https where git goes by ssh. Paths
/// of this machine are nobody's business.
fn address(url: &str) -> Option<String> {
    if let Ok(mut parsed) = url::Url::parse(url)
        && parsed.has_host()
    {
        let _ = parsed.set_username("");
        let _ = parsed.set_password(None);
        parsed.set_query(None);
        let text = parsed.to_string();
        let text = text.trim_end_matches(".git").to_owned();
        return match parsed.scheme() {
            "http" | "https" => Some(text),
            "ssh" | "git" => Some(format!("https://{}{}", parsed.host_str()?, parsed.path().trim_end_matches(".git"))),
            _ => None,
        };
    }
    // `git@host:path`
    let (user, path) = url.split_once(':')?;
    let host = user.rsplit('@').next().filter(|host| host.contains('.') && !host.contains('/'))?;
    Some(format!("https://{host}/{}", path.trim_start_matches('/').trim_end_matches(".git")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_logins_and_no_paths_of_this_machine() {
        for (url, shown) in [
            ("https://me:token@example.com/me/x.git", Some("https://example.com/me/x")),
            ("git@example.com:me/x.git", Some("https://example.com/me/x")),
            ("ssh://git@example.com:2222/me/x.git", Some("https://example.com/me/x")),
            ("/srv/git/x.git", None),
            ("../x", None),
            ("file:///srv/git/x.git", None),
        ] {
            assert_eq!(address(url).as_deref(), shown, "{url}");
        }
    }

    #[test]
    fn a_commit_and_its_tag_are_labels_and_a_change_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).is_empty());
        let run = |arguments: &[&str]| {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
            let all: Vec<&str> = identity.iter().chain(arguments).copied().collect();
            git(dir.path(), &all)
        };
        std::fs::write(dir.path().join("a"), "a").unwrap();
        run(&["init", "-q"]);
        run(&["add", "a"]);
        run(&["commit", "-q", "-m", "one"]);
        run(&["tag", "v1"]);
        run(&["remote", "add", "origin", "https://me:token@example.com/me/x.git"]);
        let key = |key: &str| format!("org.opencontainers.image.{key}");
        let labels = read(dir.path());
        assert_eq!(labels[&key("revision")].len(), 40);
        assert_eq!(labels[&key("version")], "v1");
        assert_eq!(labels[&key("source")], "https://example.com/me/x");
        std::fs::write(dir.path().join("a"), "b").unwrap();
        let labels = read(dir.path());
        assert!(labels[&key("revision")].ends_with("-dirty"));
        assert!(!labels.contains_key(&key("version")));
    }
}
