//! `faas version`: what this binary is. It asks nobody unless it is told to; under faas-cli's name it asks the gateway what
//! that is, as there.
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::session::{GatewayFlags, Session};
use super::{Global, compat};
use crate::backend::Info;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::output::table;

/// How long a gateway may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where releases are; what it redirects to ends in the tag of the newest.
const LATEST: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/releases/latest");

/// Print the version
#[derive(Args)]
#[command(after_help = "Example:\n  faas version --short-version")]
pub struct Version {
    /// Print the number only
    #[arg(long)]
    short_version: bool,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// Ask whether there is a newer version; only then is a web server asked
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    warn_update: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    backends: Vec<&'static str>,
}

impl Version {
    /// Prints it.
    ///
    /// # Errors
    /// When stdout can't be written to.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        if self.short_version {
            return context.out.raw(format!("{version}\n").as_bytes());
        }
        let facts = Facts { version, backends: super::backends::names() };
        let theirs = compat::ways::version_of_gateway(context.out.dialect);
        let gateway = if theirs { self.ask(context, global) } else { None };
        let commit = option_env!("FAAS_COMMIT").unwrap_or("unknown");
        context.out.json_if(self.json).answer(
            &facts,
            || table::fields(&[("version", version.into()), ("backends", facts.backends.join(", "))]),
            |format| compat::words::version(commit, version, gateway.as_ref(), format),
        )?;
        if self.warn_update {
            warn_of_newer(context, version);
        }
        Ok(())
    }

    /// What the gateway says of itself; that there is none is no failure.
    fn ask(&self, context: &Context, global: &Global) -> Option<Info> {
        let session = Session::beside(context, global, &self.gateway).ok()?;
        let asked = async { Ok(tokio::time::timeout(PATIENCE, session.backend.info()).await) };
        crate::runtime::block_on(asked).ok()?.ok()?.ok()
    }
}

/// Says on stderr when there is a newer version. That nobody answers is worth a note, and no failure.
fn warn_of_newer(context: &Context, version: &str) {
    let url = context.env.get("FAAS_RELEASES_URL").unwrap_or(LATEST);
    let newest = crate::runtime::block_on(async {
        let asked = tokio::time::timeout(PATIENCE, crate::fetch::redirected(url)).await;
        asked.unwrap_or_else(|_| Err(Fault::timed_out(format!("{url} did not answer"))))
    });
    let tag = newest.map(|to| to.rsplit('/').next().unwrap_or_default().trim_start_matches('v').to_owned());
    match tag {
        Ok(tag) if numbers(&tag).is_some_and(|newest| Some(newest) > numbers(version)) => {
            let place = url.trim_end_matches("/latest");
            context.out.warn(format_args!("your version of faas ({version}) is older than the newest, {tag}: {place}"));
        }
        Ok(_) => {}
        Err(fault) => context.out.note(format_args!("can't tell whether there is a newer version: {fault}")),
    }
}

/// `1.20.3` as numbers.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('-').next()?.splitn(3, '.').map(str::parse);
    Some([parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?])
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("0.10.0") > numbers("0.9.9"));
        assert_eq!(numbers("1.2.3-rc.1"), Some([1, 2, 3]));
        assert_eq!(numbers("latest"), None);
    }
}
