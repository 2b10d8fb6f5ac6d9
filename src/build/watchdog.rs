//! The static `faas-watchdog` that goes into images: where it is, and whether it runs in every image.
#[cfg(any(feature = "image", feature = "lambda"))]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::context::Env;

/// Its name as a file.
pub const NAME: &str = "faas-watchdog";

/// The watchdog: named by `FAAS_WATCHDOG`, beside this program, or in the cache.
pub fn find(env: &Env, cache: &Path) -> Option<PathBuf> {
    let named = env.get("FAAS_WATCHDOG").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.canonicalize().ok()?.with_file_name(NAME)));
    named.into_iter().chain(beside).chain([cache.join(NAME)]).find(|path| path.is_file())
}

/// Whether the program at `path` asks for a dynamic loader, and so for the C library that it was linked with. Told from
/// its ELF header: e_phoff, e_phentsize, e_phnum, and a program header of type PT_INTERP.
#[cfg(any(feature = "image", feature = "lambda"))]
pub fn is_dynamic(path: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let dynamic = || -> std::io::Result<bool> {
        let file = std::fs::File::open(path)?;
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return Ok(false);
        }
        let number = |from: usize, bytes: usize| {
            header[from..from + bytes].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        for n in 0..count {
            let mut kind = [0; 4];
            file.read_exact_at(&mut kind, offset + n * size)?;
            if u32::from_le_bytes(kind) == PT_INTERP {
                return Ok(true);
            }
        }
        Ok(false)
    };
    dynamic().unwrap_or(false)
}

#[cfg(all(test, any(feature = "image", feature = "lambda")))]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_nothing_are_not_dynamic_and_programs_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(!is_dynamic(&script));
        assert!(!is_dynamic(&dir.path().join("none")));
        // Test programs are linked dynamically on every Linux but those that have no other way.
        if cfg!(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static"))) {
            assert!(is_dynamic(&std::env::current_exe().unwrap()));
        }
    }
}
