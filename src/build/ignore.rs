//! `.dockerignore` and `.faasignore`, as Docker reads them: paths from the folder's root, the last match wins, and what
//! is left out above can be taken in below.
use std::borrow::Cow;
use std::path::Path;

use regex::Regex;

use crate::error::{Fault, Result};

/// The patterns of an ignore file. The rules are those of moby's `patternmatcher` and `ignorefile`.
#[derive(Default)]
pub struct Ignore(Vec<Pattern>);

struct Pattern {
    /// `!`: takes in what an earlier pattern left out.
    keep: bool,
    regex: Regex,
}

impl Ignore {
    /// The patterns in the file `path`; none when it is not there.
    ///
    /// # Errors
    /// When it can't be read, or a pattern is wrong; `shown` is how messages name the file.
    pub fn read(path: &Path, shown: &str) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes), shown),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Fault::failed(format!("can't read {shown}")).cause(error)),
        }
    }

    /// The patterns in the text of a file.
    ///
    /// # Errors
    /// When a pattern is wrong.
    pub fn parse(text: &str, shown: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            // A `#` counts in the first column only: names may start with one.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let wrong = |cause: &dyn std::fmt::Display| {
                let number = number + 1;
                Fault::usage(format!("{shown}:{number}: the pattern `{}` is wrong", line.trim())).cause(cause)
            };
            let (keep, pattern) =
                line.trim().strip_prefix('!').map_or((false, line.trim()), |rest| (true, rest.trim()));
            if pattern.is_empty() {
                return Err(wrong(&"`!` needs a pattern after it"));
            }
            let regex = Regex::new(&translated(&clean(pattern))).map_err(|error| wrong(&error))?;
            patterns.push(Pattern { keep, regex });
        }
        Ok(Self(patterns))
    }

    /// Whether something below a folder that is left out may be taken in again, so that it must be looked through.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|pattern| pattern.keep)
    }

    /// Whether the path (relative to the root) is left out.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let text: Cow<'_, str> = path.to_string_lossy();
        let matches = |pattern: &Pattern| {
            pattern.regex.is_match(&text) || text.match_indices('/').any(|(at, _)| pattern.regex.is_match(&text[..at]))
        };
        self.0.iter().rev().find(|pattern| matches(pattern)).is_some_and(|pattern| !pattern.keep)
    }
}

/// The pattern as Go's `filepath.Clean` leaves it, without a slash at its start.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The pattern as a regular expression: `*` and `?` stay within a name, `**` goes over any number of folders.
fn translated(pattern: &str) -> String {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                regex += if rest.peek().is_none() { ".*" } else { "(.*/)?" };
            }
            '*' => regex += "[^/]*",
            '?' => regex += "[^/]",
            '[' | ']' | '-' | '^' => regex.push(c),
            '\\' => regex += &regex::escape(&rest.next().unwrap_or('\\').to_string()),
            c => regex += &regex::escape(&c.to_string()),
        }
    }
    regex + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, paths: &[(&str, bool)]) {
        let ignore = Ignore::parse(text, ".dockerignore").unwrap();
        for (path, covered) in paths {
            assert_eq!(ignore.covers(Path::new(path)), *covered, "{path} by {text:?}");
        }
    }

    #[test]
    fn patterns_count_from_the_root_and_cover_what_is_below() {
        check(
            "# comment\n*/node_modules\nsecret\ndocs/**/*.md\n!docs/keep.md\n*.log\n/top\n./a/../b\n",
            &[
                ("function/node_modules/a/b.js", true),
                ("a/b/node_modules/c.js", false),
                ("secret/x", true),
                ("function/secret", false),
                ("docs/a/b.md", true),
                ("docs/c.md", true),
                ("docs/keep.md", false),
                ("x.log", true),
                ("function/x.log", false),
                ("top/x", true),
                ("b", true),
                ("a", false),
            ],
        );
    }

    /// The examples of Docker's documentation and of moby's own tests.
    #[test]
    fn mobys_examples_hold() {
        check("**", &[("file", true), ("dir/file", true)]);
        check("**/", &[("file", true), ("dir/file", true)]);
        check("dir/**", &[("dir/file", true), ("dir/dir2/file", true), ("file", false)]);
        check("**/dir", &[("dir/file", true), ("dir2/dir/file", true), ("dir2/file", false)]);
        check("**file", &[("file", true), ("dir/file", true), ("fileman", false)]);
        check("a[b-d]e", &[("ae", false), ("ace", true), ("aae", false)]);
        check("a[^b-d]e", &[("ace", false), ("aze", true)]);
        check("a\\*b", &[("a*b", true), ("ab", false), ("axb", false)]);
        check("abc.def", &[("abcxdef", false), ("abc.def", true)]);
        check("ab{c,d}", &[("abc", false), ("ab{c,d}", true)]);
        check("*\n!README.md\nREADME-secret.md", &[("x", true), ("README.md", false), ("README-secret.md", true)]);
        check(
            "*.md\n!README*.md\nREADME-secret.md",
            &[("a.md", true), ("READMEx.md", false), ("README-secret.md", true)],
        );
        check("util\n!util/docker\n", &[("util/x", true), ("util/docker/y", false)]);
        check(" #x\n", &[("#x", true)]);
    }

    #[test]
    fn a_wrong_pattern_is_named_with_its_line() {
        let fault = Ignore::parse("ok\na[\n", ".dockerignore").err().unwrap();
        assert!(fault.message.contains(".dockerignore:2: the pattern `a[`"), "{fault}");
        assert!(Ignore::parse("!\n", "x").is_err());
    }
}
