//! Commits of git repositories, in a cache that projects share. The user's own `git` fetches them, so that proxies, ssh
//! keys and credential helpers are what they are everywhere else; nothing is ever checked out: [`tree`] reads the objects.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::repository::{Reference, Repository};
use crate::context::Env;
use crate::error::{Fault, OrFault, Result};

pub mod tree;

/// No repository of templates takes more on the disk, in bytes.
const LARGEST: u64 = 512 << 20;
/// How often the size is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The most memory that git may take, in KiB: it keeps the first answer of an HTTP server whole, however long it is.
const MEMORY: u64 = 1 << 20;
/// After so many seconds without a byte from an HTTP server, git gives up.
const SILENCE: &str = "60";
/// No repository of templates takes longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// What git says of itself is kept up to this.
const SAID: u64 = 64 << 10;

/// The way to git, and the folder that repositories are kept in.
pub struct Git<'a> {
    env: &'a Env,
    cache: PathBuf,
    /// Whether it may ask the user for a password.
    asks: bool,
}

/// A commit that is in the cache.
pub struct Commit {
    /// Its whole hash.
    pub sha: String,
    /// The repository's folder in the cache.
    pub folder: PathBuf,
    /// Why this is the commit of last time; `None` when it is what is meant now.
    pub stale: Option<String>,
    /// Nobody else writes to the folder until this is closed.
    _lock: std::fs::File,
}

impl<'a> Git<'a> {
    /// With the user's environment; `cache` is the folder of all that can be made again.
    #[must_use]
    pub fn new(env: &'a Env, cache: &Path, asks: bool) -> Self {
        Self { env, cache: cache.join("templates"), asks }
    }

    /// The commit that a repository's state is, or `pinned`; nothing is fetched for a commit that is in the cache. Unless it
    /// must be the `newest`, that of last time does where the repository can't be asked.
    ///
    /// # Errors
    /// When git is missing or can't get it, and no commit of last time is there, or does.
    pub async fn commit(&self, repository: &Repository, pinned: Option<&str>, newest: bool) -> Result<Commit> {
        let digest = blake3::hash(repository.url.as_bytes()).to_hex();
        let folder = self.cache.join(format!("{}.git", &digest.as_str()[..32]));
        let lock = self.open(&folder).await?;
        let done = |sha: String, stale| Commit { sha, folder: folder.clone(), stale, _lock: lock };
        let reference = pinned.map_or_else(|| repository.reference.clone(), |sha| Reference::Commit(sha.to_owned()));
        if let Reference::Commit(sha) = &reference {
            if let Some(sha) = self.known(&folder, sha).await? {
                return Ok(done(sha, None));
            }
            self.by_hash(repository, sha, &folder).await?;
            let known = self.known(&folder, sha).await?;
            return known.map(|sha| done(sha, None)).ok_or_else(|| {
                Fault::not_found(format!("there is no commit {sha} in {}", repository.url))
                    .hint("look at the commit; one that no branch and no tag leads to may be gone")
            });
        }
        let key = blake3::hash(reference.text().as_bytes()).to_hex();
        let local = format!("refs/faas/{}", &key.as_str()[..32]);
        let fetched = match &reference {
            Reference::Name(name) => {
                match self.fetch(repository, &format!("+refs/heads/{name}:{local}"), true, &folder).await {
                    Err(fault) if is_missing(&fault) => {
                        self.fetch(repository, &format!("+refs/tags/{name}:{local}"), true, &folder).await
                    }
                    done => done,
                }
            }
            _ => self.fetch(repository, &format!("+HEAD:{local}"), true, &folder).await,
        };
        match fetched {
            Ok(()) => match self.known(&folder, &local).await? {
                Some(sha) => Ok(done(sha, None)),
                None => Err(Fault::failed(format!("{} is no commit", repository.shown()))),
            },
            Err(fault) if is_missing(&fault) => {
                let name = reference.text();
                Err(Fault::not_found(match name.is_empty() {
                    true => format!("{} has no commits", repository.url),
                    false => format!("{} has neither a branch nor a tag `{name}`", repository.url),
                })
                .hint(format!("look at them: git ls-remote {}", repository.url)))
            }
            Err(fault) if fault.kind == crate::error::Kind::Failed => match self.known(&folder, &local).await? {
                Some(_) if newest => Err(fault.hint(
                    "what was pulled last time is in the cache: with `--frozen` the commits of template.lock come from it",
                )),
                Some(sha) => Ok(done(sha, Some(fault.to_string()))),
                None => Err(fault),
            },
            Err(fault) => Err(fault),
        }
    }

    /// The folder of a repository in the cache, made when it is not there, and held.
    async fn open(&self, folder: &Path) -> Result<std::fs::File> {
        let cant = || format!("can't use the cache {}", self.cache.display());
        std::fs::create_dir_all(&self.cache).or_fault(cant)?;
        let lock = std::fs::File::create(folder.with_extension("lock")).or_fault(cant)?;
        // Where a file system has no locks, work goes on without. Another process may take its time.
        let wait = tokio::task::spawn_blocking(move || (lock.lock().is_ok(), lock));
        let (held, lock) = wait.await.or_fault(cant)?;
        if held {
            left_behind(folder);
        }
        if !folder.join("HEAD").is_file() {
            // All that a bare repository is, which spares starting git for it. HEAD is what tells that it is whole.
            for below in ["objects", "refs"] {
                std::fs::create_dir_all(folder.join(below)).or_fault(cant)?;
            }
            std::fs::write(folder.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
                .or_fault(cant)?;
            std::fs::write(folder.join("HEAD"), "ref: refs/heads/none\n").or_fault(cant)?;
        }
        Ok(lock)
    }

    /// The whole hash of a commit in the cache, by hash or by reference.
    async fn known(&self, folder: &Path, name: &str) -> Result<Option<String>> {
        let mut git = self.command(folder);
        git.args(["rev-parse", "--quiet", "--verify", "--end-of-options", &format!("{name}^{{commit}}")]);
        let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().await.map_err(|e| cant_start(&e))?;
        let sha = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && is_hash(&sha)).then_some(sha))
    }

    /// Fetches a commit: alone where the server gives it, else all that it may be in.
    async fn by_hash(&self, repository: &Repository, sha: &str, folder: &Path) -> Result<()> {
        if sha.len() == 40 {
            let alone = self.fetch(repository, &format!("+{sha}:refs/faas/commits/{sha}"), true, folder).await;
            if alone.is_ok() {
                return Ok(());
            }
        }
        let all = ["+refs/heads/*:refs/faas/heads/*", "+refs/tags/*:refs/faas/tags/*"];
        self.fetch(repository, &all.join(" "), false, folder).await
    }

    async fn fetch(&self, repository: &Repository, what: &str, shallow: bool, folder: &Path) -> Result<()> {
        let mut git = self.limited(folder);
        if let Some(login) = &repository.login {
            // By the environment, which nobody else sees, and only when the host asks for it.
            let host =
                url::Url::parse(&repository.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
            git.env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("credential.{host}.helper"))
                .env(
                    "GIT_CONFIG_VALUE_0",
                    "!f() { echo \"username=$FAAS_GIT_USER\"; echo \"password=$FAAS_GIT_PASSWORD\"; }; f",
                )
                .env("FAAS_GIT_USER", &login.user)
                .env("FAAS_GIT_PASSWORD", &login.password);
        }
        git.args(["fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]);
        match shallow {
            true => drop(git.arg("--depth=1")),
            false if folder.join("shallow").is_file() => drop(git.arg("--unshallow")),
            false => {}
        }
        git.arg("--end-of-options").arg(&repository.url).args(what.split(' '));
        git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = git.spawn().map_err(|e| cant_start(&e))?;
        let stderr = child.stderr.take();
        let said = async move {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = (&mut stderr).take(SAID).read_to_end(&mut text).await;
                // Whatever is too much is read and dropped, so that git doesn't wait for it.
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let too_large = async {
            loop {
                tokio::time::sleep(LOOK).await;
                if size(folder) > LARGEST {
                    break;
                }
            }
        };
        let cant = || Fault::failed(format!("can't fetch {}", repository.shown()));
        let (said, status) = tokio::select! {
            done = async { tokio::join!(said, child.wait()) } => done,
            () = too_large => {
                // Dropping the child ends it; what it has brought is of no use.
                let _ = std::fs::remove_dir_all(folder);
                return Err(Fault::usage(format!("{} is larger than {} MiB", repository.url, LARGEST >> 20))
                    .hint("that can't be a repository of templates: look at the address"));
            }
            () = tokio::time::sleep(LONGEST) => {
                return Err(cant().cause(format!("it has not ended after {} minutes", LONGEST.as_secs() / 60)));
            }
        };
        let status = status.or_fault(|| "can't wait for git".into())?;
        if status.success() {
            return Ok(());
        }
        // The shell's word for it.
        if status.code() == Some(127) {
            return Err(cant_start(&std::io::ErrorKind::NotFound.into()));
        }
        if said.contains("Out of memory") || said.contains("out of memory") {
            return Err(Fault::usage(format!("{} answers with more than {} MiB", repository.url, MEMORY >> 10))
                .hint("that can't be a repository of templates: look at the address"));
        }
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let cause = lines.iter().find_map(|line| line.strip_prefix("fatal: ")).or(lines.last().copied());
        let cause = crate::output::printable(cause.unwrap_or("git said nothing"));
        Err(cant()
            .cause(cause)
            .hint("look at the address, the network and the login; git is asked, with its own settings"))
    }

    /// The same for what comes from others: it may take no more than so much memory, nor wait forever. macOS knows no limit
    /// of memory.
    fn limited(&self, folder: &Path) -> Command {
        let git = self.command(folder);
        let git = git.as_std();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -d {MEMORY} 2>/dev/null; exec \"$0\" \"$@\"")).arg(git.get_program());
        shell.args(git.get_args()).env_clear();
        shell.envs(git.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if self.env.get("GIT_HTTP_LOW_SPEED_LIMIT").is_none() && self.env.get("GIT_HTTP_LOW_SPEED_TIME").is_none() {
            shell.env("GIT_HTTP_LOW_SPEED_LIMIT", "1").env("GIT_HTTP_LOW_SPEED_TIME", SILENCE);
        }
        shell
    }

    /// `git` in a folder of the cache, deaf to what the user's shell or a hook says of another repository.
    fn command(&self, folder: &Path) -> Command {
        let mut git = Command::new("git");
        let foreign = |name: &str| {
            matches!(name, "GIT_DIR" | "GIT_WORK_TREE" | "GIT_INDEX_FILE" | "GIT_OBJECT_DIRECTORY" | "GIT_COMMON_DIR")
                || matches!(name, "GIT_ALTERNATE_OBJECT_DIRECTORIES" | "GIT_NAMESPACE" | "GIT_CEILING_DIRECTORIES")
        };
        git.env_clear().envs(self.env.iter().filter(|(name, _)| !foreign(name)));
        git.env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh").env("LC_ALL", "C");
        if !self.asks {
            git.env("GIT_TERMINAL_PROMPT", "0");
            if self.env.get("GIT_SSH_COMMAND").is_none() && self.env.get("GIT_SSH").is_none() {
                git.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
            }
        }
        git.arg("--git-dir").arg(folder);
        for setting in ["core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "protocol.version=2"] {
            git.args(["-c", setting]);
        }
        git
    }
}

/// Takes away what a git that was killed has left: its locks, which would keep every other from fetching, and packs that
/// it was at. Nobody else is at work in the folder.
fn left_behind(folder: &Path) {
    let loose = |entry: &walkdir::DirEntry| entry.depth() == 2 && entry.file_name().len() == 2;
    let all = walkdir::WalkDir::new(folder).into_iter().filter_entry(|entry| !loose(entry));
    for entry in all.flatten().filter(|entry| entry.file_type().is_file()) {
        let name = entry.file_name().as_encoded_bytes();
        if name.ends_with(b".lock") || name.starts_with(b"tmp_") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_missing(fault: &Fault) -> bool {
    fault.cause.as_ref().is_some_and(|cause| cause.contains("couldn't find remote ref"))
}

fn cant_start(error: &std::io::Error) -> Fault {
    let fault = Fault::failed("can't start git, which fetches templates").cause(error);
    match error.kind() {
        std::io::ErrorKind::NotFound => fault.hint("install git; built-in templates need none (`faas template list`)"),
        _ => fault,
    }
}

fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    files.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}
