//! Making the embedded platform as a change says. It answers once the new processes are ready, and keeps the old ones
//! when they don't get ready, so there is nothing to wait for here.
use std::time::Duration;

use http::{Method, StatusCode};

use super::is_missing;
use crate::artifact::Artifact;
use crate::backend::gateway_api::{GatewayApi, deployment};
use crate::backend::{Change, Deployed, How};
use crate::error::{Code, Fault, Result};
use crate::progress::Progress;
use crate::wire::client::Answer;
use crate::wire::{Bundle, Orders};

/// Sends the deployment.
///
/// # Errors
/// What the platform refused, and why; the last lines of a process that did not get ready are in it.
pub async fn apply(api: &GatewayApi, change: &Change, wait: Duration, progress: &dyn Progress) -> Result<Deployed> {
    let id = change.function.id();
    let Artifact::Bundle { dir, digest, run } = &change.artifact else {
        return Err(Fault::failed(cannot(&id.name))
            .cause("the embedded platform runs functions as processes from a bundle, and something else was built"));
    };
    let unawaited = wait.is_zero();
    let orders = Orders { restart: change.force, ready_within: (!unawaited).then_some(wait), unawaited };
    let (run, concurrency) = (run.clone(), change.function.concurrency);
    let bundle = Bundle { dir: dir.clone(), digest: digest.clone(), run, concurrency, orders };
    let deployment = deployment::of(change, format!("bundle:{digest}"), Some(bundle));
    progress.step(&id.name, "deploying");
    let answer = match change.how {
        How::Upsert | How::Adopt => {
            let updated = api.client.deploy(Method::PUT, &deployment).await?;
            if updated.status == StatusCode::NOT_FOUND {
                api.client.deploy(Method::POST, &deployment).await?
            } else {
                updated
            }
        }
        How::Create => api.client.deploy(Method::POST, &deployment).await?,
        How::Replace => match api.remove(&id).await {
            Err(fault) if !is_missing(&fault) => return Err(fault),
            _ => api.client.deploy(Method::POST, &deployment).await?,
        },
    };
    if answer.status.is_success() { api.describe(&id).await } else { Err(explain(&answer, &id.name, change.how)) }
}

fn cannot(name: &str) -> String {
    format!("can't deploy {name}")
}

/// The refusal with what to do about it.
fn explain(answer: &Answer, name: &str, how: How) -> Fault {
    let what = &cannot(name);
    if answer.text.starts_with("unable to start function") {
        // Whole, unlike other refusals: the process's own last words are in it.
        let late = answer.status == StatusCode::GATEWAY_TIMEOUT;
        let fault = if late { Fault::timed_out(what) } else { Fault::failed(what) };
        let fault = fault.code(Code::NOT_READY);
        return fault.cause(answer.text.trim()).hint(format!(
            "`faas logs {name}` shows all that it said; if it was deployed before, it still runs as it was"
        ));
    }
    let fault = answer.fault(what);
    if how == How::Create && answer.text.contains("already exists") {
        return fault.hint("it is there already: leave out --update=false, or pass --replace");
    }
    if answer.text.contains("unable to find secret") {
        return fault.hint("`faas secret create` makes it; nothing was changed");
    }
    if answer.text.contains("namespace not valid") {
        return fault.hint("`faas namespace list` shows the namespaces, `faas namespace create` makes one");
    }
    fault
}
