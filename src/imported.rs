//! A function that another tool deployed or describes, as an entry of a stack file.
use serde_json::{Map, Value};

pub mod fn_project;

/// A function found elsewhere, as an entry of a stack file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// What stands under it.
    pub entry: Map<String, Value>,
    /// What did not come along, and why.
    pub notes: Vec<String>,
}
