//! The platforms that images are for, and what has to fit them: the invoker, and every program in the image.
use std::fmt;
use std::path::Path;

use super::super::Project;
pub(super) use super::super::watchdog::machine;
use super::super::watchdog::{Machine, NAME as WATCHDOG};
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::template::File;
use crate::template::file::{Content, Stamp};

/// `linux/amd64` or `linux/arm64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `linux/amd64`
    Amd64,
    /// `linux/arm64`
    Arm64,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

impl Platform {
    /// This machine's.
    const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 };

    /// Those of the function, or this machine's.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unsupported`] for others.
    pub fn all(function: &Function) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for name in &function.build.platforms {
            let one = match name.trim() {
                "linux/amd64" | "linux/x86_64" => Self::Amd64,
                "linux/arm64" | "linux/aarch64" | "linux/arm64/v8" => Self::Arm64,
                other => {
                    let name = &function.name;
                    return Err(Fault::unsupported(format!("{name}: no image for {other} can be put together"))
                        .hint("linux/amd64 and linux/arm64 can be, others need a container engine"));
                }
            };
            if !all.contains(&one) {
                all.push(one);
            }
        }
        if all.is_empty() {
            all.push(Self::HERE);
        }
        Ok(all)
    }

    /// As images name it.
    #[must_use]
    pub const fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As wheels name it, as Node does, and `e_machine` of its programs.
    const fn names(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Amd64 => ("x86_64", "x64", 0x3e),
            Self::Arm64 => ("aarch64", "arm64", 0xb7),
        }
    }

    /// What stands for it in command lines.
    #[must_use]
    pub const fn words(self) -> [(&'static str, &'static str); 3] {
        let (machine, cpu, _) = self.names();
        [("machine", machine), ("cpu", cpu), ("goarch", self.architecture())]
    }

    /// The invoker for it: beside the one for this machine, with the architecture in its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn invoker(self, name: &str, project: &Project<'_>) -> Result<File> {
        let plain = project.watchdog.clone();
        let processor = match self {
            Self::Amd64 => Machine::AMD64,
            Self::Arm64 => Machine::ARM64,
        };
        let found = processor.watchdog(project)?.ok_or_else(|| {
            let fault =
                Fault::failed(format!("{name}: its image needs the program {WATCHDOG} for {self}, which is not there"));
            match (&plain, self == Self::HERE) {
                (_, true) => fault.hint(format!("put {WATCHDOG} beside the faas program, or name it in FAAS_WATCHDOG")),
                (Some(plain), false) => {
                    fault.cause(format!("{} runs on another processor", plain.display())).hint(format!(
                        "build it for {self} and put it there as {WATCHDOG}-{}, or leave that platform out",
                        self.architecture()
                    ))
                }
                (None, false) => fault.hint(format!("put {WATCHDOG}-{} beside the faas program", self.architecture())),
            }
        })?;
        let metadata = std::fs::metadata(&found).or_fault(|| format!("can't read {}", found.display()))?;
        let content = Content::Disk(found.clone(), Stamp::of(&metadata));
        Ok(File { path: WATCHDOG.into(), mode: 0o755, content, kept: None }.keeping())
    }

    /// A program in the image must be for its platform.
    ///
    /// # Errors
    /// When `from` is one for another.
    pub fn check(self, name: &str, shown: &Path, from: &Path) -> Result<()> {
        match machine(from) {
            Some(machine) if machine != self.names().2 => {
                Err(Fault::failed(format!("{name}: {} does not run on {self}", shown.display()))
                    .cause("it is a program for another processor")
                    .hint("leave that platform out, or build the function with an engine"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_those_of_the_function_each_once() {
        let mut function = Function { name: "tax".into(), ..Function::default() };
        assert_eq!(Platform::all(&function).unwrap(), [Platform::HERE]);
        function.build.platforms = vec!["linux/arm64".into(), "linux/amd64".into(), "linux/aarch64".into()];
        assert_eq!(Platform::all(&function).unwrap(), [Platform::Arm64, Platform::Amd64]);
        function.build.platforms = vec!["windows/amd64".into()];
        assert!(Platform::all(&function).unwrap_err().to_string().contains("windows/amd64"));
    }

    #[test]
    fn programs_tell_their_processor() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("x");
        let mut head = [0_u8; 64];
        head[..4].copy_from_slice(b"\x7fELF");
        head[18] = 0xb7;
        std::fs::write(&at, head).unwrap();
        assert!(Platform::Arm64.check("tax", &at, &at).is_ok());
        assert!(Platform::Amd64.check("tax", &at, &at).is_err());
        std::fs::write(&at, "#!/bin/sh\necho a script runs on all\n").unwrap();
        assert!(Platform::Amd64.check("tax", &at, &at).is_ok());
    }
}
