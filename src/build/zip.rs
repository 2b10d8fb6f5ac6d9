//! Zip archives for AWS Lambda: the same template and handler as everywhere, dependencies for Lambda's platform, the
//! invoker, and a `bootstrap` that starts it; the same bytes for the same files.
use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use sha2::Digest;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

mod container;
mod invoker;

use super::folder::Temporary;
use super::foreseen::Foreseen;
use super::index::{Record, now};
use super::tree::{self, Tree};
use super::watchdog::{Machine, NAME as WATCHDOG, is_dynamic};
use super::{Built, LAMBDA_ENTRY, Options, Project, bundle, foreign, requires, step};
use crate::artifact::Artifact;
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::file::cant_write;
use crate::template::manifest::{Lambda, Native, Step};

/// How many archives of a function are kept.
const KEPT: usize = 3;
/// As `zip` does it.
const LEVEL: i64 = 6;

/// Lambda's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processor {
    X86,
    Arm,
}

impl Processor {
    /// By the function's `lambda.architecture`, else by its first platform.
    fn of(function: &Function) -> Self {
        let said = function.extra.get("lambda").and_then(|lambda| lambda.get("architecture")?.as_str());
        let platform = function.build.platforms.first().map(String::as_str);
        match said.or(platform) {
            Some(name) if name.contains("arm64") => Self::Arm,
            _ => Self::X86,
        }
    }

    /// As wheels and ELF files name it, and as Node does.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::X86 => ("x86_64", "x64"),
            Self::Arm => ("aarch64", "arm64"),
        }
    }

    /// `e_machine` of the programs that run on it.
    const fn elf(self) -> u8 {
        match self {
            Self::X86 => 0x3e,
            Self::Arm => 0xb7,
        }
    }
}

/// Builds the archive of `function`, unless it is there.
pub(super) async fn build(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Built> {
    let name = &function.name;
    let started = Instant::now();
    let looked = now();
    let tree = tree::assemble(function, project, options, false)?;
    let inputs = Inputs::of(function, &tree, project, options)?;
    let Inputs { lambda, processor, invoker, invoker_digest, container, key } = &inputs;
    let processor = *processor;
    let native = Native { requires: lambda.requires.clone(), ..Native::default() };
    let programs = requires::find(&native, name, project.env)?;
    let stamp = tree.stamp()?.to_hex().to_string();
    let content = project.index.content(key, &stamp, || tree.digest())?;
    let archives = project.cache.join("archives");
    let place = |content: &str| inputs.place(content, name, &archives);
    let built = |path: PathBuf, rebuilt, reason: String| -> Result<Built> {
        let sha256 = sha256(&path)?;
        let (entry, runtime) = (LAMBDA_ENTRY.to_owned(), lambda.runtime.clone());
        Ok(Built { artifact: Artifact::Archive { path, sha256, entry, runtime }, rebuilt, reason })
    };
    let unchanged = |path: PathBuf| {
        touch(&path);
        project.index.set(
            key,
            Record { stamp: stamp.clone(), content: content.clone(), output: String::new() },
            tree.newest(),
            looked,
        );
        built(path, false, "unchanged".into())
    };
    if !options.no_cache && place(&content).is_file() {
        return unchanged(place(&content));
    }
    let _lock = bundle::lock(project, &format!("{name}.zip"), progress).await?;
    if !options.no_cache && place(&content).is_file() {
        return unchanged(place(&content));
    }
    if let Some(watchdog) = project.watchdog.as_ref().filter(|path| is_dynamic(path)) {
        let shown = watchdog.display();
        progress
            .warn(name, &format!("{shown} is not static: on Lambda it only runs with the C library of this machine"));
    }
    progress.step(name, "building");
    for program in &programs {
        program.check_version(&native, name).await?;
    }
    let folder = Temporary::new(archives.join(format!(".tmp-{name}")));
    std::fs::create_dir_all(&folder.path).map_err(|error| cant_write(&folder.path, &error))?;
    // What is written counts, not what was there when it was looked at before.
    let content = tree.write(&folder.path)?.to_hex().to_string();
    let cache = step::cache(project, name);
    let here: &[Step] = if container.is_some() { &[] } else { &lambda.install };
    if let Some(image) = container {
        let native = tree.template.as_ref().and_then(|template| template.manifest.native.as_ref());
        let steps = native.map_or(&lambda.install, |native| &native.install);
        let steps: Vec<Step> = steps.iter().map(|one| for_processor(one, processor)).collect();
        container::run(image, &steps, &folder.path, function, processor, project, progress).await?;
    }
    for (steps, what) in [
        (here, "installing dependencies for Lambda"),
        (&lambda.build[..], "compiling for Lambda"),
        (&lambda.check[..], "checking"),
    ] {
        for one in steps {
            let one = for_processor(one, processor).filled(&[("cache", &cache)]);
            if step::applies(&one, &folder.path)? {
                step::run(&one, &folder.path, name, what, progress).await.map_err(|fault| elsewhere(fault, what))?;
            }
        }
    }
    foreign::warn(&folder.path, name, processor.elf(), processor.names().0, progress);
    let packed = invoker::packed(invoker, &invoker_digest.to_string(), &archives)?;
    let entry = folder.path.join(LAMBDA_ENTRY);
    std::fs::write(&entry, bootstrap(lambda)?).map_err(|error| cant_write(&entry, &error))?;
    executable(&entry)?;
    progress.step(name, "packing");
    let path = place(&content);
    let (from, to) = (folder.path.clone(), path.clone());
    tokio::task::spawn_blocking(move || pack(&from, &to, Some(&packed)))
        .await
        .map_err(|error| Fault::failed(format!("{name}: packing it broke off")).cause(error))??;
    project.index.set(key, Record { stamp, content, output: String::new() }, tree.newest(), looked);
    prune(&archives, name);
    built(path, true, format!("built in {}", bundle::said(started.elapsed())))
}

/// What an archive is made of besides the function's files.
struct Inputs {
    lambda: Lambda,
    processor: Processor,
    invoker: crate::template::file::File,
    invoker_digest: blake3::Hash,
    container: Option<String>,
    /// The archive's in the index.
    key: String,
}

impl Inputs {
    fn of(function: &Function, tree: &Tree, project: &Project<'_>, options: &Options) -> Result<Self> {
        let lambda = lambda(function, tree)?.clone();
        let processor = Processor::of(function);
        let invoker = invoker(&function.name, project, processor)?;
        let invoker_digest = invoker.digest()?;
        let container = container::image(function, options, &lambda)?;
        Ok(Self { lambda, processor, invoker, invoker_digest, container, key: format!("{}/zip", function.name) })
    }

    /// Where the archive lies: by everything that decides what it will be.
    fn place(&self, content: &str, name: &str, archives: &Path) -> PathBuf {
        let mut hasher = blake3::Hasher::new_derive_key("faas 1 zip archive");
        hasher.update(content.as_bytes());
        hasher.update(self.invoker_digest.as_bytes());
        hasher.update(self.processor.names().0.as_bytes());
        hasher.update(self.container.as_deref().unwrap_or_default().as_bytes());
        archives.join(format!("{name}-{}.zip", &hasher.finalize().to_hex()[..16]))
    }
}

/// What [`build()`] would make, and whether it is there already. Nothing is run.
pub(super) fn foresee(function: &Function, project: &Project<'_>, options: &Options) -> Result<Foreseen> {
    let tree = tree::assemble(function, project, options, false)?;
    let inputs = Inputs::of(function, &tree, project, options)?;
    let native = Native { requires: inputs.lambda.requires.clone(), ..Native::default() };
    requires::find(&native, &function.name, project.env)?;
    let stamp = tree.stamp()?.to_hex().to_string();
    let content = project.index.content(&inputs.key, &stamp, || tree.digest())?;
    let path = inputs.place(&content, &function.name, &project.cache.join("archives"));
    let is_there = path.is_file() && !options.no_cache;
    let sha256 = if is_there { sha256(&path)? } else { String::new() };
    let (entry, runtime) = (LAMBDA_ENTRY.to_owned(), inputs.lambda.runtime);
    let artifact = Artifact::Archive { path, sha256, entry, runtime };
    Ok(match project.index.get(&inputs.key) {
        _ if is_there => Foreseen::Kept(artifact),
        Some(known) if known.content != content => Foreseen::Built(artifact),
        _ => Foreseen::Unseen(artifact),
    })
}

fn lambda<'t>(function: &Function, tree: &'t Tree) -> Result<&'t Lambda> {
    let template = tree.template.as_ref();
    template.and_then(|template| template.manifest.lambda.as_ref()).ok_or_else(|| {
        let (name, lang) = (&function.name, &function.lang);
        Fault::unsupported(format!("{name}: lang {lang} does not say how it becomes a zip archive for Lambda"))
            .hint("choose another `lang`, give the template a `lambda:` block, or use `lambda: {package: image}`")
    })
}

/// The static invoker, when it is there and for the processor.
fn invoker(name: &str, project: &Project<'_>, processor: Processor) -> Result<crate::template::file::File> {
    use crate::template::file::{Content, File, Stamp};
    let hint = format!("put {WATCHDOG} beside the faas program, or name it in FAAS_WATCHDOG");
    let machine = match processor {
        Processor::X86 => Machine::AMD64,
        Processor::Arm => Machine::ARM64,
    };
    // One for another processor is named in the error below.
    let path = machine.watchdog(project)?.or_else(|| project.watchdog.clone()).ok_or_else(|| {
        Fault::failed(format!("{name}: its archive needs the program {WATCHDOG}, which is not there")).hint(&hint)
    })?;
    let mut head = [0; 20];
    let mut file = std::fs::File::open(&path).or_fault(|| format!("can't read {}", path.display()))?;
    file.read_exact(&mut head).or_fault(|| format!("{} is no program", path.display()))?;
    if !head.starts_with(b"\x7fELF") || head[18] != processor.elf() {
        return Err(Fault::failed(format!("{name}: {} does not run on {}", path.display(), processor.names().0))
            .cause("an archive takes the invoker along, and that must be for the function's processor")
            .hint(format!(
                "put one for it beside that as {WATCHDOG}-{}, name it in FAAS_WATCHDOG, or change `lambda.architecture`",
                processor.names().0
            )));
    }
    let metadata = std::fs::metadata(&path).or_fault(|| format!("can't read {}", path.display()))?;
    let content = Content::Disk(path.clone(), Stamp::of(&metadata));
    Ok(File { path: WATCHDOG.into(), mode: 0o755, content, kept: None })
}

fn for_processor(step: &Step, processor: Processor) -> Step {
    let (machine, cpu) = processor.names();
    let goarch = if cpu == "x64" { "amd64" } else { cpu };
    step.filled(&[("machine", machine), ("cpu", cpu), ("goarch", goarch)])
}

/// pip's and npm's own words name the package; this is the way out.
fn elsewhere(fault: Fault, what: &str) -> Fault {
    match fault.hint {
        None if what.starts_with("installing") => fault.hint(
            "a package without a build for Lambda's platform has to be built there: `lambda: {container: true}` or \
             --container does that",
        ),
        _ => fault,
    }
}

/// The script that Lambda starts: as it is by custom runtimes, by AWS_LAMBDA_EXEC_WRAPPER in managed ones. What the
/// function's own environment says wins.
fn bootstrap(lambda: &Lambda) -> Result<String> {
    let mut variables = BTreeMap::from([("fprocess", lambda.run.as_str()), ("mode", lambda.mode.as_str())]);
    variables.extend(lambda.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let mut script = "#!/bin/sh\n".to_owned();
    for (key, value) in variables {
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Fault::usage(format!("the template's environment has no name in `{key}`")));
        }
        script.push_str(&format!("[ \"${{{key}+set}}\" ] || export {key}={}\n", shell_words::quote(value)));
    }
    script.push_str(&format!("cd \"${{LAMBDA_TASK_ROOT:-/var/task}}\" && exec ./{WATCHDOG}\n"));
    Ok(script)
}

fn executable(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|error| cant_write(path, &error))
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).or_fault(|| format!("can't read {}", path.display()))?;
    Ok(sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Left out: what Python makes anew, and what installers write for themselves.
fn is_wanted(path: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let in_metadata = path.parent().is_some_and(|parent| name(parent).ends_with(".dist-info"));
    let launcher = path.starts_with(".deps/bin");
    let own = in_metadata && matches!(name(path).as_str(), "RECORD" | "direct_url.json" | "INSTALLER" | "REQUESTED");
    !own && !launcher && !path.components().any(|part| part.as_os_str() == "__pycache__")
}

/// Packs all of a folder: sorted, without folders, times or owners, executable or not.
fn pack(from: &Path, to: &Path, invoker: Option<&Path>) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| cant_write(folder, &error))?;
    write(from, std::io::BufWriter::with_capacity(1 << 18, file.as_file_mut()), invoker)?;
    file.persist(to).map_err(|error| cant_write(to, &error.error))?;
    Ok(())
}

/// How each file is packed.
fn plain() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        // 1980-01-01, the first that there is.
        .last_modified_time(DateTime::default())
}

/// `invoker` is an archive of the invoker alone, whose bytes are taken as they are.
fn write<W: Write + Seek>(from: &Path, into: W, invoker: Option<&Path>) -> Result<()> {
    let mut zip = ZipWriter::new(into);
    let plain = plain();
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.or_fault(|| format!("can't read {}", from.display()))?;
        let path = entry.path().strip_prefix(from).unwrap_or(entry.path()).to_owned();
        if entry.file_type().is_dir() || !is_wanted(&path) {
            continue;
        }
        let shown = path.to_str().ok_or_else(|| {
            Fault::failed(format!("{}: a zip archive takes no name that is not UTF-8", path.display()))
        })?;
        files.insert(shown.to_owned(), Some(entry));
    }
    if invoker.is_some() {
        files.insert(WATCHDOG.to_owned(), None);
    }
    let why = |name: &str| format!("can't pack {name}");
    for (name, entry) in files {
        let Some(entry) = entry else {
            let path = invoker.unwrap_or(from);
            invoker::copy(path, &mut zip).or_fault(|| why(&name))?;
            continue;
        };
        if entry.file_type().is_symlink() {
            let target = std::fs::read_link(entry.path()).or_fault(|| why(&name))?;
            let options = plain.unix_permissions(0o777);
            zip.add_symlink(name.as_str(), target.to_string_lossy(), options).or_fault(|| why(&name))?;
            continue;
        }
        let metadata = entry.metadata().or_fault(|| why(&name))?;
        let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let large = metadata.len() >= u64::from(u32::MAX);
        zip.start_file(name.as_str(), plain.unix_permissions(mode).large_file(large)).or_fault(|| why(&name))?;
        let mut file = std::fs::File::open(entry.path()).or_fault(|| why(&name))?;
        std::io::copy(&mut file, &mut zip).or_fault(|| why(&name))?;
    }
    let mut into = zip.finish().or_fault(|| "can't finish the archive".into())?;
    into.flush().or_fault(|| "can't finish the archive".into())
}

/// So that [`prune`] sees when it was used last.
fn touch(path: &Path) {
    if let Ok(file) = std::fs::File::options().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes all archives of the function but the newest.
fn prune(archives: &Path, name: &str) {
    let is_ours = |file: &str| {
        let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let digest = rest.and_then(|rest| rest.strip_suffix(".zip"));
        digest.is_some_and(|digest| digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(archives)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.reverse();
    for (_, old) in found.into_iter().skip(KEPT) {
        let _ = std::fs::remove_file(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text, mode) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        dir
    }

    fn packed(dir: &tempfile::TempDir) -> Vec<u8> {
        let out = tempfile::tempdir().unwrap();
        let to = out.path().join("x.zip");
        pack(dir.path(), &to, None).unwrap();
        std::fs::read(to).unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_and_in_whatever_order_they_were_made() {
        let one = folder(&[("a.py", "1", 0o600), ("b/c.sh", "2", 0o700), (".deps/x/__pycache__/y.pyc", "n", 0o644)]);
        let other = folder(&[("b/c.sh", "2", 0o755), (".deps/z.dist-info/RECORD", "n", 0o644), ("a.py", "1", 0o644)]);
        let file = std::fs::File::options().append(true).open(other.path().join("a.py")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400 * 9000)).unwrap();
        assert_eq!(packed(&one), packed(&other));
    }

    #[test]
    fn an_archive_holds_files_modes_and_links() {
        let dir = folder(&[("b", "text", 0o600), ("a/run", "#!", 0o700)]);
        std::os::unix::fs::symlink("a/run", dir.path().join("c")).unwrap();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(packed(&dir))).unwrap();
        let mut seen = Vec::new();
        for at in 0..zip.len() {
            let mut file = zip.by_index(at).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            let mode = file.unix_mode().unwrap();
            seen.push((file.name().unwrap().into_owned(), mode, text));
        }
        assert_eq!(
            seen,
            [
                ("a/run".to_owned(), 0o100_755, "#!".to_owned()),
                ("b".to_owned(), 0o100_644, "text".to_owned()),
                ("c".to_owned(), 0o120_777, "a/run".to_owned()),
            ]
        );
    }

    #[test]
    fn bootstrap_lets_the_functions_own_environment_win() {
        let lambda = Lambda { run: "python3 -c 'print(1)'".into(), mode: "http".into(), ..Lambda::default() };
        let script = bootstrap(&lambda).unwrap();
        let run = |process: Option<&str>| {
            let script = script.replace("exec ./faas-watchdog", "printf '%s/%s' \"$fprocess\" \"$mode\"");
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &script]).env("LAMBDA_TASK_ROOT", "/").env_remove("fprocess").env_remove("mode");
            if let Some(process) = process {
                command.env("fprocess", process);
            }
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        assert_eq!(run(None), "python3 -c 'print(1)'/http");
        assert_eq!(run(Some("mine")), "mine/http");
    }
}
