//! Finds the program of a command before it is needed, so that a missing one is said at the start.

use std::path::{Path, PathBuf};

use crate::{Config, Error};

const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program's path as `exec` wants it.
///
/// It must be a path: std looks a bare name up in the child's `PATH` only by way of fork and exec, which costs more
/// than `posix_spawn`.
pub(crate) fn find(config: &Config) -> Result<PathBuf, Error> {
    let program = config.command.first().filter(|program| !program.is_empty()).ok_or(Error::NoCommand)?;
    let missing = |searched: String| Error::NoProgram { program: program.clone(), searched };
    if program.contains('/') {
        let path = PathBuf::from(program);
        let seen = config.cwd.as_ref().map_or_else(|| path.clone(), |cwd| cwd.join(&path));
        return if executable(&seen) { Ok(path) } else { Err(missing(seen.display().to_string())) };
    }
    let path = config.variable("PATH").unwrap_or(USUAL_PATH);
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|path| executable(path))
        .and_then(|path| std::path::absolute(path).ok())
        .ok_or_else(|| missing(path.to_owned()))
}

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    fn config(program: &str, path: Option<&str>) -> Config {
        let mut config = Config::new(Mode::Classic, vec![program.into()]);
        config.env.extend(path.map(|path| ("PATH".to_owned(), path.to_owned())));
        config
    }

    #[test]
    fn found_in_the_childs_path() {
        assert!(find(&config("sh", None)).unwrap().is_absolute());
        let message = find(&config("sh", Some("/nowhere:/nor-here"))).unwrap_err().to_string();
        assert_eq!(message, "sh: no such program (looked in /nowhere:/nor-here)");
    }

    #[test]
    fn a_path_is_relative_to_the_folder() {
        let mut config = config("./sh", None);
        config.cwd = Some("/bin".into());
        assert_eq!(find(&config).unwrap(), Path::new("./sh"));
        config.cwd = Some("/etc".into());
        assert!(find(&config).is_err());
    }

    #[test]
    fn nothing_to_run() {
        assert!(matches!(find(&Config::new(Mode::Http, vec![])), Err(Error::NoCommand)));
    }
}
