//! What changed in the files of functions while they are worked on.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::error::{Fault, Result};
use crate::function::Function;

/// How long files must be quiet before a change counts as done: editors and `git checkout` write several at once.
const QUIET: Duration = Duration::from_millis(25);
/// How long one change may go on.
const LONGEST: Duration = Duration::from_millis(500);
/// What is written by interpreters, editors and git, and is no part of a function.
const LEFT_OUT: [&str; 3] = [".git", "__pycache__", "4913"];

/// A watch over the files of a stack.
pub struct Watch {
    watcher: RecommendedWatcher,
    changed: UnboundedReceiver<PathBuf>,
}

/// What a change touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// The stack file itself, or a file that it takes in.
    Stack,
    /// These functions, by name.
    Functions(BTreeSet<String>),
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system gives no watch.
    pub fn new() -> Result<Self> {
        let (tell, changed) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if matters(event.kind) {
                event.paths.into_iter().for_each(|path| drop(tell.send(path)));
            }
        });
        let watcher = watcher.map_err(|error| Fault::failed("can't watch files").cause(error))?;
        Ok(Self { watcher, changed })
    }

    /// Watches the functions' handlers, the project's templates and the folder of the stack file, what is watched
    /// already too.
    ///
    /// # Errors
    /// When a folder can't be watched; on Linux there may be too many watches.
    pub fn cover(&mut self, root: &Path, functions: &[Function]) -> Result<()> {
        self.add(root, RecursiveMode::NonRecursive)?;
        let templates = root.join("template");
        if templates.is_dir() {
            self.add(&templates, RecursiveMode::Recursive)?;
        }
        let handlers = functions.iter().map(|function| &function.build.handler).filter(|handler| handler.is_dir());
        handlers.filter(|handler| *handler != root).try_for_each(|handler| self.add(handler, RecursiveMode::Recursive))
    }

    fn add(&mut self, folder: &Path, mode: RecursiveMode) -> Result<()> {
        self.watcher.watch(folder, mode).map_err(|error| {
            let too_many = matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
            let fault = Fault::failed(format!("can't watch the folder {}", folder.display())).cause(error);
            if too_many { fault.hint("raise it: sysctl fs.inotify.max_user_watches=524288") } else { fault }
        })
    }

    /// Waits for a change, and for its end; the paths.
    pub async fn next(&mut self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        match self.changed.recv().await {
            Some(path) => paths.insert(path),
            None => std::future::pending().await,
        };
        let latest = Instant::now() + LONGEST;
        while let Ok(Some(path)) = timeout_at((Instant::now() + QUIET).min(latest), self.changed.recv()).await {
            paths.insert(path);
        }
        paths
    }
}

/// Whether something was written; that something was read is no change.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        _ => false,
    }
}

/// What the changed `paths` touch of the project at `root`; `None` when nothing. `stack` is the stack file.
#[must_use]
pub fn touched(paths: &BTreeSet<PathBuf>, root: &Path, stack: &Path, functions: &[Function]) -> Option<Touched> {
    let mut names = BTreeSet::new();
    for path in paths {
        let is_ours = !path.components().any(|part| LEFT_OUT.iter().any(|name| part.as_os_str() == *name))
            && !path.to_string_lossy().ends_with('~')
            && path.extension().is_none_or(|extension| extension != "swp" && extension != "swx");
        if !is_ours {
            continue;
        }
        if path == stack {
            return Some(Touched::Stack);
        }
        let template = path.strip_prefix(root.join("template")).ok().and_then(|below| below.iter().next());
        for function in functions {
            let handler = &function.build.handler;
            let in_handler = path.strip_prefix(handler).is_ok_and(|below| {
                // Never a part of a handler, see `build::tree`.
                !["build", "template", ".secrets"].iter().any(|name| below.starts_with(name))
            });
            if in_handler || template.is_some_and(|lang| lang.to_str() == Some(function.lang.as_str())) {
                names.insert(function.name.clone());
            }
        }
    }
    (!names.is_empty()).then_some(Touched::Functions(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, lang: &str) -> Function {
        let mut function = Function { name: name.into(), lang: lang.into(), ..Function::default() };
        function.build.handler = Path::new("/p").join(name);
        function
    }

    fn of(path: &str) -> Option<Touched> {
        let functions = [function("tax", "mine"), function("vat", "node"), function("tax2", "mine")];
        touched(&[PathBuf::from(path)].into(), Path::new("/p"), Path::new("/p/stack.yml"), &functions)
    }

    fn names(names: &[&str]) -> Option<Touched> {
        Some(Touched::Functions(names.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn a_change_touches_the_function_that_it_is_in() {
        assert_eq!(of("/p/tax/handler.py"), names(&["tax"]));
        assert_eq!(of("/p/vat/lib/a.js"), names(&["vat"]));
        assert_eq!(of("/p/template/mine/index.py"), names(&["tax", "tax2"]));
        assert_eq!(of("/p/stack.yml"), Some(Touched::Stack));
    }

    #[test]
    fn what_no_function_is_made_of_touches_nothing() {
        for path in
            ["/p/README.md", "/p/tax/.git/index", "/p/tax/__pycache__/x.pyc", "/p/tax/handler.py~", "/p/tax/.h.swp"]
        {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
