//! What `faas new` asks on a terminal: the language, the handler's shape where there are several, the platform.
use crate::cli::ask::{choose, typed};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::template::{Catalogue, Summary};

/// The platforms, as `--provider` takes them, and what they are.
pub const PROVIDERS: [(&str, &str); 4] = [
    ("local", "this machine, without a container engine"),
    ("openfaas", "an OpenFaaS gateway or faasd"),
    ("knative", "Knative on Kubernetes"),
    ("lambda", "AWS Lambda"),
];

/// What was chosen.
pub struct Chosen {
    /// The template.
    pub lang: String,
    /// Its shape, where it has several.
    pub shape: Option<String>,
    /// The platform; `None` when the command line named it.
    pub provider: Option<String>,
}

/// Asks for the function's name, until it is one.
///
/// # Errors
/// A usage fault where there is nobody to ask; interrupted when the user ends it.
pub fn name(context: &Context) -> Result<String> {
    if !context.out.may_ask() {
        return Err(Fault::usage("NAME is missing: what the function is to be called")
            .hint("as in: faas new tax --lang python3; `faas new --list` names the languages"));
    }
    typed("Name", |name| super::check_name(name).map_err(|fault| fault.message))
}

/// Asks for the template and its shape, unless one is named already, and for the platform unless it is `given`.
///
/// # Errors
/// A usage fault where there is nobody to ask; interrupted when the user ends it.
pub fn ask(catalogue: &Catalogue, context: &Context, named: Option<&str>, given: bool) -> Result<Chosen> {
    let list = catalogue.list();
    if !context.out.may_ask() {
        let names: Vec<&str> = list.iter().map(|summary| summary.name.as_str()).collect();
        return Err(Fault::usage("--lang is missing")
            .cause(format!("the languages are {}", names.join(", ")))
            .hint("as in: faas new NAME --lang python3"));
    }
    let languages = languages(&list);
    let names = languages.iter().map(|(language, _)| (*language).to_owned()).collect();
    let (_, templates) = &languages[choose("Language", names, true)?];
    let choices = choices(catalogue, templates, named);
    let (lang, shape) = match choices.as_slice() {
        [] => (templates[0].name.clone(), named.map(str::to_owned)),
        [only] => (only.lang.clone(), only.shape.clone()),
        several => {
            let items = several.iter().map(|choice| choice.shown.clone()).collect();
            let chosen = &several[choose("Shape", items, false)?];
            (chosen.lang.clone(), chosen.shape.clone())
        }
    };
    let provider = if given {
        None
    } else {
        let items = PROVIDERS.iter().map(|(name, what)| format!("{name:9} {what}")).collect();
        Some(PROVIDERS[choose("Platform", items, false)?].0.to_owned())
    };
    Ok(Chosen { lang, shape, provider })
}

/// A template in one of its shapes.
struct Choice {
    lang: String,
    shape: Option<String>,
    shown: String,
}

/// What can be chosen of a language's templates: each shape of each, or those of the shape that is `named`.
fn choices(catalogue: &Catalogue, templates: &[&Summary], named: Option<&str>) -> Vec<Choice> {
    let mut choices = Vec::new();
    for summary in templates {
        let template = catalogue.get(&summary.name).ok();
        let shapes = template.as_ref().map(|template| template.shapes()).unwrap_or_default();
        if shapes.is_empty() && named.is_none() {
            let shown = format!("{:14} {}", summary.name, summary.description);
            choices.push(Choice { lang: summary.name.clone(), shape: None, shown });
        }
        for shape in shapes.iter().filter(|shape| named.is_none_or(|named| shape.name == named)) {
            let shown = format!("{:14} {:8} {}", summary.name, shape.name, shape.description);
            choices.push(Choice { lang: summary.name.clone(), shape: Some(shape.name.clone()), shown });
        }
    }
    choices
}

/// The templates by language, in the order of the list; one that says no language is its own.
fn languages(list: &[Summary]) -> Vec<(&str, Vec<&Summary>)> {
    let mut languages: Vec<(&str, Vec<&Summary>)> = Vec::new();
    for summary in list {
        let language = if summary.language.is_empty() { &summary.name } else { &summary.language };
        match languages.iter_mut().find(|(known, _)| known == language) {
            Some((_, shapes)) => shapes.push(summary),
            None => languages.push((language, vec![summary])),
        }
    }
    languages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_one_language_are_its_shapes() {
        let list = Catalogue::new(std::path::Path::new("/nowhere")).list();
        let languages = languages(&list);
        let shapes = |language: &str| -> Vec<&str> {
            let found = languages.iter().find(|(name, _)| *name == language).unwrap();
            found.1.iter().map(|summary| summary.name.as_str()).collect()
        };
        assert_eq!(shapes("python3"), ["python3", "python3-flask", "python3-http"]);
        assert_eq!(shapes("node"), ["node", "node-express"]);
        assert_eq!(shapes("go"), ["go"]);
    }
}
