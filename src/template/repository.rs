//! Where templates come from, as people write it: `https://host/repo#ref`, `git@host:repo#ref`, or a folder.
use std::path::{Path, PathBuf};

use crate::error::{Fault, Result};

/// A git repository and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    /// Its address without a password, as it is written down.
    pub url: String,
    /// Which state of it.
    pub reference: Reference,
    /// A user and a password that were in the address.
    pub login: Option<Login>,
}

/// What was before the `@` of an address; the password is in no `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// Which state of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// What its default branch has now.
    Default,
    /// A branch, else a tag.
    Name(String),
    /// A commit, perhaps shortened.
    Commit(String),
}

impl Reference {
    /// Of the text after `#` or `@`: `sha-…` and 40 hexadecimal digits are commits, all else is a branch or a tag.
    ///
    /// # Errors
    /// A usage fault when git would take it for neither.
    pub fn parse(text: &str) -> Result<Self> {
        let hex = |text: &str| (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(sha) = text.strip_prefix("sha-") {
            return match hex(sha) {
                true => Ok(Self::Commit(sha.to_ascii_lowercase())),
                false => Err(Fault::usage(format!("invalid SHA format: {sha} - must be 7-40 hex characters"))),
            };
        }
        if text.len() == 40 && hex(text) {
            return Ok(Self::Commit(text.to_ascii_lowercase()));
        }
        // The rules of git check-ref-format.
        let bad = |c: char| c.is_control() || " ~^:?*[\\\u{7f}".contains(c);
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
        let fits = !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@"
            && !text.contains(bad)
            && !text.contains("..")
            && !text.contains("@{")
            && text.split('/').all(part);
        match fits {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(Fault::usage(format!("`{text}` can't be a branch's or a tag's name"))
                .hint("write a branch, a tag, or sha-COMMIT")),
        }
    }

    /// As faas-cli writes it down: a name, `sha-…`, or nothing.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Name(name) => name.clone(),
            Self::Commit(sha) => format!("sha-{sha}"),
        }
    }
}

impl Repository {
    /// Of `REPO` or `REPO#REF`; folders are looked for from `cwd`.
    ///
    /// # Errors
    /// A usage fault when it is neither an address of git nor a folder.
    pub fn parse(text: &str, cwd: &Path) -> Result<Self> {
        let text = text.trim();
        if let Some(folder) = folder(text, cwd) {
            return Ok(Self { url: folder, reference: Reference::Default, login: None });
        }
        let (base, reference) = match text.split_once('#') {
            Some((base, reference)) => (base, Reference::parse(reference)?),
            None => (text, Reference::Default),
        };
        if let Some(folder) = folder(base, cwd) {
            return Ok(Self { url: folder, reference, login: None });
        }
        if let Some((url, login)) = remote(base) {
            return Ok(Self { url, reference, login });
        }
        Err(Fault::usage(format!("the repository URL must be a valid git repo uri, not `{base}`")).hint(
            "write https://host/repo, ssh://host/repo, git@host:repo or a folder; then, perhaps, #BRANCH or #TAG",
        ))
    }

    /// The same repository in another state.
    #[must_use]
    pub fn at(&self, reference: Reference) -> Self {
        Self { reference, ..self.clone() }
    }

    /// For messages: the address and the state.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.reference.text() {
            text if text.is_empty() => self.url.clone(),
            text => format!("{}#{text}", self.url),
        }
    }
}

fn folder(text: &str, cwd: &Path) -> Option<String> {
    let path: PathBuf = cwd.join(text);
    if text.is_empty() || !path.is_dir() {
        return None;
    }
    path.canonicalize().ok()?.to_str().map(str::to_owned)
}

/// An address that git may be given: of the protocols that only talk, without a password in it.
fn remote(text: &str) -> Option<(String, Option<Login>)> {
    if text.contains("://") {
        let mut url = url::Url::parse(text).ok()?;
        let known = matches!(url.scheme(), "git" | "ssh" | "git+ssh" | "http" | "https");
        if !known || url.host_str().is_none_or(|host| host.starts_with('-')) {
            return None;
        }
        let login = url.password().map(|password| Login { user: decoded(url.username()), password: decoded(password) });
        if login.is_none() {
            return Some((text.to_owned(), None));
        }
        url.set_username("").and_then(|()| url.set_password(None)).ok()?;
        return Some((url.to_string(), login));
    }
    // The short form of ssh: user@host:path.
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    (word(user) && word(host) && !path.is_empty() && !path.starts_with('-')).then(|| (text.to_owned(), None))
}

fn decoded(text: &str) -> String {
    // A form's decoding is the one at hand; what parts a form's fields stands for itself here.
    let plain = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(plain.as_bytes()).next().map_or_else(String::new, |(k, _)| k.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Repository> {
        Repository::parse(text, Path::new("/nowhere"))
    }

    #[test]
    fn addresses_as_faas_cli_takes_them() {
        for text in [
            "https://github.com/openfaas/templates",
            "http://host:8080/t.git",
            "ssh://git@host/t",
            "git://host/t",
            "git@github.com:openfaas/templates.git",
        ] {
            let repository = parse(text).unwrap();
            assert_eq!((repository.url.as_str(), repository.reference), (text, Reference::Default));
            let pinned = parse(&format!("{text}#v1.0")).unwrap();
            assert_eq!((pinned.url.as_str(), pinned.reference), (text, Reference::Name("v1.0".into())));
        }
    }

    #[test]
    fn what_git_would_run_or_read_elsewhere_is_refused() {
        for text in
            ["", "x", "ext::sh -c id", "file:///etc", "--upload-pack=id", "-x@h:y", "a@-oProxyCommand=x:y", "ftp://h/x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_kept_out_of_the_address() {
        let repository = parse("https://me:p%40ss+1@host/t#main").unwrap();
        assert_eq!(repository.url, "https://host/t");
        assert_eq!(repository.login, Some(Login { user: "me".into(), password: "p@ss+1".into() }));
        assert!(!format!("{repository:?}").contains("p@ss"), "{repository:?}");
    }

    #[test]
    fn references() {
        assert_eq!(Reference::parse("sha-0123ABC").unwrap(), Reference::Commit("0123abc".into()));
        assert_eq!(Reference::parse("feature/x").unwrap(), Reference::Name("feature/x".into()));
        for bad in ["", "-b", "a..b", "a b", "x.lock", "a/", "sha-xyz", "a@{1}"] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
