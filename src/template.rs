//! Templates: one folder a language, from the project's `template/` or from the store inside this binary.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Fault, OrFault, Result};

pub mod file;
pub mod git;
pub mod lock;
pub mod manifest;
pub mod pull;
mod render;
pub mod repository;
pub mod store;

pub use file::{Content, File, Stamp};
pub use manifest::Manifest;

/// The store inside this binary: `template/<lang>/…`, as in any repository of OpenFaaS templates.
static STORE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/template-store/template");
/// The store's catalogue, in the format of OpenFaaS's template store.
static CATALOGUE: &str = include_str!("../template-store/templates.json");
const MANIFEST: &str = "template.yml";
/// The folder with the shapes that a new handler may have besides that of the handler folder; no part of a build.
const SHAPES: &str = "shapes";

/// The templates that a project can use.
pub struct Catalogue {
    root: PathBuf,
    known: Mutex<BTreeMap<String, Arc<Template>>>,
}

/// A template in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its name, as `lang:` has it.
    pub name: String,
    /// The language it is for.
    pub language: String,
    /// What it is, in a few words.
    pub description: String,
    /// Where it comes from: `built in`, or the folder in the project.
    pub source: String,
    /// Whether its functions run as processes, without a container engine.
    pub native: bool,
    /// The shapes that a handler may have, the one that it has unless another is asked for first.
    pub shapes: Vec<String>,
    /// Why no test of this project ever ran it; empty when one did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unproven: String,
}

/// An entry of `templates.json`.
#[derive(Debug, Clone, Deserialize)]
struct Entry {
    template: String,
    description: String,
}

/// A template: its manifest and its files.
pub struct Template {
    /// Its name, as `lang:` has it.
    pub name: String,
    /// What its `template.yml` says.
    pub manifest: Manifest,
    /// Where it comes from.
    pub origin: Origin,
    files: Vec<File>,
    /// The files of [`SHAPES`], by paths below it.
    shapes: Vec<File>,
    /// The folders that its files lie in; `None` when links lead elsewhere.
    folders: Option<Vec<file::Folder>>,
}

/// Where a template comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The store inside this binary.
    BuiltIn,
    /// A folder in the project, absolute.
    Folder(PathBuf),
}

impl Catalogue {
    /// The templates of the project at `root`: those in `template/`, then the built-in ones.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: Mutex::default() }
    }

    /// The template for `lang`, read once.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none; a usage fault when its `template.yml` is missing or wrong.
    pub fn get(&self, lang: &str) -> Result<Arc<Template>> {
        if let Some(template) = self.known().get(lang) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(self.read(lang)?);
        Ok(Arc::clone(self.known().entry(lang.to_owned()).or_insert(template)))
    }

    /// The template `name` inside this binary, whatever the project has.
    ///
    /// # Errors
    /// When there is none.
    pub fn built_in(name: &str) -> Result<Template> {
        let dir = STORE.get_dir(name).filter(|_| is_name(name));
        let dir = dir.ok_or_else(|| Fault::not_found(format!("there is no built-in template `{name}`")))?;
        Template::from_store(name, dir)
    }

    /// Whether there is something for `lang`: a folder in the project, or a template inside this binary.
    #[must_use]
    pub fn has(&self, lang: &str) -> bool {
        is_name(lang) && (self.root.join("template").join(lang).is_dir() || is_built_in(lang))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Template>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, lang: &str) -> Result<Template> {
        if !is_name(lang) {
            return Err(Fault::usage(format!("`{lang}` is no template name"))
                .hint("a template is named by letters, digits and -_.@"));
        }
        let folder = self.root.join("template").join(lang);
        if folder.is_dir() {
            return Template::from_folder(lang, &folder);
        }
        match STORE.get_dir(lang) {
            Some(dir) => Template::from_store(lang, dir),
            None => Err(self.unknown(lang)),
        }
    }

    fn unknown(&self, lang: &str) -> Fault {
        let names: Vec<String> = self.list().into_iter().map(|summary| summary.name).collect();
        Fault::not_found(format!("there is no template `{lang}`")).code(Code::TEMPLATE_MISSING)
            .cause(format!("known are {}", names.join(", ")))
            .hint(format!(
                "choose one of these, pull one (`faas template store list`), or put your own into template/{lang}/ beside \
                 the stack file"
            ))
    }

    /// What was looked at for the templates that were read so far: files and folders with their stamps, and places where
    /// there was nothing. `None` when links make it impossible to tell.
    #[must_use]
    pub fn looked_at(&self) -> Option<Vec<(PathBuf, Option<Stamp>)>> {
        let mut looked = Vec::new();
        for (lang, template) in self.known().iter() {
            match &template.origin {
                Origin::BuiltIn => looked.push((self.root.join("template").join(lang), None)),
                Origin::Folder(_) => {
                    looked.extend(template.folders.as_ref()?.iter().map(|(path, stamp)| (path.clone(), Some(*stamp))));
                }
            }
            for file in &template.files {
                if let file::Content::Disk(path, stamp) = &file.content {
                    looked.push((path.clone(), Some(*stamp)));
                }
            }
        }
        Some(looked)
    }

    /// All templates by name. One whose `template.yml` can't be read is listed all the same.
    #[must_use]
    pub fn list(&self) -> Vec<Summary> {
        let described: BTreeMap<String, String> = serde_json::from_str::<Vec<Entry>>(CATALOGUE)
            .unwrap_or_default()
            .into_iter()
            .map(|entry| (entry.template, entry.description))
            .collect();
        let mut names: Vec<String> = STORE.dirs().filter_map(|dir| name_of(dir.path())).collect();
        if let Ok(entries) = std::fs::read_dir(self.root.join("template")) {
            let folders = entries.flatten().filter(|e| e.path().is_dir()).filter_map(|e| name_of(&e.path()));
            names.extend(folders.filter(|name| is_name(name)));
        }
        names.sort();
        names.dedup();
        let summary = |name: String| {
            let template = self.get(&name).ok();
            let built_in = template.as_ref().is_some_and(|t| t.origin == Origin::BuiltIn);
            Summary {
                language: template.as_ref().and_then(|t| t.manifest.language.clone()).unwrap_or_default(),
                description: described.get(&name).filter(|_| built_in).cloned().unwrap_or_default(),
                source: if built_in { "built in".into() } else { format!("template/{name}") },
                native: template.as_ref().is_some_and(|t| t.manifest.native.is_some()),
                shapes: template
                    .as_ref()
                    .map(|t| t.shapes().iter().map(|s| s.name.clone()).collect())
                    .unwrap_or_default(),
                unproven: template.as_ref().and_then(|t| t.manifest.unproven.clone()).unwrap_or_default(),
                name,
            }
        };
        names.into_iter().map(summary).collect()
    }
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// Whether there is a template of this name inside this binary.
#[must_use]
pub fn is_built_in(lang: &str) -> bool {
    STORE.get_dir(lang).is_some()
}

/// Whether `lang` can be a folder's name below `template/`, and nothing else.
#[must_use]
pub fn is_name(lang: &str) -> bool {
    !lang.is_empty()
        && !lang.starts_with('.')
        && lang.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
}

impl Template {
    fn from_folder(name: &str, folder: &Path) -> Result<Self> {
        let shown = format!("template/{name}/{MANIFEST}");
        let text = match std::fs::read_to_string(folder.join(MANIFEST)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Fault::usage(format!("the template `{name}` has no {MANIFEST}"))
                    .cause(format!("{shown} is not there"))
                    .hint(format!("add {shown}, or delete the folder to use the built-in template")));
            }
            Err(error) => return Err(Fault::usage(format!("can't read {shown}")).cause(error)),
        };
        let (files, folders) = file::walk_filtered(folder, folder, &format!("the template `{name}`"), &|_, _| true)?;
        let files = files.into_iter().map(File::keeping).collect();
        let manifest = Manifest::parse(&text, &shown)?;
        let (files, shapes) = apart(files, &manifest);
        let origin = Origin::Folder(folder.to_owned());
        Self { name: name.into(), manifest, origin, files, shapes, folders }.with_all_shapes()?.extended()
    }

    fn from_store(name: &str, dir: &'static Dir<'static>) -> Result<Self> {
        let manifest = dir.get_file(dir.path().join(MANIFEST)).and_then(include_dir::File::contents_utf8);
        let manifest = Manifest::parse(manifest.unwrap_or_default(), &format!("template/{name}/{MANIFEST}"))?;
        let mut files = Vec::new();
        file::embedded(dir, dir.path(), &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let (files, shapes) = apart(files, &manifest);
        let (origin, folders) = (Origin::BuiltIn, Some(Vec::new()));
        Self { name: name.into(), manifest, origin, files, shapes, folders }.with_all_shapes()?.extended()
    }

    /// Refuses a template that names a shape of which there are no files.
    fn with_all_shapes(self) -> Result<Self> {
        let missing = |shape: &&manifest::Shape| !self.shapes.iter().any(|file| file.path.starts_with(&shape.name));
        if let Some(shape) = self.manifest.shapes.iter().skip(1).find(missing) {
            let fault =
                Fault::usage(format!("the template `{}` has no files for the shape `{}`", self.name, shape.name));
            return Err(fault.hint(format!("put its handler into template/{}/{SHAPES}/{}/", self.name, shape.name)));
        }
        Ok(self)
    }

    /// The shapes that a new handler may have; the first is the one that it has unless another is asked for.
    #[must_use]
    pub fn shapes(&self) -> &[manifest::Shape] {
        &self.manifest.shapes
    }

    /// Whether the file is the starter's own, a path in the template: its handler and what differs between its shapes.
    /// Such a file is no part of the build of a handler that has none of that name.
    #[must_use]
    pub fn is_starter(&self, path: &Path) -> bool {
        let below = path.strip_prefix(self.manifest.handler_folder());
        let shaped = |below: &Path| {
            let in_shape = |file: &File| file.path.components().skip(1).eq(below.components());
            self.shapes.iter().any(in_shape)
        };
        let named = |below: &Path| self.manifest.starters.iter().any(|starter| below == Path::new(starter));
        below.is_ok_and(|below| shaped(below) || named(below))
    }

    /// The shape of that name.
    ///
    /// # Errors
    /// A usage fault that names those that there are.
    pub fn shape(&self, name: &str) -> Result<&manifest::Shape> {
        self.shapes().iter().find(|shape| shape.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.shapes().iter().map(|shape| shape.name.as_str()).collect();
            let fault = Fault::usage(format!("the template `{}` has no shape `{name}`", self.name));
            match names.as_slice() {
                [] => fault.hint("its handlers have one shape only: leave --shape out"),
                names => fault.hint(format!("its shapes are {}", names.join(", "))),
            }
        })
    }

    /// The template with what it takes from the one that it extends. Its handler folder is never mixed with the other's.
    fn extended(mut self) -> Result<Self> {
        let Some(base) = self.manifest.extends.clone() else { return Ok(self) };
        let dir = STORE.get_dir(&base).filter(|_| is_name(&base) && base != self.name).ok_or_else(|| {
            Fault::usage(format!("the template `{}` extends `{base}`, which is no other built-in template", self.name))
                .hint("`faas template list` names them")
        })?;
        let base = Self::from_store(&base, dir)?;
        let theirs = Path::new(base.manifest.handler_folder());
        self.manifest.inherit(&base.manifest);
        let ours = Path::new(self.manifest.handler_folder());
        let has_handler = self.files.iter().any(|file| file.path.starts_with(ours));
        let own: std::collections::BTreeSet<&Path> = self.files.iter().map(|file| file.path.as_path()).collect();
        let inherited: Vec<File> = base
            .files
            .iter()
            .filter(|file| !(own.contains(file.path.as_path()) || has_handler && file.path.starts_with(theirs)))
            .cloned()
            .collect();
        self.files.extend(inherited);
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self)
    }

    /// Its files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Writes the handler that a new function starts with into the folder `into`, which must not be there yet; files
    /// ending in `.tera` are rendered for the function `name`. `shape` is one of [`Self::shapes`].
    ///
    /// # Errors
    /// When a file can't be read, rendered or written.
    pub fn write_handler(&self, name: &str, shape: Option<&str>, into: &Path) -> Result<()> {
        let handler = self.manifest.handler_folder();
        let shaped = |file: &'_ File| shape.and_then(|shape| file.path.strip_prefix(shape).ok()).map(Path::to_owned);
        let over: BTreeMap<PathBuf, &File> =
            self.shapes.iter().filter_map(|file| Some((shaped(file)?, file))).collect();
        let below = self.files.iter().filter_map(|file| Some((file, file.path.strip_prefix(handler).ok()?)));
        let below = below.filter(|(_, path)| !over.contains_key(*path));
        write_all(below.chain(over.iter().map(|(path, file)| (*file, path.as_path()))), name, &self.name, into)
    }

    /// Writes the whole template into the folder `into`, as it is.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub fn copy_to(&self, into: &Path) -> Result<()> {
        for file in self.with_shapes() {
            file.write_to(&into.join(&file.path))?;
        }
        Ok(())
    }

    /// Its files and those of its shapes: the whole folder.
    pub fn with_shapes(&self) -> impl Iterator<Item = File> + '_ {
        let shaped = |file: &File| File { path: Path::new(SHAPES).join(&file.path), ..file.clone() };
        self.files.iter().cloned().chain(self.shapes.iter().map(shaped))
    }

    /// A digest of its files: paths, modes and contents.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn digest(&self) -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        for file in &self.files {
            hasher.update(file.path.as_os_str().as_encoded_bytes());
            hasher.update(&[0, u8::from(file.executable())]);
            hasher.update(file.digest()?.as_bytes());
        }
        Ok(hasher.finalize())
    }
}

/// The files of a template, and those of its shapes.
fn apart(files: Vec<File>, manifest: &Manifest) -> (Vec<File>, Vec<File>) {
    if manifest.shapes.is_empty() {
        return (files, Vec::new());
    }
    let (shapes, files): (Vec<File>, Vec<File>) = files.into_iter().partition(|file| file.path.starts_with(SHAPES));
    let below = |file: File| File { path: file.path.strip_prefix(SHAPES).unwrap_or(&file.path).to_owned(), ..file };
    (files, shapes.into_iter().map(below).collect())
}

fn write_all<'a>(files: impl Iterator<Item = (&'a File, &'a Path)>, name: &str, lang: &str, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into).or_fault(|| format!("can't make the folder {}", into.display()))?;
    for (file, path) in files {
        if path.extension().is_some_and(|extension| extension == "tera") {
            let text = render::render(&file.path, &file.content.read()?, name, lang)?;
            let to = into.join(path.with_extension(""));
            file::write(&to, text.as_bytes(), file.mode)?;
        } else {
            file.write_to(&into.join(path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_template_is_whole_and_described() {
        let catalogue = Catalogue::new(Path::new("/nowhere"));
        let names: Vec<String> = catalogue.list().into_iter().map(|summary| summary.name).collect();
        for name in &names {
            let template = catalogue.get(name).unwrap();
            let handler = template.manifest.handler_folder();
            assert!(template.files().iter().any(|f| f.path.starts_with(handler)), "{name} has no handler");
        }
        let described: Vec<Entry> = serde_json::from_str(CATALOGUE).unwrap();
        assert_eq!(described.into_iter().map(|entry| entry.template).collect::<Vec<_>>(), names);
    }

    #[test]
    fn names_that_leave_the_template_folder_are_refused() {
        let catalogue = Catalogue::new(Path::new("/nowhere"));
        for lang in ["../x", "a/b", "..", ".hidden", ""] {
            assert_eq!(catalogue.get(lang).err().map(|f| f.kind), Some(crate::error::Kind::Usage), "{lang}");
        }
    }

    #[test]
    fn a_template_of_the_project_wins() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("template/python3");
        std::fs::create_dir_all(folder.join("function")).unwrap();
        std::fs::write(folder.join(MANIFEST), "language: mine\nfprocess: cat\n").unwrap();
        std::fs::write(folder.join("function/handler.txt"), "x").unwrap();
        let template = Catalogue::new(root.path()).get("python3").unwrap();
        assert_eq!(template.manifest.language.as_deref(), Some("mine"));
        assert_eq!(template.origin, Origin::Folder(folder));
    }

    #[test]
    fn a_template_may_extend_a_built_in_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("template/mine");
        std::fs::create_dir_all(folder.join("function")).unwrap();
        std::fs::write(folder.join(MANIFEST), "language: mine\nextends: python3\n").unwrap();
        std::fs::write(folder.join("function/handler.py"), "mine").unwrap();
        let template = Catalogue::new(root.path()).get("mine").unwrap();
        assert!(template.manifest.native.is_some() && template.manifest.watchdog);
        assert_eq!(template.manifest.language.as_deref(), Some("mine"));
        let paths: Vec<&str> = template.files().iter().filter_map(|file| file.path.to_str()).collect();
        assert!(paths.contains(&"index.py"), "{paths:?}");
        let handler: Vec<_> = paths.iter().filter(|path| path.starts_with("function/")).collect();
        assert_eq!(handler, [&"function/handler.py"], "the other's handler stays out");
        std::fs::write(folder.join(MANIFEST), "language: mine\nextends: nothing\n").unwrap();
        assert!(Catalogue::new(root.path()).get("mine").is_err());
    }
}
