//! Files of keys and secrets: written whole, and with their mode from the first byte on.
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use crate::error::{Fault, OrFault, Result};

/// The mode of what only its owner may read.
pub const PRIVATE: u32 = 0o600;
/// The mode of what anybody may read.
pub const PUBLIC: u32 = 0o644;
/// No file of keys or secrets is larger.
const LARGEST: u64 = 16 << 20;

/// Writes a file, over another only with `replace`; folders on the way are made for its owner alone.
///
/// # Errors
/// When it can't be written, or is there and may not be replaced.
pub fn write(path: &Path, shown: &Path, bytes: &[u8], mode: u32, replace: bool) -> Result<()> {
    let cant = || format!("can't write {}", shown.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).or_fault(cant)?;
    let mut file = tempfile::Builder::new().prefix(".faas-").tempfile_in(folder).or_fault(cant)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).or_fault(cant)?;
    file.write_all(bytes).or_fault(cant)?;
    if replace {
        return file.persist(path).map(drop).map_err(|error| Fault::failed(cant()).cause(error.error));
    }
    file.persist_noclobber(path).map(drop).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(shown),
        _ => Fault::failed(cant()).cause(error.error),
    })
}

/// The file is there, and what it holds may be all that opens something else.
pub fn taken(shown: &Path) -> Fault {
    Fault::usage(format!("{} is there already", shown.display())).hint(
        "name another file with -o, or replace it with --overwrite: what was sealed or signed with it is lost then",
    )
}

/// Gives a file a name of its own beside it, `KEY.old`, or with a number where that is taken; the name.
///
/// # Errors
/// When it can't be renamed.
pub fn put_aside(path: &Path, shown: &Path) -> Result<PathBuf> {
    let named = |path: &Path, n: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(if n == 0 { ".old".to_owned() } else { format!(".old.{n}") });
        PathBuf::from(name)
    };
    let n = (0..).find(|n| !named(path, *n).exists()).unwrap_or_default();
    std::fs::rename(path, named(path, n)).or_fault(|| format!("can't put {} aside", shown.display()))?;
    Ok(named(shown, n))
}

/// Reads a file whole.
///
/// # Errors
/// When it is not there, can't be read or is too large.
pub fn read(path: &Path, shown: &Path) -> Result<Zeroizing<Vec<u8>>> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no file {}", shown.display())),
        _ => Fault::failed(format!("can't read {}", shown.display())).cause(error),
    })?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes).or_fault(|| format!("can't read {}", shown.display()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::usage(format!("{} is larger than {} MiB", shown.display(), LARGEST >> 20)));
    }
    Ok(bytes)
}

/// The same, as text.
///
/// # Errors
/// The same, and when it is no text.
pub fn text(path: &Path, shown: &Path) -> Result<Zeroizing<String>> {
    let bytes = read(path, shown)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::usage(format!("{} is no text", shown.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}
