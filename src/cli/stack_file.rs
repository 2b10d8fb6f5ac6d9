//! Finding and reading the stack file for a command: by `-f` (a file, a URL, `-` for stdin), else in this folder.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Global, several};
use crate::context::Context;
use crate::error::{Code, Fault, OrFault, Result};
use crate::fetch;
use crate::runtime;
use crate::stack::{self, MOST_BYTES, Options, Origin, Stack};

/// The bytes of a stack file and where they come from.
pub struct Document {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Where they come from.
    pub origin: Origin,
    /// Whether it lies in a folder of this machine, so that what it names can be looked at.
    pub is_file: bool,
}

/// The stack that the flags name, its warnings told; `None` when they name none and this folder has none.
///
/// # Errors
/// No such file; everything wrong with it; no function selected.
pub fn load(context: &Context, global: &Global) -> Result<Option<Stack>> {
    let Some(document) = read(context, global)? else { return Ok(None) };
    load_noting(context, global, &document, &RefCell::default()).map(Some)
}

/// As [`load`], of a document that was read before; the files that it names and that were read are added to `files`.
///
/// # Errors
/// Everything wrong with it; no function selected.
pub fn load_noting(
    context: &Context,
    global: &Global,
    document: &Document,
    files: &RefCell<Vec<PathBuf>>,
) -> Result<Stack> {
    let target = several::one(global)?;
    let stack = parse_noting(context, global, document, target.as_deref(), files)?;
    for warning in &stack.warnings {
        context.out.problem(warning);
    }
    Ok(stack)
}

/// The stack in a document, with an overlay of it.
///
/// # Errors
/// Everything wrong with it; no function selected.
pub fn parse(context: &Context, global: &Global, document: &Document, target: Option<&str>) -> Result<Stack> {
    parse_noting(context, global, document, target, &RefCell::default())
}

fn parse_noting(
    context: &Context,
    global: &Global,
    document: &Document,
    target: Option<&str>,
    files: &RefCell<Vec<PathBuf>>,
) -> Result<Stack> {
    let more = variables(context, global, document, target, files)?;
    let lookup = |name: &str| context.env.raw(name).or_else(|| more.get(name).map(String::as_str)).map(str::to_owned);
    let read = |path: &Path| {
        files.borrow_mut().push(path.to_owned());
        let bytes = read_file(path)?;
        String::from_utf8(bytes)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it isn't UTF-8 text"))
    };
    let options = Options {
        lookup: &lookup,
        substitute: global.envsubst,
        target,
        strict: global.strict,
        filter: global.filter.as_deref(),
        regex: global.regex.as_deref(),
        read: &read,
    };
    stack::parse(&document.bytes, document.origin.clone(), &options)
}

/// Variables for `${…}` that the environment has not: those of `--env-file`, else of `.env.TARGET` and then `.env` beside
/// the stack file. They are for the stack file alone, and reach no function by themselves.
fn variables(
    context: &Context,
    global: &Global,
    document: &Document,
    target: Option<&str>,
    files: &RefCell<Vec<PathBuf>>,
) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if !global.envsubst {
        return Ok(found);
    }
    let root = &document.origin.root;
    let named =
        target.filter(|name| !name.is_empty() && !name.contains(['/', '\\'])).map(|name| format!(".env.{name}"));
    let usual = || named.into_iter().chain([".env".to_owned()]).map(|name| (root.join(name), false));
    let paths: Vec<(PathBuf, bool)> = match &global.env_file {
        Some(path) => vec![(context.absolute(path), true)],
        None if document.is_file => usual().collect(),
        None => Vec::new(),
    };
    for (path, must) in paths {
        // That it is not there may change, too.
        files.borrow_mut().push(path.clone());
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) if !must && error.kind() == std::io::ErrorKind::NotFound => continue,
            // A folder of that name is somebody's Python.
            Err(_) if !must && path.is_dir() => continue,
            Err(error) => return Err(Fault::usage(format!("can't read {}", path.display())).cause(error)),
        };
        // As editors on Windows begin their files.
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        for pair in dotenvy::from_read_iter(bytes) {
            let (name, value) = pair.map_err(|error| {
                // The parser's message shows the line, and that may be a password.
                let at = match &error {
                    dotenvy::Error::LineParse(line, _) => {
                        let text = String::from_utf8_lossy(bytes);
                        text.lines().position(|have| have.trim() == line.trim()).map(|n| format!(" (line {})", n + 1))
                    }
                    _ => None,
                };
                Fault::usage(format!("{} is no file of variables{}", path.display(), at.unwrap_or_default()))
                    .hint("each line is NAME=VALUE; quote what has blanks: NAME=\"a value\"")
            })?;
            found.entry(name).or_insert(value);
        }
    }
    Ok(found)
}

/// The stack file that the flags name, or that of this folder; `None` when there is neither.
///
/// # Errors
/// A file or URL is named and can't be read.
pub fn read(context: &Context, global: &Global) -> Result<Option<Document>> {
    let here = || context.cwd.clone();
    match global.yaml.as_deref().filter(|f| !f.is_empty()) {
        None => {
            let Some(path) = stack::find(&context.cwd) else { return Ok(None) };
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            read_path(&path, name).map(Some)
        }
        Some("-") => {
            let mut bytes = Vec::new();
            limited(std::io::stdin().lock(), &mut bytes).or_fault(|| "can't read the stack file from stdin".into())?;
            Ok(Some(Document { bytes, origin: Origin { name: "stdin".into(), root: here() }, is_file: false }))
        }
        Some(url) if url.contains("://") => {
            let (name, bytes) = runtime::block_on(fetch(url))?;
            Ok(Some(Document { bytes, origin: Origin { name, root: here() }, is_file: false }))
        }
        Some(name) => {
            let path = context.absolute(Path::new(name));
            if !path.is_dir() {
                return read_path(&path, name.into()).map(Some);
            }
            let found = stack::find(&path).ok_or_else(|| {
                Fault::usage(format!("`{name}` is a folder without a stack.yaml or stack.yml"))
                    .hint("name a file, or make one there: `faas new NAME --lang python3`")
            })?;
            let file = PathBuf::from(name).join(found.file_name().unwrap_or_default());
            read_path(&found, file.display().to_string()).map(Some)
        }
    }
}

/// The fault for a command that needs a stack file where there is none.
#[must_use]
pub fn missing() -> Fault {
    Fault::usage("there is no stack.yaml or stack.yml in this folder")
        .code(Code::STACK_MISSING)
        .hint("make one with `faas new NAME --lang python3`, or name one with `-f FILE`")
}

fn read_path(path: &Path, name: String) -> Result<Document> {
    let bytes = read_file(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::usage(format!("there is no stack file `{name}`"))
            .code(Code::STACK_MISSING)
            .hint("look at the name, or make one with `faas new NAME --lang python3`"),
        _ => Fault::failed(format!("can't read the stack file `{name}`")).cause(error),
    })?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    Ok(Document { bytes, origin: Origin { name, root }, is_file: true })
}

/// A file's bytes; of one that is too big only as many as show that.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata().map_or(0, |m| m.len());
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).min(MOST_BYTES) + 1);
    limited(file, &mut bytes)?;
    Ok(bytes)
}

fn limited(from: impl Read, into: &mut Vec<u8>) -> std::io::Result<usize> {
    from.take(MOST_BYTES as u64 + 1).read_to_end(into)
}

/// The URL, without a password in it, and what it answers.
async fn fetch(url: &str) -> Result<(String, Vec<u8>)> {
    let request =
        fetch::Request { url, what: "a stack file", most: MOST_BYTES, timeout: Duration::from_secs(60), etag: None };
    let document = fetch::get(request).await?;
    Ok((document.name, document.bytes.unwrap_or_default()))
}
