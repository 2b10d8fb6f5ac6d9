//! What became of several functions: of each one, and of all together.
use crate::error::{Fault, Result};

/// The results for functions in their order; `None` for one that was given up since another had failed.
pub struct Several<T> {
    /// Of each.
    pub each: Vec<Option<Result<T>>>,
    /// What was done: `build`.
    verb: &'static str,
}

impl<T> Several<T> {
    /// Of functions on which `verb` was tried.
    #[must_use]
    pub fn new(each: Vec<Option<Result<T>>>, verb: &'static str) -> Self {
        Self { each, verb }
    }

    /// The fault for all; `None` when all went well.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let faults = self.each.iter().flatten().filter_map(|result| result.as_ref().err().cloned()).collect();
        let mut fault = super::folder::worst(faults, self.each.len(), self.verb)?;
        let given_up = self.each.iter().filter(|result| result.is_none()).count();
        if given_up > 0 {
            fault.message += &format!(", {given_up} more given up by --fail-fast");
        }
        Some(fault)
    }

    /// What was made, when all went well.
    ///
    /// # Errors
    /// The fault for all.
    pub fn together(self) -> Result<Vec<T>> {
        match self.fault() {
            Some(fault) => Err(fault),
            None => self.each.into_iter().flatten().collect(),
        }
    }
}
