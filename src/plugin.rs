//! Plugins: programs in `~/.openfaas/plugins` that are called by the name of a command, and how they get there.
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Fault, OrFault, Result};

/// Where plugins are, below the home folder.
pub const FOLDER: &str = ".openfaas/plugins";
/// What a shell answers when a program can't be started.
const CANT_START: u8 = 127;

/// The plugin of that name, where there is one.
#[must_use]
pub fn find(home: Option<&OsStr>, name: &OsStr) -> Option<PathBuf> {
    let is_name = Path::new(name).file_name() == Some(name) && !name.is_empty();
    let path = Path::new(home?).join(FOLDER).join(name);
    (is_name && path.is_file()).then_some(path)
}

/// Runs a plugin in the place of this process. Comes back only when it can't be started, with the exit code for that.
#[must_use]
pub fn run(plugin: &Path, args: &[OsString]) -> u8 {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new(plugin).args(args).exec();
    crate::output::eprint_line(&format!("error: can't start the plugin {}: {error}", plugin.display()));
    CANT_START
}

/// Which image a plugin is in, and for which machine.
#[cfg(feature = "image")]
pub struct Wanted<'a> {
    /// The plugin's name, and its program's.
    pub name: &'a str,
    /// The image.
    pub image: &'a str,
    /// The system, as `linux`.
    pub os: &'a str,
    /// The machine, as `amd64`.
    pub arch: &'a str,
}

/// The largest program of a plugin.
#[cfg(feature = "image")]
const LARGEST: u64 = 512 << 20;

/// Gets a plugin out of its registry and puts it into the folder `into`: the program that has its name at the top of the
/// image, and nothing else. It is there whole or not at all.
///
/// # Errors
/// When there is no such image, not for this machine, or no such program in it.
#[cfg(feature = "image")]
pub async fn get(
    wanted: &Wanted<'_>,
    registries: &crate::registry::Registries,
    into: &Path,
    progress: &dyn crate::progress::Progress,
) -> Result<PathBuf> {
    use serde_json::Value;
    let Wanted { name, image, os, arch } = wanted;
    let talk = crate::registry::Talk { subject: name, progress };
    let reference = crate::registry::parse(name, image)?;
    let remote = registries.remote(&reference, talk).await?;
    let parsed = |body: &[u8]| -> Result<Value> {
        serde_json::from_slice(body).or_fault(|| format!("what the registry says of {image} is no JSON"))
    };
    let mut manifest = parsed(&remote.manifest(&reference, talk).await?.0)?;
    if let Some(entries) = manifest.get("manifests").and_then(Value::as_array) {
        let text = |entry: &Value, key: &str| {
            entry.pointer(&format!("/platform/{key}")).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let fits = |entry: &&Value| text(entry, "os") == *os && text(entry, "architecture") == *arch;
        let Some(entry) = entries.iter().find(fits) else {
            let have: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}/{}", text(entry, "os"), text(entry, "architecture")))
                .filter(|platform| !platform.contains("unknown"))
                .collect();
            return Err(Fault::not_found(format!("the plugin {name} is not there for {os}/{arch}"))
                .cause(format!("{image} is for {}", have.join(", ")))
                .hint("choose one by --os and --arch"));
        };
        let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
        manifest = parsed(&remote.manifest(&reference.clone_with_digest(digest), talk).await?.0)?;
    }
    let layers = manifest.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    std::fs::create_dir_all(into).or_fault(|| format!("can't make the folder {}", into.display()))?;
    let mut program = None;
    for layer in &layers {
        let digest = layer.get("digest").and_then(Value::as_str).unwrap_or_default();
        progress.step(name, "downloading");
        let blob = remote.download(&reference, digest, LARGEST, talk).await?;
        // A layer over others takes away or replaces what they have.
        match unpack(blob, name, into)? {
            Found::Program(file) => program = Some(file),
            Found::Gone => program = None,
            Found::Nothing => {}
        }
    }
    let Some(program) = program else {
        return Err(Fault::not_found(format!("there is no program `{name}` at the top of {image}"))
            .hint("look at the name; an image of a plugin has its program in the root folder"));
    };
    let path = into.join(name);
    program
        .persist(&path)
        .map_err(|error| Fault::failed(format!("can't write {}", path.display())).cause(error.error))?;
    Ok(path)
}

#[cfg(feature = "image")]
enum Found {
    Program(tempfile::NamedTempFile),
    Gone,
    Nothing,
}

/// Looks through a layer for the program, and writes it beside its place. Nothing else in it is ever written.
#[cfg(feature = "image")]
fn unpack(mut blob: std::fs::File, name: &str, into: &Path) -> Result<Found> {
    use std::io::{BufReader, Seek};
    let broken = || "a layer of the image can't be unpacked".to_owned();
    let mut magic = [0; 4];
    let length = blob.read(&mut magic).or_fault(broken)?;
    blob.rewind().or_fault(broken)?;
    let reader: Box<dyn Read> = match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(blob))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return Err(Fault::unsupported("a layer of the image is packed by zstd")
                .hint("whoever makes the plugin can push it with gzip"));
        }
        _ => Box::new(BufReader::new(blob)),
    };
    let mut archive = tar::Archive::new(reader);
    let mut found = Found::Nothing;
    for entry in archive.entries().or_fault(broken)? {
        let mut entry = entry.or_fault(broken)?;
        let path = entry.path().or_fault(broken)?;
        let path = path.strip_prefix("/").unwrap_or(&path);
        let path = path.strip_prefix("./").unwrap_or(path).to_owned();
        if path == Path::new(&format!(".wh.{name}")) || path == Path::new(".wh..wh..opq") {
            found = Found::Gone;
        }
        if path != Path::new(name) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(Fault::failed(format!("`{name}` in the image is no file, but a link or a folder")));
        }
        if entry.size() > LARGEST {
            return Err(Fault::failed(format!("`{name}` in the image is larger than {} MiB", LARGEST >> 20)));
        }
        let mut file = tempfile::Builder::new().prefix(".faas-plugin-").tempfile_in(into).or_fault(broken)?;
        std::io::copy(&mut (&mut entry).take(LARGEST), &mut file).or_fault(broken)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        file.as_file().set_permissions(mode).or_fault(broken)?;
        found = Found::Program(file);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_plugins() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(FOLDER);
        std::fs::create_dir_all(folder.join("dir")).unwrap();
        std::fs::write(folder.join("pro"), "").unwrap();
        std::fs::write(home.path().join("evil"), "").unwrap();
        let find = |name: &str| find(Some(home.path().as_os_str()), OsStr::new(name));
        assert_eq!(find("pro"), Some(folder.join("pro")));
        for name in ["", "dir", "none", "../../evil", ".", "..", "pro/"] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
