//! The invoker as it lies in archives: packed once, since it is larger than most functions and the same in all of them.
use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::result::ZipResult;

use super::{WATCHDOG, plain, prune, touch};
use crate::error::{OrFault, Result};
use crate::template::file;

/// What its archives are called; no function's name starts with a dot.
const NAME: &str = ".invoker";

/// An archive of the invoker alone, made when it is not there.
///
/// # Errors
/// When it can't be read or packed.
pub(super) fn packed(invoker: &file::File, digest: &str, archives: &Path) -> Result<PathBuf> {
    let path = archives.join(format!("{NAME}-{}.zip", &digest[..16]));
    if path.is_file() {
        touch(&path);
        return Ok(path);
    }
    let why = || format!("can't pack {WATCHDOG}");
    let folder = tempfile::tempdir_in(archives).or_fault(why)?;
    let plainly = folder.path().join(WATCHDOG);
    invoker.write_to(&plainly)?;
    let mut whole = tempfile::NamedTempFile::new_in(archives).or_fault(why)?;
    let mut zip = ZipWriter::new(std::io::BufWriter::with_capacity(1 << 18, whole.as_file_mut()));
    zip.start_file(WATCHDOG, plain().unix_permissions(0o755)).or_fault(why)?;
    std::io::copy(&mut File::open(&plainly).or_fault(why)?, &mut zip).or_fault(why)?;
    zip.finish().or_fault(why)?.flush().or_fault(why)?;
    whole.persist(&path).or_fault(why)?;
    prune(archives, NAME);
    Ok(path)
}

/// Takes its bytes over as they are.
pub(super) fn copy<W: Write + Seek>(from: &Path, into: &mut ZipWriter<W>) -> ZipResult<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(from)?))?;
    let file = archive.by_index_raw(0)?;
    into.raw_copy_file(file)
}
