//! `template.yml`: faas-cli's fields, and the `native:` block that says how to run without a container engine.
use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::Deserialize;

use crate::artifact::RunSpec;
use crate::error::{Fault, Result};
use crate::problem::{Place, Problem};

/// What a template says about itself. Keys that are not ours are left alone, as templates of the OpenFaaS store have
/// some of their own.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Manifest {
    /// The language, for people.
    pub language: Option<String>,
    /// A built-in template whose files and fields it takes, where it has none of its own.
    pub extends: Option<String>,
    /// The process that the watchdog in the image starts.
    pub fprocess: Option<String>,
    /// Names for sets of packages, taken by `--build-option`.
    #[serde(default)]
    pub build_options: Vec<BuildOption>,
    /// Shown by `faas new`.
    pub welcome_message: Option<String>,
    handler_folder: Option<String>,
    /// The shapes that its handlers can have. The first is that of the handler folder; each other one is a folder
    /// `shapes/NAME`, whose files are laid over it.
    #[serde(default)]
    pub shapes: Vec<Shape>,
    /// Files of the handler folder that are an example, which `faas new` copies: a build without a file of that name of the
    /// user's own fails, and never runs the example. Where there are shapes, theirs are examples already.
    #[serde(default)]
    pub starters: Vec<String>,
    /// Whether it was run nowhere by this project's tests, and why, for whoever chooses a template.
    pub unproven: Option<String>,
    /// Whether the image needs our `faas-watchdog` beside its Dockerfile.
    #[serde(default)]
    pub watchdog: bool,
    /// How it runs as a process; `None` when it needs a container engine.
    pub native: Option<Native>,
    /// How its image is put together without a container engine; `None` when it can't be.
    pub image: Option<Image>,
    /// How it becomes a zip archive for AWS Lambda; `None` when it can't.
    pub lambda: Option<Lambda>,
    /// How its handlers are tested: a command line, a step or some of them, run in the native bundle.
    #[serde(default, deserialize_with = "steps")]
    pub test: Vec<Step>,
}

/// The keys of [`Manifest`].
const KEYS: [&str; 14] = [
    "language",
    "extends",
    "fprocess",
    "build_options",
    "welcome_message",
    "handler_folder",
    "shapes",
    "starters",
    "unproven",
    "watchdog",
    "native",
    "image",
    "lambda",
    "test",
];

/// A shape that handlers can have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// What `faas new --shape` takes: `request`, `event`, `server`, `lambda`.
    pub name: String,
    /// What a handler of that shape looks like, in a few words.
    pub description: String,
}

/// A name for a set of packages.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BuildOption {
    /// What `--build-option` takes.
    pub name: String,
    /// What goes into `ADDITIONAL_PACKAGE`.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// How functions of a template run as processes. In command lines of `install`, `check` and `test`, `{cache}` stands for a
/// folder of the function's own that outlives its bundles, for compilers that reuse what they made before.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Native {
    /// Programs that must be there, perhaps with the oldest version that will do: `python3>=3.9`.
    #[serde(default)]
    pub requires: Vec<String>,
    /// How to get what is required, for the message that says it is missing.
    pub get: Option<String>,
    /// What installs the dependencies, in order, run in the bundle's folder.
    #[serde(default)]
    pub install: Vec<Step>,
    /// What compiles the function, in order, run in the bundle's folder.
    #[serde(default)]
    pub build: Vec<Step>,
    /// What looks for mistakes before anything is deployed, run in the bundle's folder.
    #[serde(default)]
    pub check: Vec<Step>,
    /// The command line.
    pub run: String,
    /// The invoker's mode: `http` (default), `streaming` or `classic`.
    #[serde(default = "http")]
    pub mode: String,
    /// Environment; the function's own wins.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// A path that answers 2xx once the process is ready.
    pub ready_path: Option<String>,
}

/// How an image is put together without a container engine: what `native` says is laid over a base image. In command lines
/// `{machine}` stands for `x86_64` or `aarch64`, `{cpu}` for `x64` or `arm64`, `{goarch}` for `amd64` or `arm64`, `{cache}` is
/// as in [`Native`], `{home}` is the user's home, and `{NAME}` is a variable of the base image's environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The base image, unless the build argument `BASE` names one; `scratch` for none.
    pub base: String,
    /// What installs the dependencies for the base image, in order. Without any, or when the base has not the variables
    /// that they name, it is what `native` says.
    #[serde(default)]
    pub install: Vec<Step>,
    /// What compiles the function for the base image, in order. A language whose `native` compiles needs it.
    #[serde(default)]
    pub build: Vec<Step>,
    /// The command line, when it is not that of `native`.
    pub run: Option<String>,
    /// Environment; over that of `native`, and below the function's own.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The files and folders that are needed to run; all when there is none.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// How functions of a template become zip archives for AWS Lambda. In command lines `{machine}` stands for `x86_64` or
/// `aarch64`, `{cpu}` for `x64` or `arm64`, `{goarch}` for `amd64` or `arm64`, `{cache}` is as in [`Native`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lambda {
    /// The managed runtime, as `python3.13`, or `provided.al2023`.
    pub runtime: String,
    /// Programs that must be there to build it.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What installs the dependencies for Lambda's platform, in order, run in the archive's folder.
    #[serde(default)]
    pub install: Vec<Step>,
    /// The image in which the dependencies are installed where that is asked for, by what `native` says: it has Lambda's
    /// libraries and the language's tools.
    pub container: Option<String>,
    /// What compiles the function for Lambda's platform, in order, run in the archive's folder.
    #[serde(default)]
    pub build: Vec<Step>,
    /// What looks for mistakes before anything is deployed.
    #[serde(default)]
    pub check: Vec<Step>,
    /// The command line that the invoker starts on Lambda.
    pub run: String,
    /// The invoker's mode: `http` (default), `streaming` or `classic`.
    #[serde(default = "http")]
    pub mode: String,
    /// Environment; the function's own wins.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

fn http() -> String {
    "http".into()
}

/// A command, perhaps only when a file asks for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Written")]
pub struct Step {
    /// The command line, split as a shell splits words.
    pub run: String,
    /// Only when this file is there and holds more than blanks and `#` comments.
    pub when: Option<String>,
    /// And only when this regular expression is found in that file.
    pub matches: Option<String>,
    /// And not when this file is there.
    pub unless: Option<String>,
    /// A command that must work before `run` is tried.
    pub probe: Option<String>,
    /// What to do when `probe` or `run` does not work.
    pub hint: Option<String>,
    /// Of tests: this regular expression is found in what is printed where there were none.
    pub none: Option<String>,
    /// Of tests: and this one, then, is not.
    pub some: Option<String>,
}

fn steps<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Vec<Step>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Steps {
        Many(Vec<Step>),
        One(Step),
    }
    Ok(match Steps::deserialize(from)? {
        Steps::Many(steps) => steps,
        Steps::One(step) => vec![step],
    })
}

impl Step {
    /// The same with words in braces replaced: `[("cache", "/a/b")]`.
    #[must_use]
    pub fn filled(&self, words: &[(&str, &str)]) -> Self {
        let fill = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
        };
        Self {
            run: fill(&self.run),
            probe: self.probe.as_deref().map(fill),
            hint: self.hint.as_deref().map(fill),
            ..self.clone()
        }
    }
}

/// A step as it is written: a command line alone, or a map.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Line(String),
    Map(Map),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    run: String,
    when: Option<String>,
    matches: Option<String>,
    unless: Option<String>,
    probe: Option<String>,
    hint: Option<String>,
    none: Option<String>,
    some: Option<String>,
}

impl From<Written> for Step {
    fn from(written: Written) -> Self {
        match written {
            Written::Line(run) => {
                Self { run, when: None, matches: None, unless: None, probe: None, hint: None, none: None, some: None }
            }
            Written::Map(Map { run, when, matches, unless, probe, hint, none, some }) => {
                Self { run, when, matches, unless, probe, hint, none, some }
            }
        }
    }
}

impl Manifest {
    /// Reads a `template.yml`; `shown` is its name in messages.
    ///
    /// # Errors
    /// A usage fault that points at the place.
    pub fn parse(text: &str, shown: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Fault::usage(format!("{shown} is empty")).hint("it needs at least `language:` and `fprocess:`"));
        }
        let manifest: Self = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map(|at| place(text, shown, at.line(), at.column()));
            Fault::usage(format!("{shown} can't be used")).problems(vec![Problem::error("", said(&error)).at(place)])
        })?;
        let handler = Path::new(manifest.handler_folder());
        let inside = handler.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || handler.as_os_str().is_empty() {
            let place = find(text, shown, "handler_folder");
            let problem = Problem::error("handler_folder", "`handler_folder` must be a folder inside the template");
            return Err(Fault::usage(format!("{shown} can't be used")).problems(vec![problem.at(place)]));
        }
        let native = manifest.native.as_ref().map(|native| ("native.mode", &native.mode));
        let lambda = manifest.lambda.as_ref().map(|lambda| ("lambda.mode", &lambda.mode));
        for (field, mode) in native.into_iter().chain(lambda) {
            if matches!(mode.as_str(), "http" | "streaming" | "classic") {
                continue;
            }
            let message = format!("`{mode}` is no mode of the invoker");
            let problem = Problem::error(field, message).hint("use http, streaming or classic");
            let place = find(text, shown, "mode");
            return Err(Fault::usage(format!("{shown} can't be used")).problems(vec![problem.at(place)]));
        }
        Ok(manifest)
    }

    /// Keys at the top of a `template.yml` that are nearly ours: slips, most likely, where those of other tools are not.
    #[must_use]
    pub fn slips(text: &str, shown: &str) -> Vec<Problem> {
        let keys =
            text.lines().filter(|line| !line.starts_with([' ', '#', '-'])).filter_map(|line| line.split_once(':'));
        keys.map(|(key, _)| key.trim_end())
            .filter(|key| !KEYS.contains(key))
            .filter_map(|key| {
                let is_near = |ours: &&str| strsim::damerau_levenshtein(key, ours) <= (key.len() / 3).clamp(1, 2);
                let near = KEYS.into_iter().find(is_near)?;
                let problem = Problem::error(key, format!("`{key}` is no key of a template"));
                Some(problem.hint(format!("did you mean `{near}`?")).at(find(text, shown, key)))
            })
            .collect()
    }

    /// Takes what it does not say from the template that it extends.
    pub(super) fn inherit(&mut self, base: &Self) {
        let Self { language, extends: _, fprocess, build_options, welcome_message, handler_folder, .. } = self;
        for (own, inherited) in [
            (language, &base.language),
            (fprocess, &base.fprocess),
            (welcome_message, &base.welcome_message),
            (handler_folder, &base.handler_folder),
        ] {
            if own.is_none() {
                own.clone_from(inherited);
            }
        }
        if build_options.is_empty() {
            build_options.clone_from(&base.build_options);
        }
        if self.starters.is_empty() {
            self.starters.clone_from(&base.starters);
        }
        // An image is put together by what `native` says, so one that is not for the other stays behind.
        if self.image.is_none() && self.native.is_none() {
            self.image.clone_from(&base.image);
        }
        if self.native.is_none() {
            self.native.clone_from(&base.native);
        }
        if self.lambda.is_none() {
            self.lambda.clone_from(&base.lambda);
        }
        if self.test.is_empty() {
            self.test.clone_from(&base.test);
        }
        if self.image.is_none() {
            self.image.clone_from(&base.image);
        }
        self.watchdog |= base.watchdog;
    }

    /// The folder in the build that the handler goes into, relative.
    #[must_use]
    pub fn handler_folder(&self) -> &str {
        self.handler_folder.as_deref().unwrap_or("function")
    }
}

impl Native {
    /// How the invoker runs it.
    #[must_use]
    pub fn run_spec(&self) -> RunSpec {
        RunSpec {
            command: self.run.clone(),
            mode: self.mode.clone(),
            environment: self.environment.clone(),
            ready_path: self.ready_path.clone(),
        }
    }
}

/// The parser's words without its own rendering of the place.
fn said(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    // The parser's advice is for whoever writes the program, not the file.
    if line.contains("Option<String>") {
        return "a name or a text is missing here: each line is `key: value`".into();
    }
    let end = line.find(" at line ").unwrap_or(line.len());
    line[..end].to_owned()
}

fn place(text: &str, file: &str, line: u64, column: u64) -> Place {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let shown = text.lines().nth(line - 1).unwrap_or_default();
    Place { file: file.into(), line, column, length: 1, text: Arc::from(shown), skipped: 0 }
}

fn find(text: &str, file: &str, key: &str) -> Option<Place> {
    let line = text.lines().position(|line| line.trim_start().starts_with(&format!("{key}:")))?;
    let shown = text.lines().nth(line)?;
    let column = shown.len() - shown.trim_start().len() + 1;
    Some(Place { length: key.len(), ..place(text, file, line as u64 + 1, column as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_pointed_at() {
        let text = "language: x\nnative:\n  requires: []\n  rum: cat\n";
        let fault = Manifest::parse(text, "template/x/template.yml").unwrap_err();
        let place = fault.problems[0].place.clone().unwrap();
        assert_eq!((place.line, &*place.text), (4, "  rum: cat"), "{fault:?}");
        assert!(fault.problems[0].message.contains("rum"), "{fault:?}");
    }

    #[test]
    fn a_missing_key_is_told_in_words_for_its_writer() {
        let fault = Manifest::parse("language: x\n: bad\n", "template/x/template.yml").unwrap_err();
        assert!(fault.problems[0].message.contains("is missing here"), "{fault:?}");
    }

    #[test]
    fn slips_are_told_from_keys_of_other_tools() {
        let text = "language: go\nfproces: x\nmount_ssh: true\nnativ:\n  run: cat\n# imag: x\n";
        let slips = Manifest::slips(text, "t");
        let hints: Vec<_> = slips.iter().filter_map(|slip| slip.hint.as_deref()).collect();
        assert_eq!(hints, ["did you mean `fprocess`?", "did you mean `native`?"]);
        assert_eq!(slips[1].place.as_ref().map(|place| (place.line, place.length)), Some((4, 5)));
    }

    #[test]
    fn keys_of_other_tools_are_left_alone() {
        let text = "language: go\nfprocess: ./handler\nmount_ssh: true\nsomething: [1]\n";
        assert_eq!(Manifest::parse(text, "t").unwrap().fprocess.as_deref(), Some("./handler"));
    }

    #[test]
    fn handler_folders_outside_the_template_are_refused() {
        for folder in ["../x", "/etc", "a/../../b", "''"] {
            let fault = Manifest::parse(&format!("language: x\nhandler_folder: {folder}\n"), "t").unwrap_err();
            assert_eq!(fault.problems[0].place.as_ref().map(|p| p.line), Some(2), "{folder}");
        }
    }

    #[test]
    fn a_step_is_a_line_or_a_map() {
        let text = "native:\n  run: x\n  install:\n    - one two\n    - {run: three, when: f.txt}\n";
        let native = Manifest::parse(text, "t").unwrap().native.unwrap();
        assert_eq!(native.install[0].run, "one two");
        assert_eq!(native.install[1].when.as_deref(), Some("f.txt"));
        assert_eq!(native.mode, "http");
    }

    #[test]
    fn tests_are_a_line_or_steps_and_words_in_braces_are_filled() {
        let one = Manifest::parse("test: make -C {cache} test\n", "t").unwrap();
        assert_eq!(one.test[0].filled(&[("cache", "/c")]).run, "make -C /c test");
        let many = Manifest::parse("test:\n  - a\n  - {run: b, when: f}\n", "t").unwrap();
        assert_eq!((many.test.len(), many.test[1].when.as_deref()), (2, Some("f")));
    }
}
