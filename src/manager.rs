//! Programs that a version manager stands in for: pyenv, rbenv and nodenv put scripts into PATH that look for the real
//! program at each start, which takes longer than the program's own start. They are asked once.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use regex::Regex;

/// What such scripts have in common: the manager that they call, and its folder.
static MANAGER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^exec "([^"]+)" exec "\$program" "\$@"$"#).ok());
static ROOT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?m)^export [A-Z]+_ROOT="([^"]+)"$"#).ok());
/// A script of a manager is shorter.
const LONGEST: u64 = 4096;

/// What an answer depends on: the script, and the file in which the manager keeps the version that is in use.
type Stamps = (Option<SystemTime>, Option<SystemTime>);

/// What was answered, by script.
type Known = HashMap<PathBuf, (Stamps, Option<PathBuf>)>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// The program of that name as it is found in `path`, the value of PATH, and not a manager's script in its place.
/// `None` when it is not found, or when it is itself what is found first.
#[must_use]
pub fn behind_name(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(|path| path.is_file())?;
    behind(&found)
}

/// The program that a manager's script at `script` starts. `None` when it is no such script.
#[must_use]
pub fn behind(script: &Path) -> Option<PathBuf> {
    let metadata = std::fs::metadata(script).ok()?;
    if metadata.len() > LONGEST {
        return None;
    }
    let text = std::fs::read_to_string(script).ok().filter(|text| text.starts_with("#!"))?;
    let one = |regex: &LazyLock<Option<Regex>>| Some(regex.as_ref()?.captures(&text)?.get(1)?.as_str().to_owned());
    let (manager, root) = (one(&MANAGER)?, one(&ROOT));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let stamps = (metadata.modified().ok(), root.and_then(|root| changed(&Path::new(&root).join("version"))));
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = known.get(script).filter(|(seen, _)| *seen == stamps)
        && found.as_ref().is_none_or(|found| found.is_file())
    {
        return found.clone();
    }
    let found = ask(&manager, script.file_name()?.to_str()?);
    known.insert(script.to_owned(), (stamps, found.clone()));
    found
}

fn ask(manager: &str, name: &str) -> Option<PathBuf> {
    // In the root folder: a version that a project names is for what is started in it, and functions are not.
    let output = Command::new(manager)
        .args(["which", name])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    (path.is_absolute() && path.is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_manager_is_asked_once_until_the_version_changes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let root = dir.path().display();
        program(&at("libexec/xenv"), &format!("#!/bin/sh\necho >> {root}/asked\ncat {root}/version\n"));
        program(
            &at("shims/x"),
            &format!(
                "#!/usr/bin/env bash\nset -e\nprogram=\"${{0##*/}}\"\nexport XENV_ROOT=\"{root}\"\nexec \"{root}/libexec/xenv\" exec \"$program\" \"$@\"\n"
            ),
        );
        program(&at("versions/1/x"), "");
        program(&at("versions/2/x"), "");
        std::fs::write(at("version"), at("versions/1/x").to_str().unwrap()).unwrap();
        let path = at("shims").display().to_string();
        for _ in 0..3 {
            assert_eq!(behind_name("x", &path), Some(at("versions/1/x")));
        }
        assert_eq!(std::fs::read_to_string(at("asked")).unwrap(), "\n");
        std::fs::write(at("version"), at("versions/2/x").to_str().unwrap()).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        std::fs::File::options().write(true).open(at("version")).unwrap().set_modified(later).unwrap();
        assert_eq!(behind_name("x", &path), Some(at("versions/2/x")));
    }

    #[test]
    fn other_programs_are_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        program(&dir.path().join("y"), "#!/bin/sh\nexec /bin/true \"$@\"\n");
        let path = dir.path().display().to_string();
        assert_eq!(behind_name("y", &path), None);
        assert_eq!(behind_name("nobody", &path), None);
        assert_eq!(behind_name("sh", "/bin:/usr/bin"), None);
    }
}
