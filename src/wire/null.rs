//! `null` where something else is meant: Go writes it for a list or a map that was never made, and reads it as nothing.
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Map;

/// A value, or nothing of its kind.
pub fn nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Names and texts, of which some may be nothing.
pub fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Map>, D::Error> {
    let texts: Option<BTreeMap<String, Option<String>>> = Option::deserialize(from)?;
    Ok(texts.map(|texts| texts.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect()))
}

/// Names, of which some may be nothing, and are left out.
pub fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let names: Option<Vec<Option<String>>> = Option::deserialize(from)?;
    Ok(names.map(|names| names.into_iter().flatten().collect()))
}
