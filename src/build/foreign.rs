//! Programs and libraries for another processor than the one that they are to run on: told before they fail there.
use std::io::Read;
use std::path::Path;

use crate::progress::Progress;

/// How many are named.
const SHOWN: usize = 3;

/// Warns of the files below `dir` that are for another processor; packages that bring some for every processor do no harm.
pub fn warn(dir: &Path, name: &str, machine: u8, called: &str, progress: &dyn Progress) {
    let found = foreign(dir, machine);
    if found.is_empty() {
        return;
    }
    let more = found.len().saturating_sub(SHOWN);
    let shown = found[..found.len() - more].join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    progress.warn(
        name,
        &format!(
            "not for {called}, which it is to run on: {shown}{more}; `lambda: {{container: true}}` installs dependencies there"
        ),
    );
}

/// ELF files whose `e_machine` is another one, and of which there is none of that name for `machine`.
fn foreign(dir: &Path, machine: u8) -> Vec<String> {
    let (mut theirs, mut ours) = (Vec::new(), std::collections::HashSet::new());
    for entry in walkdir::WalkDir::new(dir).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let mut head = [0; 20];
        let read = std::fs::File::open(entry.path()).and_then(|mut file| file.read_exact(&mut head));
        if read.is_err() || !head.starts_with(b"\x7fELF") {
            continue;
        }
        if head[18] == machine {
            ours.insert(entry.file_name().to_owned());
        } else {
            theirs.push(entry);
        }
    }
    theirs.retain(|entry| !ours.contains(entry.file_name()));
    let path = |entry: walkdir::DirEntry| entry.path().strip_prefix(dir).unwrap_or(entry.path()).display().to_string();
    let mut found: Vec<String> = theirs.into_iter().map(path).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> [u8; 20] {
        let mut head = [0; 20];
        head[..4].copy_from_slice(b"\x7fELF");
        head[18] = machine;
        head
    }

    #[test]
    fn those_that_have_a_brother_for_the_processor_are_fine() {
        let dir = tempfile::tempdir().unwrap();
        for (path, machine) in [("arm/x.node", 0xb7), ("x64/x.node", 0x3e), ("lib/y.so", 0xb7), ("lib/z.so", 0x3e)] {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), elf(machine)).unwrap();
        }
        std::fs::write(dir.path().join("text"), "short").unwrap();
        assert_eq!(foreign(dir.path(), 0x3e), ["lib/y.so"]);
        assert_eq!(foreign(dir.path(), 0xb7), ["lib/z.so"]);
    }
}
