//! `faas template list`: the templates that `new --lang` and `lang:` take.
use clap::Args;

use super::super::Global;
use crate::context::Context;
use crate::error::Result;
use crate::output::table;
use crate::template::Catalogue;

/// List the templates that `new --lang` and `lang:` take
#[derive(Args)]
#[command(after_help = "Example:\n  faas template list --output json")]
pub struct List {}

impl List {
    /// Runs it.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let list = Catalogue::new(&context.cwd).list();
        context.out.result(&list, || {
            let row = |s: &crate::template::Summary| {
                let native = if s.native { "yes" } else { "no" };
                vec![s.name.clone(), s.language.clone(), native.into(), s.source.clone(), s.description.clone()]
            };
            table::columns(
                &["NAME", "LANGUAGE", "NATIVE", "SOURCE", "DESCRIPTION"],
                &list.iter().map(row).collect::<Vec<_>>(),
            )
        })
    }
}
