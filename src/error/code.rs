//! Codes of errors: the one table of all classes that have a page, and the page itself. A code never changes its meaning,
//! and one that is no longer used is not given again.
use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use super::Kind;

/// A class of errors: a pointer into the table, since every fault has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(&'static Class);

/// What there is to tell of a class.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// Its number; the first two digits of four say what it is about.
    pub number: u16,
    /// What went wrong, in a line.
    pub title: &'static str,
    /// What that means, and how it comes.
    pub about: &'static str,
    /// What to do, each a step by itself.
    pub ways: &'static [&'static str],
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $about:literal, [$($way:literal),* $(,)?];)+) => {
        impl Code {
            $(
                #[doc = $title]
                pub const $name: Self =
                    Self(&Class { number: $number, title: $title, about: $about, ways: &[$($way),*] });
            )+

            /// All codes, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

codes! {
    FAILED = 1, "it did not work",
        "The platform, the engine or the disk said no, and what they said stands in the message. Exit code 1.",
        ["Read the part after the last colon: it is in the platform's own words.", "Run it again with `-v`, which shows each step, or `-vv`, which shows each request.", "`faas doctor` looks at everything that functions need here."];
    USAGE = 2, "the command line is wrong",
        "A flag or an argument is missing, is none that the command knows, or goes with no other that was given. Exit code 2.",
        ["`faas COMMAND --help` has the flags and an example."];
    DIFFERS = 3, "something differs",
        "`faas plan --exit-code` found that a deploy would change something. Exit code 3.",
        ["`faas deploy` makes the platform as the stack file says."];
    NOT_FOUND = 4, "it is not there",
        "The function, secret, namespace, revision or file that was named is not there. Exit code 4.",
        ["`faas list`, `faas secret list`, `faas namespace list` show what there is.", "Look at `--namespace`, `--target` and `--gateway`: it may be somewhere else."];
    UNAUTHORIZED = 5, "the platform wants other credentials",
        "The gateway, cluster, account or registry does not know who asks, or doesn't allow it. Exit code 5.",
        ["OpenFaaS: `faas login`.", "Knative: `faas doctor` prints the smallest Role that is needed.", "Lambda: the message names the action that the policy lacks.", "A registry: `docker login`, or `faas registry-login`."];
    UNSUPPORTED = 6, "this platform has no such thing",
        "What was asked for can't be had on this provider; the message says why, the hint what to do instead. Exit code 6.",
        ["`faas info` lists what the platform can do; docs/portability.md compares them."];
    TIMED_OUT = 7, "it took longer than it may",
        "What was waited for did not come in time. It may still go on where it runs. Exit code 124.",
        ["`--timeout` gives it longer.", "`faas describe NAME` and `faas logs NAME` show what it does meanwhile."];
    ENDED = 8, "it was ended from outside",
        "Ctrl-C, SIGTERM or the end of the terminal ended the command. Exit code 130, 143 or 129. What was begun can be run again: a deploy goes on where it was.",
        ["Run it again."];

    STACK_MISSING = 101, "there is no stack file",
        "The command needs a stack file: `stack.yaml` or `stack.yml` in this folder, or the one that `-f` names.",
        ["Go to the folder that it lies in, or name it: `-f shop/stack.yml`.", "`faas new NAME --lang python3` makes a function and its stack file.", "`faas import FILE` writes one of another tool's file."];
    STACK_INVALID = 102, "the stack file is wrong",
        "The file can't be read as a stack: each problem is shown with its line above the error. Nothing was changed.",
        ["Mend the marked places; `faas validate` checks the file and all its targets.", "`faas explain KEY` says what a key may be set to.", "docs/editors.md sets an editor up, so that it shows this while you write."];
    TARGET_MISSING = 103, "the stack file has no such target",
        "`--target` or `FAAS_TARGET` names an overlay that does not stand under `targets:`.",
        ["`faas target list` shows those that there are.", "`unset FAAS_TARGET`, where that is set and not meant."];
    PROVIDER_REFUSES = 104, "the functions don't fit the provider",
        "The stack file is right, and asks for something that this provider has not, or takes in another form. Nothing was changed.",
        ["Mend the marked places, or set them for the one target that has them: docs/targets.md.", "docs/portability.md says which provider takes what."];

    TEMPLATE_MISSING = 201, "there is no such template",
        "A function's `lang` names a template that is neither built in nor in the folder `template`.",
        ["`faas template list` shows what there is here, `faas template store list` what can be had.", "`faas template pull URL` gets those of a repository."];
    ENGINE_MISSING = 202, "the container engine can't be reached",
        "Images are built and run by Docker or an engine that speaks its API, and none answers.",
        ["Start it, or set `DOCKER_HOST` to where it is.", "`faas build --engine none` and provider `local` need no engine: docs/images.md.", "`faas doctor` looks for it, and says what it finds."];
    BUILD_FAILED = 203, "the build failed",
        "A step of the build ended with an error: what it printed stands above or in the message.",
        ["Look at the last lines: mostly a dependency's name, or the code itself.", "`faas build --no-cache` starts from nothing."];

    UNREACHABLE = 401, "the platform can't be reached",
        "Nothing answers at the platform's address, or its certificate is not trusted.",
        ["Look at the address: `faas info`, `--gateway`, `OPENFAAS_URL`, `provider.gateway`.", "A certificate of a private CA: `--tls-ca FILE`.", "`faas doctor` tries it step by step."];
    SECRET_MISSING = 402, "a secret is missing",
        "A function names a secret that the platform has not. Nothing was changed.",
        ["`faas secret create NAME` makes it; `faas secret list` shows those that there are."];
    NO_FUNCTION = 403, "there is no such function",
        "The platform has no function of that name in that namespace.",
        ["`faas list` shows what is deployed; `faas deploy` deploys what the stack file names.", "Look at `--namespace` and `--target`."];
    NOT_READY = 404, "the function does not come up",
        "It was deployed, and no replica of it answers: the process ended, does not listen on its port, or can't be started.",
        ["`faas logs NAME` shows its last words.", "`faas local-run NAME` runs its image on this machine.", "A slow start: `--timeout 5m`."];
    FOREIGN = 405, "something else deployed it",
        "On Knative or Lambda there is a Service or function of that name that another tool made, and faas neither overwrites nor removes what is not its own. On the other providers a function is updated whoever made it; one that bears the mark of a stack with another `name:` is taken over with a warning that names that stack.",
        ["`--adopt` takes it over.", "Give yours another name."];
    IMAGE_UNAVAILABLE = 406, "the platform can't have the image",
        "The platform was told an image that it can't pull: it was never pushed, or the platform may not read that registry.",
        ["`faas push`, or `faas up`, which builds, pushes and deploys.", "Give the platform a login for the registry: docs/secrets.md."];

    LOCAL_STOPPED = 501, "the embedded platform does not run",
        "Provider `local` is a platform on this machine, which is started by the first deploy.",
        ["`faas up` and `faas deploy` start it, and so does `faas local start`.", "`faas local status` says whether it runs and where."];
    PORT_TAKEN = 502, "the port is taken",
        "Another program listens where the embedded platform is to listen.",
        ["`faas local start --port 8081`, or `provider.gateway` in the stack file.", "End what listens there: `ss -ltnp` names it."];
}

impl Code {
    /// The code of a fault of which no more is known than its kind.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Failed => Self::FAILED,
            Kind::Usage => Self::USAGE,
            Kind::Differs => Self::DIFFERS,
            Kind::NotFound => Self::NOT_FOUND,
            Kind::Unauthorized => Self::UNAUTHORIZED,
            Kind::Unsupported => Self::UNSUPPORTED,
            Kind::TimedOut => Self::TIMED_OUT,
            Kind::Interrupted | Kind::HungUp | Kind::Terminated => Self::ENDED,
        }
    }

    /// Whether it says more than the kind of the fault does.
    #[must_use]
    pub fn is_specific(self) -> bool {
        self.number >= 100
    }

    /// As it is typed: `E0101`.
    #[must_use]
    pub fn short(self) -> String {
        format!("E{:04}", self.number)
    }

    /// The code that was typed: `FAAS-E0101`, `e101`, `E0101`.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let digits = text.strip_prefix("FAAS-").unwrap_or(&text).strip_prefix('E')?;
        let number: u16 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
        Self::ALL.iter().copied().find(|code| code.number == number)
    }

    /// Whether a text looks like a code, be it one or not.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        let text = text.trim().to_ascii_uppercase();
        let rest = text.strip_prefix("FAAS-").unwrap_or(&text).strip_prefix('E');
        rest.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    }

    /// Its page, as Markdown under a heading of this depth.
    #[must_use]
    pub fn page(self, depth: usize) -> String {
        let mut text = format!("{} {self}: {}\n\n{}\n\n", "#".repeat(depth), self.title, self.about);
        for way in self.ways {
            let _ = writeln!(text, "- {way}");
        }
        text
    }
}

impl std::ops::Deref for Code {
    type Target = Class;

    fn deref(&self) -> &Class {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAAS-E{:04}", self.number)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All pages as one document.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Errors by code\n\nMade by `faas explain --errors`. An error of one of these classes ends with its code, which `faas \
         explain E0101` explains; with `--output json` and `--log-format json`, each error has one. Codes do not change.\n",
    );
    for (hundreds, title) in [
        (0, "Of no class of their own"),
        (1, "The stack file"),
        (2, "Templates and builds"),
        (4, "Platforms"),
        (5, "The embedded platform"),
    ] {
        let _ = write!(text, "\n## {title}\n");
        for code in Code::ALL.iter().filter(|code| code.number / 100 == hundreds) {
            let _ = write!(text, "\n{}", code.page(3));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_told_apart_and_each_in_the_document() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.number < b.number));
        let text = document();
        for code in Code::ALL {
            assert!(text.contains(&format!("### {code}: ")), "{code}");
            assert!(!code.ways.is_empty() && !code.title.ends_with('.') && code.about.ends_with('.'), "{code}");
        }
        assert_eq!(Code::find("faas-e0101"), Some(Code::STACK_MISSING));
        assert_eq!(Code::find("E101"), Some(Code::STACK_MISSING));
        for no in ["E9999", "E", "101", "E+101", "environment"] {
            assert_eq!(Code::find(no), None, "{no}");
        }
        assert!(Code::is_like("E9999") && !Code::is_like("environment"));
    }
}
