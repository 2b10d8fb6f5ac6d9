//! What `faas new` asks on a terminal: the language, the handler's shape where there are several, the platform.
use std::io::IsTerminal;

use dialoguer::theme::ColorfulTheme;
use dialoguer::{FuzzySelect, Select};

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
    /// The platform; `None` when the command line named it.
    pub provider: Option<String>,
}

/// Asks for the template, and for the platform unless it is `given`.
///
/// # Errors
/// A usage fault where there is nobody to ask; interrupted when the user ends it.
pub fn ask(catalogue: &Catalogue, context: &Context, given: bool) -> Result<Chosen> {
    let list = catalogue.list();
    if !context.out.interactive || !std::io::stdin().is_terminal() {
        let names: Vec<&str> = list.iter().map(|summary| summary.name.as_str()).collect();
        return Err(Fault::usage("--lang is missing")
            .cause(format!("the languages are {}", names.join(", ")))
            .hint("as in: faas new NAME --lang python3"));
    }
    let languages = languages(&list);
    let theme = ColorfulTheme::default();
    let names: Vec<&str> = languages.iter().map(|(language, _)| *language).collect();
    let language = FuzzySelect::with_theme(&theme).with_prompt("Language").items(&names).default(0);
    let (_, shapes) = &languages[answered(language.interact_opt(), "the language")?];
    let shape = if let [only] = shapes.as_slice() {
        *only
    } else {
        let items: Vec<String> = shapes.iter().map(|s| format!("{:14} {}", s.name, s.description)).collect();
        let select = Select::with_theme(&theme).with_prompt("Shape").items(&items).default(0);
        shapes[answered(select.interact_opt(), "the shape")?]
    };
    let provider = if given {
        None
    } else {
        let items: Vec<String> = PROVIDERS.iter().map(|(name, what)| format!("{name:9} {what}")).collect();
        let select = Select::with_theme(&theme).with_prompt("Platform").items(&items).default(0);
        Some(PROVIDERS[answered(select.interact_opt(), "the platform")?].0.to_owned())
    };
    Ok(Chosen { lang: shape.name.clone(), provider })
}

fn answered(answer: dialoguer::Result<Option<usize>>, what: &str) -> Result<usize> {
    let answer = answer.map_err(|error| {
        Fault::failed(format!("can't ask for {what}")).cause(error).hint("use --lang and --provider")
    })?;
    answer.ok_or_else(Fault::interrupted)
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
