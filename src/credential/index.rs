//! Which gateways' logins are in the keyring: names only, one a line, so that the keyring is asked for no other.
use std::io;
use std::path::{Path, PathBuf};

use super::replace;
use crate::error::{OrFault, Result};

fn path(folder: &Path) -> PathBuf {
    folder.join("faas-keyring")
}

/// The names.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    match std::fs::read_to_string(path(folder)) {
        Ok(text) => Ok(text.lines().map(Into::into).collect()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(e).or_fault(|| format!("{} can't be read", path(folder).display())),
    }
}

/// Adds a name.
pub fn add(folder: &Path, key: &str) -> Result<()> {
    let mut all = names(folder)?;
    if !all.iter().any(|name| name == key) {
        all.push(key.into());
        write(folder, &all)?;
    }
    Ok(())
}

/// Removes a name; whether it was there.
pub fn remove(folder: &Path, key: &str) -> Result<bool> {
    let mut all = names(folder)?;
    let before = all.len();
    all.retain(|name| name != key);
    if all.len() == before {
        return Ok(false);
    }
    write(folder, &all)?;
    Ok(true)
}

fn write(folder: &Path, names: &[String]) -> Result<()> {
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    replace(&path(folder), &text).or_fault(|| format!("can't write {}", path(folder).display()))
}
