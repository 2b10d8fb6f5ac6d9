//! Making the gateway as a change says: update, else create; then wait until the function answers.
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use crate::artifact::Artifact;
use crate::backend::gateway_api::{GatewayApi, deployment};
use crate::backend::{Change, Deployed, How, LogEntry, LogQuery, Secrets};
use crate::error::{Code, Fault, Kind, Result};
use crate::function::{Function, FunctionId};
use crate::progress::Progress;
use crate::wire::client::{Answer, Request, body};
use crate::wire::{FunctionDeployment, FunctionStatus};

/// How often a deployment is sent again while the platform still ends the old replica.
const ENDING_RETRIES: usize = 6;
/// What to do when a deployment outlasts the patience of whoever waits for it.
const GOES_ON: &str = "the platform may go on with it, as with pulling a large image: the same command again waits for \
                       that, `--timeout 10m` waits longer";
/// From this pause between two questions on, the platform is asked what it knows.
const LONG: Duration = Duration::from_millis(160);
/// The wait between two such attempts.
const ENDING_WAIT: Duration = Duration::from_secs(2);

/// Sends the deployment, and waits for at most `wait`.
///
/// # Errors
/// What the gateway refused, and why; [`Kind::TimedOut`] when no replica comes up.
pub async fn apply(api: &GatewayApi, wait: Duration, change: &Change, progress: &dyn Progress) -> Result<Deployed> {
    let Artifact::Image { reference, .. } = &change.artifact else {
        return Err(Fault::failed(format!("can't deploy {}", change.function.name))
            .cause("OpenFaaS runs container images, and something else was built"));
    };
    let deployment = deployment::of(change, reference.clone(), None);
    let id = change.function.id();
    secrets_are_there(api, &deployment).await?;
    progress.step(&id.name, "deploying");
    let answer = match change.how {
        How::Upsert | How::Adopt => upsert(api, &deployment, progress).await.map_err(unanswered)?,
        How::Create => api.client.deploy(Method::POST, &deployment).await.map_err(unanswered)?,
        How::Replace => {
            match remove(api, &id).await {
                Err(fault) if fault.kind != Kind::NotFound => return Err(fault),
                _ => {}
            }
            recreate(api, &deployment).await.map_err(unanswered)?
        }
    };
    if !answer.status.is_success() {
        return Err(explain(&answer, &deployment, change.how));
    }
    let taken = Some(answer.status.as_u16());
    let told = if wait.is_zero() {
        None
    } else {
        progress.step(&id.name, "waiting until it answers");
        match answers(api, &id, wait, progress).await {
            // Who may deploy may be somebody who may not look.
            Err(fault) if fault.kind == Kind::Unauthorized => {
                unseen(api, &id, wait, progress).await;
                None
            }
            told => told?,
        }
    };
    // Where nobody had to ask, it is as it was sent; what answers has a replica.
    let answering = u64::from(!wait.is_zero());
    let deployed = told.unwrap_or_else(|| {
        let sent = api.deployed(FunctionStatus::of(deployment));
        Deployed { replicas: answering, available: (answering > 0).then_some(answering), ..sent }
    });
    Ok(Deployed { taken, ..deployed })
}

/// Waits for at most `wait` for a function that is as it should be. One that may sleep is left asleep.
///
/// # Errors
/// [`Kind::TimedOut`] when no replica comes up.
pub async fn settle(
    api: &GatewayApi,
    wait: Duration,
    function: &Function,
    deployed: &Deployed,
    progress: &dyn Progress,
) -> Result<()> {
    let asleep = deployed.replicas == 0 && function.scale.min == Some(0);
    if wait.is_zero() || asleep {
        return Ok(());
    }
    let id = function.id();
    // The call wakes one that was put to sleep, and makes faasd start a process that has ended.
    let listening = listens(api, &id).await;
    if listening && deployed.replicas > 0 && deployed.available != Some(0) {
        return Ok(());
    }
    progress.step(&id.name, "waiting until it answers");
    answers(api, &id, wait, progress).await.map(drop)
}

/// Removes a function; one whose process takes its time to end is asked again.
///
/// # Errors
/// [`Kind::NotFound`] when there is none.
pub async fn remove(api: &GatewayApi, id: &FunctionId) -> Result<()> {
    let mut attempt = 0;
    loop {
        match api.remove(id).await {
            Err(fault) if attempt < ENDING_RETRIES && is_ending(&fault.to_string()) => {
                attempt += 1;
                tokio::time::sleep(ENDING_WAIT).await;
            }
            // It was there, and an attempt that was refused has removed it after all.
            Err(fault) if attempt > 0 && fault.kind == Kind::NotFound => return Ok(()),
            Err(fault) if is_ending(&fault.to_string()) => {
                return Err(fault.hint("its process doesn't end on SIGTERM: give it a handler for that signal"));
            }
            other => return other,
        }
    }
}

/// faasd destroys the running function when an update names a secret that is not there: ask first.
async fn secrets_are_there(api: &GatewayApi, deployment: &FunctionDeployment) -> Result<()> {
    let Some(wanted) = &deployment.secrets else { return Ok(()) };
    let there = match Secrets::list(api, deployment.namespace.as_deref()).await {
        Err(fault) if fault.kind == Kind::Unauthorized => return Ok(()),
        there => there?,
    };
    let missing: Vec<_> = wanted.iter().filter(|name| !there.iter().any(|s| s.name == **name)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (noun, verb) = if missing.len() == 1 { ("secret", "is") } else { ("secrets", "are") };
    Err(Fault::failed(format!("can't deploy {}", deployment.service))
        .code(Code::SECRET_MISSING)
        .cause(format!("the {noun} {} {verb} not on the platform", missing.join(", ")))
        .hint(format!("`faas secret create {}` makes it; nothing was changed", missing[0])))
}

async fn upsert(api: &GatewayApi, deployment: &FunctionDeployment, progress: &dyn Progress) -> Result<Answer> {
    let mut attempt = 0;
    loop {
        let mut answer = api.client.deploy(Method::PUT, deployment).await?;
        if answer.status == StatusCode::NOT_FOUND {
            answer = api.client.deploy(Method::POST, deployment).await?;
        }
        let under_way = is_under_way(&answer);
        if attempt == ENDING_RETRIES || !(under_way || is_ending(&answer.text)) {
            return Ok(answer);
        }
        if attempt == 0 {
            let why = match under_way {
                true => "the platform is still at an earlier deployment of it; waiting for that",
                false => "its old process doesn't end on SIGTERM; waiting until the platform kills it",
            };
            progress.warn(&deployment.service, why);
        }
        attempt += 1;
        tokio::time::sleep(ENDING_WAIT).await;
    }
}

/// Creates what has just been removed: some platforms go on removing after they have said that it is done.
async fn recreate(api: &GatewayApi, deployment: &FunctionDeployment) -> Result<Answer> {
    let mut attempt = 0;
    loop {
        let answer = api.client.deploy(Method::POST, deployment).await?;
        let still_there = answer.status == StatusCode::CONFLICT
            || answer.text.contains("already exists")
            || answer.text.contains("being deleted");
        if attempt == ENDING_RETRIES || !still_there {
            return Ok(answer);
        }
        attempt += 1;
        tokio::time::sleep(ENDING_WAIT).await;
    }
}

/// Whether what was not there a moment ago is there now: an earlier deployment, whose client has given up, goes on.
fn is_under_way(answer: &Answer) -> bool {
    !answer.status.is_success() && answer.text.contains("already exists")
}

fn is_ending(text: &str) -> bool {
    text.contains("cannot delete running task")
}

/// That nobody answered in time is no end of the deployment.
fn unanswered(fault: Fault) -> Fault {
    if fault.kind == Kind::TimedOut { fault.hint(GOES_ON) } else { fault }
}

/// The refusal with what to do about it.
fn explain(answer: &Answer, deployment: &FunctionDeployment, how: How) -> Fault {
    let fault = answer.fault(&format!("can't deploy {}", deployment.service));
    let text = answer.text.to_lowercase();
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return fault;
    }
    if how == How::Create && text.contains("already exists") {
        return fault.hint("it is there already: leave out --update=false, or pass --replace");
    }
    if text.contains("-snapshot") && is_under_way(answer) {
        let (name, namespace) = (&deployment.service, deployment.namespace.as_deref().unwrap_or("openfaas-fn"));
        return Fault { cause: None, ..fault }
            .cause("an earlier deployment of it did not come to its end, and left a snapshot of its files")
            .hint(format!(
                "try again in a minute; if it stays so, run `ctr -n {namespace} snapshots rm {name}-snapshot` on the gateway's machine"
            ));
    }
    if matches!(answer.status, StatusCode::GATEWAY_TIMEOUT | StatusCode::BAD_GATEWAY) {
        return fault.hint(GOES_ON);
    }
    if text.contains("secret") {
        return fault.hint("`faas secret list` shows which secrets the platform has");
    }
    if text.contains("namespace") && text.contains("valid") {
        return fault.hint("`faas namespace list` shows the namespaces, `faas namespace create` makes one");
    }
    if ["pull", "resolve", "failed to fetch", "unable to find image"].iter().any(|word| text.contains(word)) {
        return fault.code(Code::IMAGE_UNAVAILABLE).hint(format!(
            "the platform can't pull {}: was it pushed (`faas push`), and may the platform read that registry?",
            deployment.image
        ));
    }
    if is_ending(&text) {
        return fault
            .hint("its old process doesn't end on SIGTERM: give it a handler for that signal, then deploy again");
    }
    fault
}

/// Waits until it answers; what the platform says of it then, where that had to be asked.
async fn answers(
    api: &GatewayApi,
    id: &FunctionId,
    wait: Duration,
    progress: &dyn Progress,
) -> Result<Option<Deployed>> {
    let end = Instant::now() + wait;
    let mut pause = Duration::from_millis(20);
    let mut up = false;
    let mut last;
    loop {
        // Asked at once, and nothing else while that is enough: with many functions and a gateway that is far away, each
        // question counts.
        let health = health(api, id).await;
        last = health;
        if health == Health::Well {
            return Ok(None);
        }
        // "Available" alone is no promise: faasd says it as soon as the container runs. So the platform is only asked when
        // something else than a watchdog answers, which may be the gateway, or when nothing does for a while.
        if health == Health::Listens || pause > LONG {
            let told = described(api, id).await?;
            up = told.as_ref().is_some_and(|told| told.available.is_some_and(|n| n > 0));
            // What answered may have been the gateway, in the moment in which the process ended.
            if health == Health::Listens && told.as_ref().is_some_and(|t| t.replicas > 0 && t.available != Some(0)) {
                return Ok(told);
            }
        }
        if Instant::now() + pause > end {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    // A call makes faasd start a dead process again, so one that ends at once looks up for a moment: look again when nobody
    // has called for a while.
    tokio::time::sleep(if up { Duration::from_millis(500) } else { Duration::ZERO }).await;
    let told = described(api, id).await?;
    if told.as_ref().is_some_and(|told| told.available.is_some_and(|n| n > 0)) {
        let waited = humantime::format_duration(wait);
        let answers = match last {
            Health::Refuses(status) => format!("answers {status}"),
            _ => "does not answer".to_owned(),
        };
        progress.warn(&id.name, &format!("is deployed, but {answers} after {waited}"));
        return Ok(told);
    }
    let waited = humantime::format_duration(wait);
    let fault =
        Fault::timed_out(format!("{id} is deployed, but no replica is up after {waited}")).code(Code::NOT_READY);
    Err(match last_words(api, id).await {
        Some(words) => fault.cause(words),
        None => fault.cause("its log is empty"),
    }
    .hint(format!("`faas logs {id}` and the platform's events say more")))
}

/// What the platform says of it; `None` where it knows of none yet: Kubernetes tells of a new function a moment later.
async fn described(api: &GatewayApi, id: &FunctionId) -> Result<Option<Deployed>> {
    match api.describe(id).await {
        Ok(told) => Ok(Some(told)),
        Err(fault) if fault.kind == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Waits until it answers, for who may not look at it.
async fn unseen(api: &GatewayApi, id: &FunctionId, wait: Duration, progress: &dyn Progress) {
    let (end, mut pause) = (Instant::now() + wait, Duration::from_millis(20));
    while !listens(api, id).await {
        if Instant::now() + pause > end {
            let waited = humantime::format_duration(wait);
            return progress.warn(&id.name, &format!("is deployed, but does not answer after {waited}"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// The end of its log, which often says why it does not come up.
async fn last_words(api: &GatewayApi, id: &FunctionId) -> Option<String> {
    let query = LogQuery {
        id: id.clone(),
        instance: None,
        container: None,
        since: None,
        tail: Some(5),
        follow: false,
        previous: false,
    };
    let entries: Vec<LogEntry> = api.logs(query).await.ok()?.try_collect().await.ok()?;
    let lines: Vec<String> = entries.into_iter().map(|entry| entry.text).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What a function says to the question for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Nothing.
    Silent,
    /// Somebody says that it doesn't answer, or not yet: a proxy on the way, or the function itself.
    Refuses(StatusCode),
    /// Something: it is no watchdog, or it was the gateway.
    Listens,
    /// That it is well, which nobody says in its place.
    Well,
}

/// Whether the function answers, be it well or not.
pub async fn listens(api: &GatewayApi, id: &FunctionId) -> bool {
    matches!(health(api, id).await, Health::Listens | Health::Well)
}

/// Asks the path that every OpenFaaS workload serves for health checks, through the gateway.
async fn health(api: &GatewayApi, id: &FunctionId) -> Health {
    let request = Request {
        method: Method::GET,
        path: "/_/health".into(),
        headers: HeaderMap::new(),
        body: Box::pin(futures_util::stream::empty()),
        length: Some(0),
        timeout: Some(Duration::from_secs(5)),
    };
    let Ok(response) = api.client.call(&id.to_string(), false, request).await else { return Health::Silent };
    let status = response.status();
    if status.is_success() {
        // A page is what proxies and single-page applications answer to every path.
        let kind = response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        // Read to its end, so that the connection serves the next question.
        let mut rest = body(response);
        while let Some(Ok(_)) = rest.next().await {}
        return if page { Health::Listens } else { Health::Well };
    }
    if !status.is_server_error() {
        return Health::Listens;
    }
    // The gateway's own 500 is empty or says that it can't reach the function; a function's own is an answer.
    let mut words = Vec::new();
    let mut rest = body(response);
    while let Some(Ok(chunk)) = rest.next().await {
        words.extend_from_slice(&chunk);
        if words.len() > 1024 {
            break;
        }
    }
    let words = String::from_utf8_lossy(&words);
    if words.trim().is_empty() || words.contains("Can't reach service") || words.contains("connection refused") {
        return Health::Silent;
    }
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Health::Refuses(status)
        }
        _ => Health::Listens,
    }
}
