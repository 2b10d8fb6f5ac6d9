//! Values in Lambda's words: digests in base64, sizes in MB, and the variables that the invoker is told by.
use std::collections::{BTreeMap, HashMap};

use base64::Engine;

use crate::backend::lambda::secrets;
use crate::backend::lambda::settings::Store;
use crate::error::{Fault, Result};
use crate::function::Function;

/// The program that a managed runtime starts in the place of its own.
pub(super) const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";
/// Tells the invoker which secrets to read, and from where.
pub const SECRETS: &str = "FAAS_SECRETS";
/// Tells the invoker to answer piece by piece.
const STREAMING: &str = "FAAS_LAMBDA_STREAMING";
/// Where Lambda unpacks an archive.
const TASK_ROOT: &str = "/var/task";

/// The digest as Lambda writes it.
pub(super) fn base64_of_hex(hex: &str) -> Result<String> {
    let digit = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digit).collect();
    let bytes = bytes.ok_or_else(|| Fault::failed(format!("`{hex}` is no digest")))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// The digest as [`crate::artifact::Artifact`] writes it.
#[must_use]
pub fn hex_of_base64(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The function's variables and those that the invoker in its archive is told by.
#[must_use]
pub fn environment(function: &Function, wrapped: bool, store: Store, streaming: bool) -> BTreeMap<String, String> {
    let mut environment = function.environment.clone();
    if wrapped {
        environment.entry(WRAPPER.into()).or_insert_with(|| format!("{TASK_ROOT}/{}", crate::build::LAMBDA_ENTRY));
    }
    if let Some(process) = &function.process {
        environment.entry("fprocess".into()).or_insert_with(|| process.clone());
    }
    if let Some(list) = secrets::list(function, store) {
        environment.insert(SECRETS.into(), list);
    }
    if streaming {
        environment.insert(STREAMING.into(), "true".into());
    }
    environment
}

/// The variables that a function was given by its stack file, of those that Lambda tells.
#[must_use]
pub fn own_environment(there: &HashMap<String, String>) -> BTreeMap<String, String> {
    let ours = |key: &str| matches!(key, WRAPPER | SECRETS | STREAMING | "fprocess");
    there.iter().filter(|(key, _)| !ours(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A quantity in MB, rounded up.
#[must_use]
pub fn megabytes(text: &str) -> Option<i32> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match &text[number.len()..] {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" | "m" => 1e6,
        "G" | "g" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)? * unit;
    // Lambda's MB are of 1024 × 1024 bytes.
    let megabytes = (bytes / (1024.0 * 1024.0)).ceil();
    (megabytes <= f64::from(i32::MAX)).then_some(megabytes as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(megabytes("128Mi"), Some(128));
        assert_eq!(megabytes("1Gi"), Some(1024));
        assert_eq!(megabytes("134217729"), Some(129));
        assert_eq!(megabytes("lots"), None);
        assert_eq!(hex_of_base64("AP8=").as_deref(), Some("00ff"));
    }
}
