//! The unit tests of a function's handler: the template's `test:` steps, run in the native bundle.
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Built, Options, Project, bundle, step};
use crate::artifact::Artifact;
use crate::error::Result;
use crate::function::Function;
use crate::progress::Progress;

/// The most of a test's output that is kept, in bytes; what comes after is counted and not kept.
const KEPT: usize = 1 << 20;

/// How a function's tests went.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// All went well.
    Passed(Tested),
    /// A step ended with another exit code than 0.
    Failed(Tested),
    /// Its template names no tests, or the handler has none: why.
    None(String),
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
    run(&template.manifest.test, &dir, name, &cache, progress).await
}

async fn run(
    steps: &[crate::template::manifest::Step],
    dir: &Path,
    name: &str,
    cache: &str,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let started = Instant::now();
    let (mut done, mut any, mut left_out) = (Tested::default(), false, 0_usize);
    for one in steps {
        let one = one.filled(&[("cache", cache)]);
        if !step::applies(&one, dir)? {
            continue;
        }
        any = true;
        let (status, _) = step::execute(&one.run, dir, name, None, &mut |line| {
            progress.line(name, line);
            if done.output.len() + line.len() < KEPT {
                done.output += line;
                done.output.push('\n');
            } else {
                left_out += 1;
            }
        })
        .await?;
        done.code = status.code();
        if !status.success() {
            break;
        }
    }
    if !any {
        return Ok(Outcome::None("it has no tests".into()));
    }
    if left_out > 0 {
        done.output += &format!("… and {left_out} lines more\n");
    }
    done.took = started.elapsed();
    Ok(if done.code == Some(0) { Outcome::Passed(done) } else { Outcome::Failed(done) })
}
