//! `faas test`: the unit tests of handlers, run where the functions run.
use clap::Args;
use serde::Serialize;

use super::build::parallel;
use super::{Global, stack_file};
use crate::build::test::{Outcome, test};
use crate::build::{Options, Project};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::output::{self, progress};
use crate::progress::Progress;
use crate::runtime;
use crate::stack::Stack;
use crate::template::Catalogue;

/// Run the unit tests of the functions' handlers
#[derive(Args)]
#[command(after_help = "Examples:\n  faas test\n  faas test tax\n  faas test --filter 'tax*' --output json")]
pub struct Test {
    /// The functions to test [default: all of the stack]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many at a time
    #[arg(long, default_value_t = parallel(), value_name = "N", hide_default_value = true, value_parser = super::values::parallel)]
    parallel: usize,
}

/// A function's tests in the result.
#[derive(Serialize)]
struct Line {
    name: String,
    lang: String,
    outcome: &'static str,
    /// The exit code; null when nothing was run or a signal ended it.
    code: Option<i32>,
    seconds: f64,
    output: String,
    /// There could be tests, and there are none.
    #[serde(skip)]
    missing: bool,
}

impl Test {
    /// Runs it.
    ///
    /// # Errors
    /// A stack that is wrong; every function that can't be built or whose tests fail.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let Stack { origin, configuration, mut functions, .. } =
            stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        if let Some(missing) = self.names.iter().find(|name| !functions.iter().any(|f| f.name == **name)) {
            return Err(Fault::not_found(format!("there is no function `{missing}` in the stack file")));
        }
        if !self.names.is_empty() {
            functions.retain(|function| self.names.contains(&function.name));
        }
        super::template::missing::TemplateFlags::default().complete(
            &functions,
            &configuration,
            &origin.root,
            context,
        )?;
        let catalogue = Catalogue::new(&origin.root);
        let project = Project::new(context, &origin.root, &configuration.copy, &catalogue);
        let progress = progress::for_output(&context.out);
        let results = runtime::block_on(async {
            use futures_util::StreamExt;
            let one = async |function| (function, tested(function, &project, progress.as_ref()).await);
            Ok(futures_util::stream::iter(&functions).map(one).buffered(self.parallel.max(1)).collect::<Vec<_>>().await)
        })?;
        let (mut lines, mut faults) = (Vec::new(), Vec::new());
        for (function, result) in results {
            match result {
                Ok(outcome) => lines.push(line(function, outcome)),
                Err(fault) => faults.push(fault),
            }
        }
        context.out.result(&lines, || lines.iter().map(said).collect())?;
        let failed = lines.iter().filter(|line| line.outcome == "failed").count();
        if failed > 0 {
            let all = functions.len();
            faults.push(Fault::failed(format!("the tests of {failed} of {all} functions failed")));
        }
        let missing: Vec<&str> = lines.iter().filter(|line| line.missing).map(|line| line.name.as_str()).collect();
        if !missing.is_empty() {
            faults.push(
                Fault::failed(format!("no tests were found for {}", missing.join(", ")))
                    .hint("`faas new NAME --lang LANG` makes a function with a test to begin with; `faas test NAME` tests one alone"),
            );
        }
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => Err(Fault::failed(format!(
                "{} of {} functions failed",
                functions.len().min(faults.len()),
                functions.len()
            ))
            .cause(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))),
        }
    }
}

async fn tested(function: &Function, project: &Project<'_>, progress: &dyn Progress) -> Result<Outcome> {
    let name = &function.name;
    let result = test(function, project, &Options::default(), progress).await;
    match &result {
        Ok(Outcome::Passed(tested)) => progress.done(name, &format!("passed in {:.1}s", tested.took.as_secs_f64())),
        Ok(Outcome::Failed(_)) => progress.failed(name, "its tests failed"),
        Ok(Outcome::None(why)) => progress.done(name, &format!("not tested: {why}")),
        Ok(Outcome::Missing) => progress.failed(name, "it has no tests"),
        Err(_) => progress.failed(name, "it can't be tested"),
    }
    result
}

fn line(function: &Function, outcome: Outcome) -> Line {
    let missing = matches!(outcome, Outcome::Missing);
    let (outcome, tested, why) = match outcome {
        Outcome::Passed(tested) => ("passed", tested, None),
        Outcome::Failed(tested) => ("failed", tested, None),
        Outcome::None(why) => ("none", Default::default(), Some(why)),
        Outcome::Missing => ("none", Default::default(), Some("no tests found".to_owned())),
    };
    Line {
        name: function.name.clone(),
        lang: function.lang.clone(),
        outcome,
        code: tested.code,
        seconds: (tested.took.as_secs_f64() * 1000.0).round() / 1000.0,
        output: why.unwrap_or(tested.output),
        missing,
    }
}

/// A function's result for people: what its tests printed, under a line of its own.
fn said(line: &Line) -> String {
    if line.outcome == "none" {
        return format!("{}: not tested: {}\n", line.name, line.output);
    }
    let code = line.code.map_or("ended by a signal".into(), |code| format!("exit code {code}"));
    let mut text = format!("{}: {} ({code}, {:.1}s)\n", line.name, line.outcome, line.seconds);
    for printed in line.output.lines() {
        text += &format!("  {}\n", output::printable(printed));
    }
    text
}
