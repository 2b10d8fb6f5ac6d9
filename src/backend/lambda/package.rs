//! The archive as it goes to Lambda, and what to say when it is too large for that.
use std::path::Path;

use crate::error::{Fault, OrFault, Result};

/// Bytes of an archive in a request.
const DIRECT: u64 = 50 * 1024 * 1024;
/// Bytes of it unpacked, layers included.
const UNPACKED: u64 = 250 * 1024 * 1024;
/// How many of the biggest files are named.
const SHOWN: usize = 5;

/// An archive as it goes to Lambda.
pub enum Package {
    /// In the request.
    Direct(Vec<u8>),
    /// By a bucket.
    Large(Vec<u8>),
}

/// The bytes of an archive.
///
/// # Errors
/// When it can't be read.
pub fn read(path: &Path) -> Result<Package> {
    let bytes = std::fs::read(path).or_fault(|| format!("can't read {}", path.display()))?;
    let direct = bytes.len() as u64 <= DIRECT;
    Ok(if direct { Package::Direct(bytes) } else { Package::Large(bytes) })
}

/// Looks whether Lambda takes an archive, before anything is made for it.
///
/// # Errors
/// When it can't be read, or is over Lambda's limits: then the biggest files are named.
pub fn check(name: &str, path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).or_fault(|| format!("can't read {}", path.display()))?;
    let files = sizes(std::io::BufReader::new(file)).or_fault(|| format!("{} is no zip archive", path.display()))?;
    let unpacked: u64 = files.iter().map(|(_, size)| size).sum();
    let megabytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    if unpacked <= UNPACKED {
        return Ok(());
    }
    let over = format!("it has {} MB unpacked, and Lambda takes 250", megabytes(unpacked));
    let biggest: Vec<String> =
        files.iter().take(SHOWN).map(|(file, size)| format!("{file} ({} KB)", size.div_ceil(1024))).collect();
    Err(Fault::failed(format!("{name}: {over}"))
        .cause(format!("the biggest files are {}", biggest.join(", ")))
        .hint("leave files out by a .faasignore in the handler's folder, or use `lambda: {package: image}`"))
}

/// The files of an archive and their sizes, the biggest first.
fn sizes(from: impl std::io::Read + std::io::Seek) -> zip::result::ZipResult<Vec<(String, u64)>> {
    let mut archive = zip::ZipArchive::new(from)?;
    let mut files = Vec::with_capacity(archive.len());
    for at in 0..archive.len() {
        let file = archive.by_index_raw(at)?;
        files.push((file.name()?.into_owned(), file.size()));
    }
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(files: &[(&str, usize)]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for (name, size) in files {
            zip.start_file(*name, options).unwrap();
            zip.write_all(&vec![0; *size]).unwrap();
        }
        file.write_all(&zip.finish().unwrap().into_inner()).unwrap();
        file
    }

    #[test]
    fn one_that_is_too_large_names_its_biggest_files() {
        let small = archive(&[("a.py", 10)]);
        assert!(matches!(read(small.path()).unwrap(), Package::Direct(bytes) if !bytes.is_empty()));
        check("tax", small.path()).unwrap();
        let large = archive(&[("a.py", 10), ("model.bin", 251 * 1024 * 1024)]);
        let Err(fault) = check("tax", large.path()) else { panic!("it is taken") };
        assert!(fault.message.contains("252 MB unpacked"), "{fault}");
        assert!(fault.cause.unwrap().starts_with("the biggest files are model.bin (257024 KB), a.py (1 KB)"));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"no zip").unwrap();
        let Err(fault) = check("tax", file.path()) else { panic!("it is taken") };
        assert!(fault.message.contains("is no zip archive"), "{fault}");
    }
}
