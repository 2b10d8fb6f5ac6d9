//! The files of a commit, read object by object from `git cat-file`: no name is used before it is known to be harmless.
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{Commit, Git, cant_start};
use crate::error::{Fault, OrFault, Result};

/// The most that a template may be, in bytes.
const LARGEST: u64 = 256 << 20;
/// The most files of a repository's templates.
const MOST: usize = 20_000;
/// The deepest folder.
const DEEPEST: usize = 40;

/// What is at a path.
pub enum Node {
    /// A file, and whether it may be executed.
    File(Vec<u8>, bool),
    /// A link to a place inside the template.
    Link(PathBuf),
}

/// A template's files by path.
pub type Files = BTreeMap<PathBuf, Node>;

impl Git<'_> {
    /// The names of the templates in a commit: the folders below `template/`. `None` when there is no such folder.
    ///
    /// # Errors
    /// When the objects can't be read.
    pub async fn names(&self, commit: &Commit) -> Result<Option<Vec<String>>> {
        let mut objects = self.objects(commit)?;
        let Some(entries) = objects.folder(&format!("{}:template", commit.sha)).await? else { return Ok(None) };
        Ok(Some(entries.into_iter().filter(|entry| entry.kind == Kind::Folder).map(|entry| entry.name).collect()))
    }

    /// The files of the template `name` in a commit.
    ///
    /// # Errors
    /// When there is no such template, and for everything in it that no file system should be given.
    pub async fn files(&self, commit: &Commit, name: &str) -> Result<Files> {
        let mut objects = self.objects(commit)?;
        let (mut files, mut bytes) = (Files::new(), 0);
        let mut folders = vec![(PathBuf::new(), format!("{}:template/{name}", commit.sha))];
        let refused = |path: &Path, why: &str| {
            let shown = Path::new("template").join(name).join(path);
            Fault::failed(format!("the template `{name}` can't be used"))
                .cause(format!("{:?} {why}", shown.display().to_string()))
                .hint("nothing was written; tell whoever keeps the repository")
        };
        while let Some((below, object)) = folders.pop() {
            let entries = objects.folder(&object).await?;
            let entries = entries.ok_or_else(|| Fault::not_found(format!("there is no template `{name}` there")))?;
            if below.components().count() > DEEPEST {
                return Err(refused(&below, "lies too deep"));
            }
            let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
            if let Some((one, other)) = super::super::pull::clash(&names) {
                let why = format!("and {:?} are one name where upper and lower case are the same", below.join(other));
                return Err(refused(&below.join(one), &why));
            }
            for Entry { kind, name: part, object } in entries {
                let path = below.join(&part);
                if !is_plain(&part) {
                    return Err(refused(&path, "is a name that may write elsewhere"));
                }
                if files.len() >= MOST {
                    return Err(refused(&path, &format!("is one of more than {MOST} files")));
                }
                match kind {
                    Kind::Folder => folders.push((path, object)),
                    // Another repository's commit, of which a clone without submodules has an empty folder.
                    Kind::Module => {}
                    Kind::File | Kind::Program | Kind::Link => {
                        let left = LARGEST - bytes;
                        let content = objects.blob(&object, left).await?;
                        let content = content.ok_or_else(|| {
                            refused(&path, &format!("is too large: a template may have {} MiB", LARGEST >> 20))
                        })?;
                        bytes += content.len() as u64;
                        let node = match kind {
                            Kind::Link => {
                                let to = PathBuf::from(String::from_utf8_lossy(&content).into_owned());
                                if !stays(&below, &to) {
                                    let why =
                                        format!("is a link to {:?}, out of the template", to.display().to_string());
                                    return Err(refused(&path, &why));
                                }
                                Node::Link(to)
                            }
                            kind => Node::File(content, kind == Kind::Program),
                        };
                        files.insert(path, node);
                    }
                }
            }
        }
        Ok(files)
    }

    fn objects(&self, commit: &Commit) -> Result<Objects> {
        let mut git = self.command(&commit.folder);
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = git.kill_on_drop(true).spawn().map_err(|e| cant_start(&e))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| Fault::failed("git has no pipes"))?;
        Ok(Objects { _child: child, stdin, stdout: BufReader::new(stdout) })
    }
}

/// Whether a file of this name lies in its folder on every file system, and is none that git itself would read.
fn is_plain(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let lower = lower.trim_end_matches(['.', ' ']);
    !name.is_empty()
        && !matches!(name, "." | "..")
        && !matches!(lower, ".git" | "git~1")
        && !name.contains(['/', '\\', '\0'])
        && !name.contains(char::is_control)
}

/// Whether a link in the folder `below` leads to a place inside. It may go up, which real folders do, and then down; what
/// goes up after it went down could follow another link.
fn stays(below: &Path, to: &Path) -> bool {
    let (mut depth, mut down) = (below.components().count(), false);
    for part in to.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if !down && depth > 0 => depth -= 1,
            Component::Normal(part) if part.to_str().is_some_and(is_plain) => down = true,
            _ => return false,
        }
    }
    !to.as_os_str().is_empty()
}

/// A `git cat-file` that answers one object after the other.
struct Objects {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

struct Entry {
    kind: Kind,
    name: String,
    object: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Program,
    Link,
    Module,
}

impl Objects {
    /// Asks for an object: what sort it is and how many bytes follow; `None` when there is none.
    async fn ask(&mut self, object: &str) -> Result<Option<(String, u64)>> {
        let broken = || "git can't read the repository".to_owned();
        self.stdin.write_all(format!("{object}\n").as_bytes()).await.or_fault(broken)?;
        self.stdin.flush().await.or_fault(broken)?;
        let mut line = Vec::new();
        self.stdout.read_until(b'\n', &mut line).await.or_fault(broken)?;
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, kind, size] => match size.parse() {
                Ok(size) => Ok(Some(((*kind).to_owned(), size))),
                Err(_) => Err(Fault::failed(broken())),
            },
            [.., "missing"] => Ok(None),
            _ => Err(Fault::failed(broken())),
        }
    }

    async fn body(&mut self, size: u64) -> Result<Vec<u8>> {
        let broken = || "git can't read the repository".to_owned();
        let mut bytes = vec![0; usize::try_from(size).or_fault(broken)?];
        self.stdout.read_exact(&mut bytes).await.or_fault(broken)?;
        self.stdout.read_u8().await.or_fault(broken)?;
        Ok(bytes)
    }

    /// A file's bytes; `None` when there are more than `most`. After that nothing more can be asked.
    async fn blob(&mut self, object: &str, most: u64) -> Result<Option<Vec<u8>>> {
        match self.ask(object).await? {
            Some((kind, size)) if kind == "blob" && size <= most => self.body(size).await.map(Some),
            Some((kind, _)) if kind == "blob" => Ok(None),
            _ => Err(Fault::failed("the repository is damaged: a file of it is missing")),
        }
    }

    async fn folder(&mut self, object: &str) -> Result<Option<Vec<Entry>>> {
        match self.ask(object).await? {
            Some((kind, size)) if kind == "tree" && size <= LARGEST => {
                let bytes = self.body(size).await?;
                entries(&bytes)
                    .ok_or_else(|| Fault::failed("the repository is damaged: a folder of it can't be read"))
                    .map(Some)
            }
            Some((_, size)) => {
                if size <= LARGEST {
                    self.body(size).await?;
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

/// A tree object: `MODE NAME\0HASH`, one after the other, the hash of 20 bytes.
fn entries(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|b| *b == 0)?;
        let (head, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
        let hash = rest.get(..20)?;
        let (mode, name) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        let kind = match mode {
            "40000" | "040000" => Kind::Folder,
            "120000" => Kind::Link,
            "160000" => Kind::Module,
            "100755" => Kind::Program,
            mode if mode.starts_with("100") => Kind::File,
            _ => return None,
        };
        let object = hash.iter().map(|b| format!("{b:02x}")).collect();
        entries.push(Entry { kind, name: name.to_owned(), object });
        bytes = rest.get(20..)?;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_write_elsewhere_are_known() {
        for bad in ["", ".", "..", ".git", ".GIT", ".git. ", "git~1", "a/b", "a\\b", "a\0", "a\nb"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        for good in [".gitignore", "Dockerfile", "..x", "äöü", "a b"] {
            assert!(is_plain(good), "{good:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let below = Path::new("a/b");
        for good in ["c", "../c", "../../c/d", "./c"] {
            assert!(stays(below, Path::new(good)), "{good}");
        }
        for bad in ["/etc", "../../../c", "c/../d", "", "../.git/config", "c/../../../../x"] {
            assert!(!stays(below, Path::new(bad)), "{bad}");
        }
    }

    #[test]
    fn a_damaged_tree_is_no_tree() {
        let mut tree = b"100644 a\0".to_vec();
        tree.extend([7; 20]);
        assert_eq!(entries(&tree).unwrap()[0].object, "07".repeat(20));
        assert!(entries(&tree[..15]).is_none());
        assert!(entries(b"junk").is_none());
    }
}
