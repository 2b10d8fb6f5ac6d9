//! Namespaces: a name with labels and annotations. The default one is always there.
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use http::StatusCode;

use super::DEFAULT_NAMESPACE;
use super::answer::Refused;
use super::functions::is_name;
use super::record::NamespaceRecord;
use super::store::Store;
use crate::error::Result;
use crate::wire::FunctionNamespace;

/// All namespaces.
pub(super) struct Namespaces(RwLock<BTreeMap<String, NamespaceRecord>>);

impl Namespaces {
    /// Those of the database.
    pub fn open(store: &Store) -> Result<Self> {
        let mut all: BTreeMap<_, _> = store.namespaces()?.into_iter().collect();
        let labels = Some(BTreeMap::from([("openfaas".to_owned(), "1".to_owned())]));
        all.entry(DEFAULT_NAMESPACE.into()).or_insert(NamespaceRecord { labels, annotations: None });
        Ok(Self(RwLock::new(all)))
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// One.
    pub fn get(&self, name: &str) -> Option<NamespaceRecord> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Refuses one that is not there.
    pub fn check(&self, name: &str) -> Result<(), Refused> {
        if self.get(name).is_some() { Ok(()) } else { Err(Refused::bad("namespace not valid")) }
    }

    /// Makes one, or with `update` changes one.
    pub async fn put(&self, store: &Store, asked: &FunctionNamespace, update: bool) -> Result<(), Refused> {
        check_asked(asked)?;
        let name = &asked.name;
        match self.get(name) {
            Some(_) if !update => {
                return Err(Refused::new(StatusCode::CONFLICT, format_args!("namespace {name} already exists")));
            }
            None if update => return Err(Refused::missing(format_args!("namespace {name} not found"))),
            _ => {}
        }
        let annotations = asked.annotations.clone().filter(|a| !a.is_empty());
        let record = NamespaceRecord { labels: asked.labels.clone(), annotations };
        store.put_namespace(name, &record).await?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), record);
        Ok(())
    }

    /// Forgets one.
    pub async fn remove(&self, store: &Store, name: &str) -> Result<(), Refused> {
        if self.get(name).is_none() {
            return Err(Refused::missing(format_args!("namespace {name} not found")));
        }
        store.remove_namespace(name).await?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

/// Refuses a body without a fit name, or without the label that OpenFaaS asks for.
pub(super) fn check_asked(asked: &FunctionNamespace) -> Result<(), Refused> {
    if asked.name.is_empty() {
        return Err(Refused::bad("non-empty name is required"));
    }
    if !is_name(&asked.name) {
        return Err(Refused::bad(format_args!("namespace {} is not a valid name", asked.name)));
    }
    if asked.labels.as_ref().and_then(|l| l.get("openfaas")).map(String::as_str) != Some("1") {
        return Err(Refused::bad("request does not have openfaas=1 label"));
    }
    Ok(())
}
