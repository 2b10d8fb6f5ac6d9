//! The machine itself: versions, disk space, and the stack file that was found.
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Checked, Patient};
use crate::error::OrFault;
use crate::finding::Finding;

/// Less is no room to work in, in bytes.
const NO_ROOM: u64 = 200 << 20;
/// Less will be used up by the next few images, in bytes.
const LITTLE_ROOM: u64 = 2 << 30;

/// Looks at all of it.
pub async fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let mut all = vec![version(&patient.backends).into(), stack(patient).into()];
    let dirs = &patient.context.dirs;
    let places = [
        ("project", patient.project.root.to_path_buf()),
        ("data", dirs.data.clone()),
        ("cache", dirs.cache.clone()),
        ("temporary files", std::env::temp_dir()),
    ];
    all.extend(disks(&places).into_iter().map(Into::into));
    all.extend([&dirs.data, &dirs.cache].into_iter().find_map(|dir| unwritable(dir)));
    all
}

fn version(backends: &[&str]) -> Finding {
    let backends = backends.join(", ");
    let system = rustix::system::uname();
    let said = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Finding::ok(
        "faas",
        format!(
            "{} with {backends}, on {} {} {}",
            env!("CARGO_PKG_VERSION"),
            said(system.sysname()),
            said(system.release()),
            said(system.machine())
        ),
    )
}

fn stack(patient: &Patient<'_>) -> Finding {
    if let Some(unread) = patient.unread {
        return unread.clone();
    }
    let Some(stack) = patient.stack else {
        return Finding::skipped("stack file", "there is none in this folder");
    };
    let functions = match stack.functions.len() {
        1 => "one function".to_owned(),
        n => format!("{n} functions"),
    };
    let target = stack.target.as_ref().map(|target| format!(", target {target}")).unwrap_or_default();
    let said = format!("{}: {functions} for provider {}{target}", stack.origin.name, stack.provider.kind.as_str());
    match stack.warnings.len() {
        0 => Finding::ok("stack file", said),
        n => Finding::warning("stack file", format!("{said}; {n} of its lines are odd"))
            .hint("`faas validate` shows them"),
    }
}

/// One finding a file system.
fn disks(places: &[(&str, PathBuf)]) -> Vec<Finding> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for (what, path) in places {
        let Some(there) = nearest(path) else { continue };
        let (Ok(stat), Ok(disk)) = (rustix::fs::stat(there), rustix::fs::statvfs(there)) else { continue };
        if seen.contains(&stat.st_dev) {
            continue;
        }
        seen.push(stat.st_dev);
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let said = format!("{} free for {what} ({})", indicatif::BinaryBytes(free), there.display());
        let inodes = disk.f_files > 0 && disk.f_favail < 1000;
        all.push(match free {
            _ if inodes => Finding::broken("disk", format!("{said}, but only {} files more fit", disk.f_favail))
                .hint("remove files there, or use another file system: FAAS_HOME, TMPDIR"),
            free if free < NO_ROOM => Finding::broken("disk", said).hint(
                "`faas cache clear` and `faas build --prune` give some back; FAAS_HOME and TMPDIR name other places",
            ),
            free if free < LITTLE_ROOM => Finding::warning("disk", said)
                .hint("`faas cache show` says what builds keep; `faas cache clear` gives it back"),
            _ => Finding::ok("disk", said),
        });
    }
    all
}

/// What is wrong with a folder of ours that nothing can be written to; one that is not there is made when it is needed.
fn unwritable(dir: &Path) -> Option<Checked> {
    let there = nearest(dir)?;
    let about = "data folder";
    if !there.is_dir() {
        let found = format!("{} is in the way: {} goes below it", there.display(), dir.display());
        return Some(Finding::broken(about, found).hint("move it away, or name another folder by FAAS_HOME").into());
    }
    // A file without a name: nothing is left of it.
    let error = tempfile::tempfile_in(there).err()?;
    let shown = there.display().to_string();
    let finding = Finding::broken(about, format!("nothing can be written to {shown}: {error}"));
    let metadata = std::fs::metadata(there).ok()?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode() & 0o7777;
    if !own || mode & 0o300 == 0o300 {
        return Some(finding.hint("make it yours, or name another folder by FAAS_HOME").into());
    }
    let (path, wanted) = (there.to_owned(), mode | 0o700);
    let fix = move || {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wanted))
            .or_fault(|| format!("can't change the mode of {}", path.display()))?;
        Ok(format!("set its mode to {wanted:o}"))
    };
    let way = format!("chmod u+rwx {shown}");
    Some(Checked::mended_by(finding.hint(way.clone()), way, fix))
}

/// The path, or the nearest folder above it that is there.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.exists())
}
