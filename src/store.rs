//! The store: functions that others made and that only have to be deployed, in the format of OpenFaaS's `functions.json`.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Fault, Result};
use crate::fetch::Catalogues;
use crate::function::Function;

/// Where OpenFaaS keeps its store.
pub const OPENFAAS: &str = "https://raw.githubusercontent.com/openfaas/store/master/functions.json";

/// A function of the store, as `functions.json` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// The address of a picture.
    pub icon: String,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What it is called.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Its name.
    pub name: String,
    /// The process that the invoker starts; empty when the image says.
    pub fprocess: String,
    /// Where its source is.
    pub repo_url: String,
    /// Whether its root file system is read-only.
    #[serde(rename = "readOnlyRootFilesystem")]
    pub read_only: bool,
    /// Environment variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Images by platform, as `x86_64`.
    pub images: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct File {
    functions: Vec<Item>,
}

/// What a store holds.
#[derive(Debug)]
pub struct Store {
    /// All its functions.
    pub items: Vec<Item>,
    /// Why this is the copy of last time.
    pub warning: Option<String>,
}

impl Store {
    /// Reads the store at `address`, a URL or a file.
    ///
    /// # Errors
    /// When it can't be read, or is none.
    pub async fn read(catalogues: &Catalogues<'_>, address: &str) -> Result<Self> {
        let catalogue = catalogues.read(address).await?;
        let file: File = serde_json::from_slice(&catalogue.bytes).map_err(|error| {
            Fault::failed(format!("{} is no store of functions", catalogue.name))
                .cause(error)
                .hint("it must be JSON with `functions`, as OpenFaaS's functions.json")
        })?;
        let warning = catalogue.stale.map(|why| format!("the store is the copy of last time: {why}"));
        Ok(Self { items: file.functions, warning })
    }

    /// The functions that there are for a platform.
    #[must_use]
    pub fn on<'a>(&'a self, platform: &str) -> Vec<&'a Item> {
        self.items.iter().filter(|item| item.image(platform).is_some()).collect()
    }

    /// The function of that name or title.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none for the platform.
    pub fn find(&self, name: &str, platform: &str) -> Result<&Item> {
        let named: Vec<&Item> = self.items.iter().filter(|item| item.name == name || item.title == name).collect();
        named.iter().copied().find(|item| item.image(platform).is_some()).ok_or_else(|| {
            let fault = Fault::not_found(format!("function '{name}' not found for platform '{platform}'"));
            let others: Vec<&str> = named.iter().flat_map(|item| item.images.keys().map(String::as_str)).collect();
            match others.is_empty() {
                true => fault.hint("`faas store list` names all"),
                false => fault.hint(format!("it is there for {}: choose one by --platform", others.join(", "))),
            }
        })
    }

    /// The platforms that it has functions for.
    #[must_use]
    pub fn platforms(&self) -> Vec<&str> {
        let mut platforms: Vec<&str> = self.items.iter().flat_map(|i| i.images.keys().map(String::as_str)).collect();
        platforms.sort_unstable();
        platforms.dedup();
        platforms
    }
}

impl Item {
    /// Its image for a platform, in whatever case that is written.
    #[must_use]
    pub fn image(&self, platform: &str) -> Option<&str> {
        let found = self.images.iter().find(|(name, _)| name.eq_ignore_ascii_case(platform));
        found.map(|(_, image)| image.as_str())
    }

    /// As a function of a stack, under a name; flags are laid over it afterwards, so that they win.
    ///
    /// # Errors
    /// When there is no image for the platform.
    pub fn function(&self, name: Option<&str>, platform: &str) -> Result<Function> {
        let image = self.image(platform).ok_or_else(|| {
            let options: Vec<&str> = self.images.keys().map(String::as_str).collect();
            Fault::not_found(format!("image for {platform} not found in store"))
                .hint(format!("it is there for {}", options.join(", ")))
        })?;
        let mut function = Function {
            name: name.unwrap_or(&self.name).to_owned(),
            process: Some(self.fprocess.clone()).filter(|process| !process.is_empty()),
            environment: self.environment.clone().unwrap_or_default(),
            labels: self.labels.clone().unwrap_or_default(),
            annotations: self.annotations.clone().unwrap_or_default(),
            read_only: self.read_only,
            ..Function::default()
        };
        function.build.image = Some(image.to_owned());
        function.build.skip = true;
        Ok(function)
    }
}

/// The platform of this binary, as the store names it.
#[must_use]
pub fn own_platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "arm" => "armhf",
        _ => "x86_64",
    }
}
