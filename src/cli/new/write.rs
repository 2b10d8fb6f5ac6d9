//! Putting a new function in its place: the handler's folder and the stack file, both or neither.
use std::io::Write;
use std::path::Path;

use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::template::Template;

/// How the names start of what is made beside its place.
const TEMPORARY: &str = ".faas-new-";

/// The folder, locked until the file is closed. Where a file system has no locks, work goes on without.
pub fn lock(folder: &Path) -> Option<std::fs::File> {
    let file = std::fs::File::open(folder).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// What is to be there afterwards.
pub struct Wanted<'a> {
    /// The folder of the stack file.
    pub root: &'a Path,
    /// The handler's.
    pub folder: &'a Path,
    /// The stack file.
    pub stack: &'a Path,
    /// What is to be in it.
    pub text: &'a str,
    /// The template.
    pub template: &'a Template,
    /// The handler's shape, where the template has several.
    pub shape: Option<&'a str>,
    /// The function's name.
    pub name: &'a str,
}

/// What a killed one has left, which nobody uses while the folder is locked.
pub fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
        }
    }
}

/// Makes the handler's folder and the stack file beside their places, then puts both there, unless somebody wants to end
/// it before.
///
/// # Errors
/// What can't be written; nothing is left of it then.
pub fn write(wanted: &Wanted<'_>, replace: bool, may_end: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let Wanted { root, folder, stack, text, template, shape, name } = wanted;
    if std::fs::symlink_metadata(folder).is_ok() {
        let shown = folder.strip_prefix(root).unwrap_or(folder).display();
        return Err(Fault::usage(format!("the folder {shown} is there already"))
            .hint("choose another name, or another folder by --handler"));
    }
    let failed = || format!("can't make the function {name} in {}", root.display());
    // Removed with everything in it unless the end is reached.
    let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(root).or_fault(failed)?;
    template.write_handler(name, *shape, &temporary.path().join("handler"))?;
    // A link stays one: the file that it leads to is what is replaced.
    let stack = &if replace { std::fs::canonicalize(stack).or_fault(failed)? } else { stack.to_path_buf() };
    let beside = stack.parent().unwrap_or(root);
    // As any new file: the umask decides who may read it.
    let plain = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY).permissions(plain).tempfile_in(beside).or_fault(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).or_fault(failed)?;
    if let Ok(there) = std::fs::metadata(stack) {
        file.as_file().set_permissions(there.permissions()).or_fault(failed)?;
    }

    may_end()?;
    let missing: Vec<&Path> = folder.ancestors().skip(1).take_while(|path| !path.exists()).collect();
    let undo = || {
        let _ = std::fs::remove_dir_all(folder);
        missing.iter().for_each(|path| drop(std::fs::remove_dir(path)));
    };
    let parent = folder.parent().unwrap_or(root);
    let put = std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::rename(temporary.path().join("handler"), folder))
        .and_then(|()| match replace {
            true => file.persist(stack).map(drop).map_err(|error| error.error),
            false => file.persist_noclobber(stack).map(drop).map_err(|error| error.error),
        });
    put.map_err(|error| {
        undo();
        Fault::failed(failed()).cause(error)
    })
}

/// Keeps what is built and what is secret out of git. That it can't be done is worth a word and no more.
pub fn ignore(root: &Path, hidden: &[&str], context: &Context) {
    let path = root.join(".gitignore");
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    let is_there = |wanted: &str| have.lines().any(|line| line.trim().trim_matches('/') == wanted);
    let missing: Vec<&str> = hidden.iter().copied().filter(|wanted| !is_there(wanted)).collect();
    if missing.is_empty() {
        return;
    }
    let gap = if have.is_empty() || have.ends_with('\n') { "" } else { "\n" };
    let added = format!("{gap}{}\n", missing.join("\n"));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(added.as_bytes())) {
        context.out.warn(format!("can't write {}: {error}", path.display()));
    }
}
