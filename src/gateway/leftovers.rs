//! What an embedded platform that was killed leaves behind: its state file, and processes of functions.
use super::{files, launch, process};
use crate::context::Dirs;
use crate::error::{OrFault, Result};

/// What is left of a platform that does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Its state file still says that it runs.
    pub state: bool,
    /// So many processes of its functions still run.
    pub processes: usize,
}

impl Leftovers {
    /// Whether there is anything.
    #[must_use]
    pub fn any(&self) -> bool {
        self.state || self.processes > 0
    }
}

/// What is left; nothing while a platform runs.
#[must_use]
pub fn leftovers(dirs: &Dirs) -> Leftovers {
    if launch::running(dirs).is_some() || !dirs.local().exists() {
        return Leftovers::default();
    }
    Leftovers { state: launch::state_path(dirs).exists(), processes: process::orphans(&dirs.local()) }
}

/// Removes what is left, as the next start would; says what there was.
///
/// # Errors
/// When the state file can't be removed.
pub fn clear_leftovers(dirs: &Dirs) -> Result<Leftovers> {
    let found = leftovers(dirs);
    if found.processes > 0 {
        process::end_orphans(&dirs.local());
    }
    if found.state {
        let path = launch::state_path(dirs);
        files::remove(&path).or_fault(|| format!("can't remove {}", path.display()))?;
    }
    Ok(found)
}
