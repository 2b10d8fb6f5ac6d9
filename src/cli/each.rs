//! Results of several functions: what was made when all went well, and JSON with an entry for each when some did not.
use serde_json::{Value, json};

use crate::build::Several;
use crate::context::Context;
use crate::error::Result;
use crate::output::Dialect;

/// What was made. When a function failed, programs that read JSON get an entry for each all the same: what `entry` makes of
/// it, or `name` with `error`, `code` and `hint`.
///
/// # Errors
/// The fault for all.
pub fn or_told<T>(
    several: Several<T>,
    names: &[&str],
    entry: impl Fn(&str, &T) -> Value,
    context: &Context,
) -> Result<Vec<T>> {
    let Some(fault) = several.fault() else { return several.together() };
    if !context.out.is_table() && context.out.dialect == Dialect::Faas {
        let told = |(name, result): (&&str, &Option<Result<T>>)| match result {
            Some(Ok(made)) => entry(name, made),
            Some(Err(fault)) => {
                json!({ "name": name, "error": fault.without(name), "code": fault.code, "hint": fault.hint })
            }
            None => json!({ "name": name, "error": "given up by --fail-fast, since another failed" }),
        };
        let all: Vec<Value> = names.iter().zip(&several.each).map(told).collect();
        context.out.result(&all, String::new)?;
    }
    Err(fault)
}
