//! Catalogues of templates, in the format of `templates.json`: the one inside this binary, then OpenFaaS's or a mirror.
use serde::{Deserialize, Deserializer, Serialize};

use super::CATALOGUE;
use crate::error::{Fault, Result};
use crate::fetch::Catalogues;

/// Where OpenFaaS keeps its catalogue.
pub const OPENFAAS: &str = "https://raw.githubusercontent.com/openfaas/store/master/templates.json";

/// A template of a catalogue, as `templates.json` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its name.
    #[serde(rename = "template")]
    pub name: String,
    /// The platform that it is for.
    pub platform: String,
    /// The language.
    pub language: String,
    /// Who it is from.
    pub source: String,
    /// What it is, in a few words.
    pub description: String,
    /// The repository that it is in.
    #[serde(rename = "repo")]
    pub repository: String,
    /// `true` or `false`, as text.
    #[serde(deserialize_with = "text")]
    pub official: String,
    /// Whether it is a good choice for its language.
    pub recommended: bool,
    /// Whether it is inside this binary.
    #[serde(skip)]
    pub built_in: bool,
}

/// A boolean or a text, as text.
fn text<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Flag(bool),
        Text(String),
    }
    Ok(match Either::deserialize(from)? {
        Either::Flag(flag) => flag.to_string(),
        Either::Text(text) => text,
    })
}

/// The catalogues.
pub struct Store<'a> {
    /// How they are read.
    pub catalogues: Catalogues<'a>,
    /// A mirror: a URL or a file. With it, nothing else is looked at.
    pub mirror: Option<&'a str>,
}

/// What the catalogues hold.
#[derive(Debug, Default)]
pub struct Listed {
    /// The templates, in the order of faas-cli, those inside this binary first.
    pub entries: Vec<Entry>,
    /// What the user should know: a catalogue of last time, or none.
    pub warning: Option<String>,
}

impl Store<'_> {
    /// All templates.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn list(&self) -> Result<Listed> {
        if let Some(mirror) = self.mirror {
            return self.read(mirror).await;
        }
        let mut entries = built_in();
        let (theirs, warning) = match self.read(OPENFAAS).await {
            Ok(Listed { entries, warning }) => (entries, warning),
            Err(fault) => (Vec::new(), Some(format!("the catalogue of OpenFaaS is left out: {fault}"))),
        };
        let is_new = |entry: &Entry| !entries.iter().any(|ours| ours.name == entry.name);
        let theirs: Vec<Entry> = theirs.into_iter().filter(is_new).collect();
        entries.extend(theirs);
        Ok(Listed { entries, warning })
    }

    /// The template called `name`, or `source/name`; the network is only asked for what is not inside this binary.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when no catalogue has it, also when none could be read.
    pub async fn find(&self, name: &str) -> Result<(Entry, Option<String>)> {
        if self.mirror.is_none()
            && let Some(entry) = built_in().into_iter().find(|entry| entry.is(name))
        {
            return Ok((entry, None));
        }
        let Listed { entries, warning } = self.list().await?;
        match entries.into_iter().find(|entry| entry.is(name)) {
            Some(entry) => Ok((entry, warning)),
            None => {
                let fault = Fault::not_found(format!("template with name: `{name}` does not exist in the store"));
                Err(match warning {
                    Some(warning) => fault.cause(warning).hint("look at the network, or name a mirror by --url"),
                    None => fault.hint("`faas template store list` names all"),
                })
            }
        }
    }

    async fn read(&self, address: &str) -> Result<Listed> {
        let catalogue = self.catalogues.read(address).await?;
        let mut entries: Vec<Entry> = serde_json::from_slice(&catalogue.bytes).map_err(|error| {
            Fault::failed(format!("{} is no catalogue of templates", catalogue.name))
                .cause(error)
                .hint("it must be a list in JSON, as OpenFaaS's templates.json")
        })?;
        entries.retain(|entry| !entry.name.is_empty());
        sort(&mut entries);
        let warning = catalogue.stale.map(|why| format!("the catalogue is the copy of last time: {why}"));
        Ok(Listed { entries, warning })
    }
}

impl Entry {
    fn is(&self, name: &str) -> bool {
        self.name == name || name.strip_suffix(&self.name).and_then(|rest| rest.strip_suffix('/')) == Some(&self.source)
    }
}

/// The templates inside this binary.
#[must_use]
pub fn built_in() -> Vec<Entry> {
    let mut entries: Vec<Entry> = serde_json::from_str(CATALOGUE).unwrap_or_default();
    entries.iter_mut().for_each(|entry| entry.built_in = true);
    sort(&mut entries);
    entries
}

/// faas-cli's order: recommended ones first, then those that are not official, then by name.
fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| (!entry.recommended, entry.official.clone(), entry.name.to_lowercase()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_a_name_or_a_source_and_a_name() {
        let entry = Entry { name: "go".into(), source: "openfaas".into(), ..Entry::default() };
        assert!(entry.is("go") && entry.is("openfaas/go"));
        assert!(!entry.is("other/go") && !entry.is("openfaasgo") && !entry.is("o"));
    }

    #[test]
    fn official_may_be_a_boolean_and_more_fields_may_come() {
        let text = r#"[{"template":"x","official":true,"new":1},{"template":"y","official":"false"}]"#;
        let entries: Vec<Entry> = serde_json::from_str(text).unwrap();
        assert_eq!((entries[0].official.as_str(), entries[1].official.as_str()), ("true", "false"));
    }
}
