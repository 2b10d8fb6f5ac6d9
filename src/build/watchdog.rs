//! The static `faas-watchdog` that goes into images and archives: where it is, for which processor, and whether it runs in
//! every image.
mod release;

#[cfg(any(feature = "image", feature = "lambda"))]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Project;
use crate::context::Env;
use crate::error::Result;

/// Its name as a file.
pub const NAME: &str = "faas-watchdog";

/// The watchdog: named by `FAAS_WATCHDOG`, beside this program, or in the cache.
pub fn find(env: &Env, cache: &Path) -> Option<PathBuf> {
    let named = env.get("FAAS_WATCHDOG").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.canonicalize().ok()?.with_file_name(NAME)));
    named.into_iter().chain(beside).chain([cache.join(NAME)]).find(|path| path.is_file())
}

/// A processor that images and archives are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// What files for it are called: as images name it, and as the kernel does.
    pub names: [&'static str; 2],
    /// `e_machine` of its programs.
    elf: u16,
}

impl Machine {
    /// x86_64.
    pub const AMD64: Self = Self { names: ["amd64", "x86_64"], elf: 0x3e };
    /// aarch64.
    pub const ARM64: Self = Self { names: ["arm64", "aarch64"], elf: 0xb7 };
    /// Others that images may be for, should somebody build an invoker for them.
    const OTHERS: [Self; 6] = [
        Self { names: ["arm", "armv7l"], elf: 0x28 },
        Self { names: ["386", "i686"], elf: 0x03 },
        Self { names: ["ppc64le", "ppc64le"], elf: 0x15 },
        Self { names: ["riscv64", "riscv64"], elf: 0xf3 },
        Self { names: ["loong64", "loongarch64"], elf: 0x102 },
        // Read as if it were little-endian, as all others are.
        Self { names: ["s390x", "s390x"], elf: 0x1600 },
    ];
    /// This one's.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::ARM64 } else { Self::AMD64 };

    /// The one that images call so.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::AMD64, Self::ARM64].into_iter().chain(Self::OTHERS).find(|machine| machine.names[0] == name)
    }

    /// The watchdog for it: the project's when it fits, one beside that, beside this program or in the cache with the
    /// processor in its name, or that of the release.
    ///
    /// # Errors
    /// When that of the release can't be fetched, or is another.
    pub fn watchdog(self, project: &Project<'_>) -> Result<Option<PathBuf>> {
        let named = |path: &Path| {
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or(NAME).to_owned();
            self.names.map(|name| path.with_file_name(format!("{file}-{name}")))
        };
        let exe = std::env::current_exe().and_then(|exe| exe.canonicalize()).ok();
        let beside = exe.map(|exe| exe.with_file_name(NAME));
        let all = project.watchdog.iter().cloned().chain(project.watchdog.as_deref().into_iter().flat_map(named));
        let all = all.chain(beside.as_deref().into_iter().flat_map(named)).chain(named(&project.cache.join(NAME)));
        match all.into_iter().find(|path| machine(path) == Some(self.elf)) {
            Some(path) => Ok(Some(path)),
            None => release::get(self.names[0], project.env, &project.cache),
        }
    }
}

/// `e_machine` of an ELF file; `None` for all others.
pub fn machine(path: &Path) -> Option<u16> {
    use std::io::Read;
    let mut head = [0; 20];
    std::fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    head.starts_with(b"\x7fELF").then(|| u16::from_le_bytes([head[18], head[19]]))
}

/// Whether it is a script, which runs on every processor.
pub fn is_script(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok_and(|()| head == *b"#!")
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
