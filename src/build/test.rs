//! The unit tests of a function's handler: the template's `test:` steps, run in the native bundle.
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regex::Regex;

use super::{Built, Options, Project, bundle, step};
use crate::artifact::Artifact;
use crate::error::{OrFault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::manifest::Step;

/// The most of a test's output that is kept, in bytes; what comes after is counted and not kept.
const KEPT: usize = 1 << 20;

/// How a function's tests went.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// All went well.
    Passed(Tested),
    /// A step ended with another exit code than 0.
    Failed(Tested),
    /// It can't have any: why.
    None(String),
    /// There are none.
    Missing,
}

/// What was run.
#[derive(Debug, Clone, Default)]
pub struct Tested {
    /// What was printed, both streams line by line as they came.
    pub output: String,
    /// The last step's exit code; `None` when it was ended by a signal.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

/// Builds the native bundle of `function` unless it is there, and runs its tests in it.
///
/// # Errors
/// When it can't be built, or a step can't be started.
pub async fn test(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let name = &function.name;
    if function.lang.is_empty() || function.build.skip {
        return Ok(Outcome::None("it is made elsewhere".into()));
    }
    let template = project.catalogue.get(&function.lang)?;
    if template.manifest.test.is_empty() {
        return Ok(Outcome::None(format!("lang {} names no tests", function.lang)));
    }
    let Built { artifact, .. } = bundle::build(function, project, options, progress).await?;
    let Artifact::Bundle { dir, .. } = artifact else { return Ok(Outcome::None("it is no bundle".into())) };
    let cache = step::cache(project, name);
    progress.step(name, "testing");
    let paths = Paths::of(&dir, template.manifest.handler_folder(), function, project);
    run(&template.manifest.test, &dir, name, &cache, &paths, progress).await
}

async fn run(
    steps: &[Step],
    dir: &Path,
    name: &str,
    cache: &str,
    paths: &Paths,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let started = Instant::now();
    let (mut done, mut any, mut missing, mut left_out) = (Tested::default(), false, false, 0_usize);
    for one in steps {
        let one = one.filled(&[("cache", cache)]);
        if !step::applies(&one, dir)? {
            continue;
        }
        any = true;
        let before = done.output.len();
        let (status, _) = step::execute(&one.run, dir, name, None, &mut |line| {
            let line = paths.own(line);
            progress.passing(name, &line);
            if done.output.len() + line.len() < KEPT {
                done.output += &line;
                done.output.push('\n');
            } else {
                left_out += 1;
            }
        })
        .await?;
        done.code = status.code();
        missing = is_none(&one, &done.output[before..])?;
        if !status.success() {
            break;
        }
    }
    if !any || missing {
        return Ok(Outcome::Missing);
    }
    if left_out > 0 {
        done.output += &format!("… and {left_out} lines more\n");
    }
    done.took = started.elapsed();
    Ok(if done.code == Some(0) { Outcome::Passed(done) } else { Outcome::Failed(done) })
}

/// Whether a step says that there was nothing to test.
fn is_none(step: &Step, output: &str) -> Result<bool> {
    let found = |pattern: &Option<String>| match pattern {
        None => Ok(false),
        Some(pattern) => Regex::new(pattern).map(|regex| regex.is_match(output)).or_fault(|| {
            format!("`{pattern}`, by which a template knows that there are no tests, is no regular expression")
        }),
    };
    Ok(found(&step.none)? && !found(&step.some)?)
}

/// The files of the bundle that are the user's own, by the names that the user knows them by.
struct Paths {
    /// A file below the handler's folder in the bundle; `None` where no expression can be made of that.
    inside: Option<Regex>,
    /// The handler's folder, absolute.
    handler: PathBuf,
    /// The same from the project's folder.
    shown: PathBuf,
}

impl Paths {
    fn of(bundle: &Path, folder: &str, function: &Function, project: &Project<'_>) -> Self {
        let handler = project.root.join(&function.build.handler);
        let shown = handler.strip_prefix(project.root).unwrap_or(&handler).to_owned();
        let bundle = regex::escape(&bundle.display().to_string());
        let (start, below) = match folder {
            "" => (format!("{bundle}/"), String::new()),
            folder => (format!(r"(?:{bundle}/|\./)?"), format!("{}/", regex::escape(folder))),
        };
        let inside = Regex::new(&format!(r#"(^|[^\w./-])(file://)?{start}{below}([^\s"'`:,()\[\]]+)"#)).ok();
        Self { inside, handler, shown }
    }

    /// The line with the user's own paths.
    fn own<'l>(&self, line: &'l str) -> Cow<'l, str> {
        let Some(inside) = &self.inside else { return line.into() };
        inside.replace_all(line, |found: &regex::Captures<'_>| {
            let (before, file) = (&found[1], &found[3]);
            if !self.handler.join(file).exists() {
                return found[0].to_owned();
            }
            match found.get(2) {
                Some(scheme) => format!("{before}{}{}", scheme.as_str(), self.handler.join(file).display()),
                None => format!("{before}{}", self.shown.join(file).display()),
            }
        })
    }
}
