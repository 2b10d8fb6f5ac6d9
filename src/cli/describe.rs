//! `faas describe`: everything about one function.
use clap::Args;
use serde::Serialize;

use super::session::{GatewayFlags, Session};
use super::{Global, compat};
use crate::backend::{Detail, Scope};
use crate::context::Context;
use crate::error::{Code, Fault, Result};
use crate::output::{detail, functions};

/// Describe a function
#[derive(Args)]
#[command(after_help = "Examples:\n  faas describe tax\n  faas describe tax --output json")]
pub struct Describe {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Show what is empty, too
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    function: functions::View,
    #[serde(flatten)]
    detail: Option<&'a Detail>,
}

impl Describe {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let session = Session::open(context, global, &self.gateway)?;
        let id = session.named(&self.name)?;
        let scope =
            Scope { namespace: id.namespace.clone(), names: vec![id.name.clone()], usage: true, ..Scope::default() };
        let backend = &session.backend;
        let (found, detail) = crate::runtime::block_on(async {
            let found = backend.observe(&scope).await?;
            let detail = if found.is_empty() { None } else { backend.detail(&id).await? };
            Ok((found, detail))
        })?;
        let function = found.first().ok_or_else(|| {
            Fault::not_found(format!("there is no function {id}"))
                .code(Code::NO_FUNCTION)
                .hint("`faas list` shows what is deployed")
        })?;
        let out = context.out.json_if(self.json);
        let ready = detail.as_ref().map(|detail| detail.ready);
        let shown = Shown { function: functions::view(function, ready), detail: detail.as_ref() };
        out.answer(
            &shown,
            || {
                functions::details(function, ready, self.verbose)
                    + &detail.as_ref().map(detail::text).unwrap_or_default()
            },
            |format| {
                let asked = self.gateway.namespace.as_deref().filter(|namespace| !namespace.is_empty());
                compat::functions::describe(function, ready, format, self.verbose, asked)
            },
        )
    }
}
