//! Waiting until what was applied is ready: a watch on the Service, and beside it a look at revision, pods and events,
//! since the Service itself tells of many faults after ten minutes or never.
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use kube::api::{WatchEvent, WatchParams};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior};

use super::cluster::Cluster;
use super::diagnosis::{self, Diagnosis};
use super::objects::{Service, condition};
use super::trouble;
use crate::error::{Code, Fault, Kind, Result};
use crate::progress::Progress;

/// When they are first looked at: most are ready by then, and nothing is final so early.
const FIRST_LOOK: Duration = Duration::from_millis(1500);
/// How often revision and pods are looked at.
const LOOK: Duration = Duration::from_millis(700);
/// How long a Service may be "not ready" before that counts: Knative passes through it now and then.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what is left of a removed Service of the same name may stand in the way.
const LEFT_BEHIND: Duration = Duration::from_secs(60);
/// How long one watch is kept; the API server ends it then, and a new one begins.
const WATCH_SECONDS: u32 = 240;
/// How long one look may take: an API server that hangs must not keep events from being read.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// After so many looks the Service itself is read, too: a watch can die without a word.
const LOOKS: u32 = 10;
/// The pause before a watch that broke is begun again.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until `applied`, as the API server gave it back, is ready.
///
/// # Errors
/// What keeps it from becoming ready, as soon as that is sure; [`Kind::TimedOut`] after `limit`.
pub async fn until_ready(
    cluster: &Cluster,
    applied: &Service,
    limit: Duration,
    progress: &dyn Progress,
) -> Result<Service> {
    until(cluster, applied, Goal::Ready, limit, progress).await
}

/// Waits until the revision that `applied` makes can take traffic, whether or not it gets any, and whatever becomes of
/// the traffic meanwhile.
///
/// # Errors
/// Those of [`until_ready`].
pub async fn until_revision(
    cluster: &Cluster,
    applied: &Service,
    limit: Duration,
    progress: &dyn Progress,
) -> Result<Service> {
    until(cluster, applied, Goal::Revision, limit, progress).await
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// The Service, with its traffic where it was asked for.
    Ready,
    /// Its newest revision.
    Revision,
}

async fn until(
    cluster: &Cluster,
    applied: &Service,
    goal: Goal,
    limit: Duration,
    progress: &dyn Progress,
) -> Result<Service> {
    let mut wait = Wait {
        cluster,
        progress,
        goal,
        name: applied.name(),
        told: "deploying".into(),
        seen: None,
        warned: false,
        lost: None,
    };
    let mut service = applied.clone();
    match tokio::time::timeout(limit, wait.run(&mut service)).await {
        Ok(result) => result.map(|()| service),
        Err(_) => Err(wait.timed_out(&service, limit).await),
    }
}

/// A look at revision and pods that is under way.
type Looking<'a> = BoxFuture<'a, Result<Result<Option<Diagnosis>>, Elapsed>>;

/// What the look under way found; never, where none is.
async fn looked(looking: &mut Option<Looking<'_>>) -> Result<Result<Option<Diagnosis>>, Elapsed> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

struct Wait<'a> {
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
    goal: Goal,
    name: &'a str,
    /// The last step that was told.
    told: String,
    /// The fault that was seen last, and since when.
    seen: Option<(Diagnosis, Instant)>,
    warned: bool,
    /// Why the API server can't be asked, as long as it can't.
    lost: Option<String>,
}

impl Wait<'_> {
    async fn run(&mut self, service: &mut Service) -> Result<()> {
        let mut look = tokio::time::interval_at(Instant::now() + FIRST_LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let what = format!("can't watch {}", self.name);
        let services = self.cluster.services(service.metadata.namespace.as_deref()).await?;
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.name)).timeout(WATCH_SECONDS);
        loop {
            if self.done(service)? {
                return Ok(());
            }
            let version = service.metadata.resource_version.clone().unwrap_or_default();
            let begun = tokio::time::timeout(LOOK_LIMIT, services.watch(&params, &version)).await;
            let mut events = match begun {
                Err(_) => futures_util::stream::empty().boxed(),
                Ok(begun) => match begun {
                    Ok(events) => events.boxed(),
                    Err(kube::Error::Api(status)) if status.code == 410 => futures_util::stream::empty().boxed(),
                    Err(kube::Error::Api(status)) if !trouble::may_pass(&status) => {
                        return Err(trouble::refused(&what, &status));
                    }
                    // The API server may be restarting: the limit decides.
                    Err(error) => {
                        self.lost(trouble::chain(&error));
                        futures_util::stream::empty().boxed()
                    }
                },
            };
            let mut looks = 0;
            // Beside the events, so that they are not kept waiting by a look that takes long.
            let mut looking: Option<Looking<'_>> = None;
            loop {
                tokio::select! {
                    found = looked(&mut looking) => {
                        looking = None;
                        looks += 1;
                        match found {
                            Ok(found) => self.look(service, found)?,
                            Err(_) => break,
                        }
                        if looks >= LOOKS {
                            break;
                        }
                    }
                    event = events.next() => match event {
                        Some(Ok(WatchEvent::Added(new) | WatchEvent::Modified(new))) => {
                            *service = new;
                            self.lost = None;
                            if self.done(service)? {
                                return Ok(());
                            }
                        }
                        Some(Ok(WatchEvent::Deleted(_))) => {
                            return Err(Fault::failed(format!("{} was removed while it was waited for", self.name)));
                        }
                        Some(Ok(WatchEvent::Bookmark(_))) => {}
                        // 410, a broken connection, or the end of its time: read it anew and watch from there.
                        Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => break,
                    },
                    _ = look.tick(), if looking.is_none() => {
                        let (cluster, service) = (self.cluster, service.clone());
                        let found = async move { diagnosis::of(cluster, &service).await };
                        looking = Some(tokio::time::timeout(LOOK_LIMIT, found).boxed());
                    }
                }
            }
            if looks < LOOKS {
                tokio::time::sleep(PAUSE).await;
            }
            match tokio::time::timeout(LOOK_LIMIT, services.get_opt(self.name)).await {
                Ok(Ok(Some(new))) => {
                    *service = new;
                    self.lost = None;
                }
                Ok(Ok(None)) => {
                    return Err(Fault::failed(format!("{} was removed while it was waited for", self.name)));
                }
                Ok(Err(kube::Error::Api(status))) if !trouble::may_pass(&status) => {
                    return Err(trouble::refused(&what, &status));
                }
                Ok(Err(error)) => self.lost(trouble::chain(&error)),
                Err(_) => self.lost(format!("nothing came within {}", humantime::format_duration(LOOK_LIMIT))),
            }
        }
    }

    /// The API server can't be asked: told once, and waited for.
    fn lost(&mut self, why: String) {
        if self.lost.is_none() {
            self.progress.warn(self.name, &format!("the API server doesn't answer ({why}): trying again"));
        }
        self.lost = Some(why);
    }

    /// Whether it is ready; tells what is being waited for.
    fn done(&mut self, service: &Service) -> Result<bool> {
        if service.metadata.deletion_timestamp.is_some() {
            return Err(Fault::failed(format!("{} is being removed", self.name)));
        }
        let status = &service.status;
        let reached = match self.goal {
            Goal::Ready => service.is_ready(),
            Goal::Revision => service.has_newest(),
        };
        if reached {
            return Ok(true);
        }
        let is = |kind: &str, value: &str| condition(&status.conditions, kind).is_some_and(|c| c.status == value);
        let left = condition(&status.conditions, "Ready").is_some_and(|c| c.reason == "NotOwned");
        let step = if left && service.is_observed() {
            "waiting until what the one before made is gone".to_owned()
        } else if !service.is_observed() {
            "deploying".to_owned()
        } else if is("ConfigurationsReady", "True") {
            "routing".to_owned()
        } else if status.latest_created_revision_name.is_empty() || service.is_making() {
            "making a revision".to_owned()
        } else {
            format!("starting revision {}", status.latest_created_revision_name)
        };
        if step != self.told {
            self.progress.step(self.name, &step);
            self.told = step;
        }
        Ok(false)
    }

    /// What was found to keep it from becoming ready; an error once that has lasted long enough.
    fn look(&mut self, service: &Service, found: Result<Option<Diagnosis>>) -> Result<()> {
        let found = match found {
            Ok(found) => found,
            // Who may deploy may not always read pods: the Service's own words have to do then.
            Err(fault) if fault.kind == Kind::Unauthorized => None,
            // The next look may have more luck.
            Err(_) => return Ok(()),
        };
        let sum = if self.goal == Goal::Ready { "Ready" } else { "ConfigurationsReady" };
        let not_ready = condition(&service.status.conditions, sum).filter(|c| c.status == "False");
        let found = found.or_else(|| {
            let condition = not_ready.filter(|_| service.is_observed())?;
            // What a Service of the same name left behind, and what goes away with it.
            let patience = if condition.reason == "NotOwned" { LEFT_BEHIND } else { PATIENCE };
            Some(Diagnosis { patience: Some(patience), ..Diagnosis::new(condition.words()) })
        });
        let Some(found) = found else {
            self.seen = None;
            return Ok(());
        };
        let since = match &self.seen {
            Some((before, since)) if before.kind == found.kind => *since,
            _ => Instant::now(),
        };
        match found.patience {
            Some(patience) if since.elapsed() >= patience => {
                return Err(self.fault(service, Fault::failed(self.failure(service)), &found).code(Code::NOT_READY));
            }
            None if !self.warned => {
                self.warned = true;
                self.progress.warn(self.name, &found.cause);
            }
            _ => {}
        }
        self.seen = Some((found, since));
        Ok(())
    }

    fn failure(&self, service: &Service) -> String {
        let revision = &service.status.latest_created_revision_name;
        if revision.is_empty() || !service.is_observed() {
            format!("{} is deployed, but doesn't become ready", self.name)
        } else {
            format!("{} is deployed, but its revision {revision} doesn't become ready", self.name)
        }
    }

    fn fault(&self, service: &Service, fault: Fault, found: &Diagnosis) -> Fault {
        let status = &service.status;
        let serving = Some(&status.latest_ready_revision_name)
            .filter(|ready| !ready.is_empty() && **ready != status.latest_created_revision_name)
            .map(|ready| format!("revision {ready} goes on serving"));
        let hint = [found.hint.clone(), serving].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let fault = fault.cause(&found.cause);
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    async fn timed_out(&self, service: &Service, limit: Duration) -> Fault {
        let fault = Fault::timed_out(format!("{} within {}", self.failure(service), humantime::format_duration(limit)))
            .code(Code::NOT_READY);
        if let Some(why) = &self.lost {
            return fault.cause(format!("the API server doesn't answer: {why}")).hint(format!(
                "the function was deployed, and may be ready by now: `faas ready {}` asks once the cluster answers",
                self.name
            ));
        }
        let found = match &self.seen {
            Some((found, _)) => Some(found.clone()),
            None => tokio::time::timeout(LOOK_LIMIT, diagnosis::at_the_end(self.cluster, service)).await.ok().flatten(),
        };
        let found = found.unwrap_or_else(|| {
            let ready = condition(&service.status.conditions, "Ready");
            Diagnosis::new(
                ready.map_or_else(|| "Knative says nothing about it".into(), super::objects::Condition::words),
            )
        });
        self.fault(service, fault, &found)
    }
}
