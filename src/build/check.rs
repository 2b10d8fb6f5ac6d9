//! What is wrong with functions' builds that shows before anything is built, each thing at its field.
use std::collections::HashSet;
use std::path::Path;

use super::{Options, Project, tree};
use crate::artifact::ArtifactKind;
use crate::error::{Code, Fault, Kind};
use crate::function::Function;
use crate::problem::Problem;
use crate::stack::nearest;

/// Problems told at most.
const MOST: usize = 20;

/// A problem, and what sort of failure building all the same would be.
pub struct Wrong {
    /// The function's name.
    pub function: String,
    /// What sort of failure.
    pub kind: Kind,
    /// What is wrong; without its place.
    pub problem: Problem,
}

/// Looks at the functions, of which each becomes what `kind` says: their templates, handlers, copied paths and build
/// options. A language that several lack is told once.
pub fn check(
    functions: &[&Function],
    kind: impl Fn(&Function) -> ArtifactKind,
    project: &Project<'_>,
    options: &Options,
) -> Vec<Wrong> {
    let mut found = Vec::new();
    let mut langs = HashSet::new();
    for function in functions {
        if found.len() >= MOST {
            break;
        }
        let mut add = |kind, problem| found.push(Wrong { function: function.name.clone(), kind, problem });
        let at = |field: &str| format!("functions.{}.{field}", function.name);
        let kind = kind(function);
        if function.lang.is_empty() || function.build.skip {
            continue;
        }
        if let (ArtifactKind::Image, Some(image)) = (kind, function.build.image.as_deref())
            && !image.is_empty()
            && !image.contains('/')
        {
            let name = image.split([':', '@']).next().unwrap_or(image);
            let message = format!("`{image}` names no registry, and so means docker.io/library/{name}");
            let hint = format!("put the registry that the platform pulls from before it: `REGISTRY/ACCOUNT/{image}`");
            add(Kind::Usage, Problem::warning(at("image"), message).hint(hint));
        }
        let missing = |path: &Path| if path.exists() { "is no folder" } else { "isn't there" };
        let handler = &function.build.handler;
        if !handler.as_os_str().is_empty() && !handler.is_dir() {
            let shown = handler.strip_prefix(project.root).unwrap_or(handler).display();
            let message = format!("the handler `{shown}` of `{}` {}", function.name, missing(handler));
            let hint = "paths are relative to the stack file's folder";
            add(Kind::Usage, Problem::error(at("handler"), message).hint(hint));
        } else if let Err(fault) = tree::leads_out(function, project, false) {
            add(fault.kind, problem(at("handler"), &fault));
        } else if std::fs::read_dir(handler).is_ok_and(|mut files| files.next().is_none()) {
            let shown = handler.strip_prefix(project.root).unwrap_or(handler).display();
            let message = format!("the handler `{shown}` of `{}` is empty", function.name);
            let hint = "put the function's code there: `faas new` makes a function with its first lines";
            add(Kind::Usage, Problem::error(at("handler"), message).hint(hint));
        }
        for (field, paths) in [(at("copy"), &function.build.copy[..]), ("configuration.copy".into(), project.copy)] {
            for path in paths {
                if let Err(fault) = tree::inside(path, project) {
                    add(fault.kind, problem(field.clone(), &fault));
                }
            }
        }
        if langs.insert(function.lang.as_str()) {
            language(function, kind, project, &at("lang"), &mut add);
        }
        asked_options(function, project, options, &at("build_options"), &mut add);
        if kind == ArtifactKind::Archive {
            runtime(function, project, &at("lambda.runtime"), &mut add);
        }
    }
    found.sort_by(|a, b| (&a.problem.field, &a.problem.message).cmp(&(&b.problem.field, &b.problem.message)));
    found.dedup_by(|a, b| a.problem.field == b.problem.field && a.problem.message == b.problem.message);
    found
}

/// The template of a language: by its whole name, else by that before its `@`.
fn template(lang: &str, project: &Project<'_>) -> Result<std::sync::Arc<crate::template::Template>, Fault> {
    project.catalogue.get(lang).or_else(|fault| match lang.split_once('@') {
        Some((name, _)) => project.catalogue.get(name),
        None => Err(fault),
    })
}

fn language(
    function: &Function,
    kind: ArtifactKind,
    project: &Project<'_>,
    field: &str,
    add: &mut impl FnMut(Kind, Problem),
) {
    let lang = function.lang.as_str();
    let native = if tree::is_dockerfile(function) {
        false
    } else {
        match template(lang, project) {
            Ok(template) => template.manifest.native.is_some(),
            Err(fault) if fault.kind == Kind::NotFound => {
                let names: Vec<String> = project.catalogue.list().into_iter().map(|t| t.name).collect();
                let name = lang.split('@').next().unwrap_or(lang);
                let near =
                    nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
                let mut problem = Problem::error(field, &fault.message).code(fault.code);
                problem.hint = near.or(fault.hint);
                return add(fault.kind, problem);
            }
            Err(fault) => return add(fault.kind, problem(field.into(), &fault)),
        }
    };
    if kind == ArtifactKind::Bundle && !native {
        let message = format!("`lang: {lang}` needs a container engine; provider local runs processes");
        let hint = "choose another `lang`, give the template a `native:` block, or use provider openfaas";
        add(Kind::Unsupported, Problem::error(field, message).hint(hint).code(Code::PROVIDER_REFUSES));
    }
}

/// A managed runtime of another language than the template's would not start what is in the archive.
fn runtime(function: &Function, project: &Project<'_>, field: &str, add: &mut impl FnMut(Kind, Problem)) {
    let asked = function.extra.get("lambda").and_then(|lambda| lambda.get("runtime")?.as_str());
    let Some(asked) = asked.filter(|_| !tree::is_dockerfile(function)) else { return };
    let Ok(template) = template(&function.lang, project) else { return };
    let Some(lambda) = &template.manifest.lambda else { return };
    if family(asked) != family(&lambda.runtime) {
        let message = format!("the runtime `{}` is none for `lang: {}`", asked.escape_debug(), function.lang);
        let hint =
            format!("its template is made for {}: name one of that family, or leave `runtime` out", lambda.runtime);
        add(Kind::Usage, Problem::error(field, message).hint(hint));
    }
}

/// What a runtime's name starts with; Python 2 is another language than Python 3.
fn family(runtime: &str) -> &str {
    match runtime {
        python if python.starts_with("python") => python.split('.').next().unwrap_or(python),
        other => other.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or(other),
    }
}

fn asked_options(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    field: &str,
    add: &mut impl FnMut(Kind, Problem),
) {
    if tree::is_dockerfile(function) || (options.options.is_empty() && function.build.options.is_empty()) {
        return;
    }
    let Ok(template) = template(&function.lang, project) else { return };
    let known: Vec<&str> = template.manifest.build_options.iter().map(|option| option.name.as_str()).collect();
    for wanted in options.options.iter().chain(&function.build.options) {
        if known.contains(&wanted.as_str()) {
            continue;
        }
        let message = format!("the template `{}` has no build option `{}`", function.lang, wanted.escape_debug());
        let hint = match known.as_slice() {
            _ if matches!(wanted.as_str(), "json" | "table") => {
                format!("`--output {wanted}` says how results are printed")
            }
            [] => "it has none".into(),
            known => format!("it has {}", known.join(", ")),
        };
        add(Kind::Usage, Problem::error(field, message).hint(hint));
    }
}

/// The fault as a problem at the field. What it found in another file is told in words.
fn problem(field: String, fault: &Fault) -> Problem {
    let mut text = fault.to_string();
    for found in &fault.problems {
        let at = found.place.as_ref().map(|place| format!(" ({}:{}:{})", place.file, place.line, place.column));
        text = format!("{text}: {}{}", found.message, at.unwrap_or_default());
    }
    let mut problem = Problem::error(field, text);
    problem.hint = fault.hint.clone().or_else(|| fault.problems.iter().find_map(|found| found.hint.clone()));
    problem
}
