//! Logs of all pods of a function, whichever revision they belong to, followed across scale to zero.
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::diagnosis::SIDECAR;
use super::objects::{SERVICE_LABEL, Service};
use super::trouble;
use crate::backend::{LogEntry, LogQuery, LogStream};
use crate::error::{Fault, Result};

/// How often new pods are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How many lines wait for the reader.
const WAITING: usize = 1024;

/// The log.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is no such function.
pub async fn logs(cluster: &Cluster, query: LogQuery) -> Result<LogStream> {
    let service = cluster.service(&query.id).await?;
    if let Some(name) = &query.container {
        has(&service, name)?;
    }
    let reader = Reader {
        pods: cluster.pods(query.id.namespace.as_deref()).await?,
        namespace: service.metadata.namespace.clone().unwrap_or_default(),
        query,
    };
    if reader.query.follow { Ok(reader.follow()) } else { reader.so_far().await }
}

#[derive(Clone)]
struct Reader {
    pods: Api<Pod>,
    namespace: String,
    query: LogQuery,
}

/// How far a reader came.
#[derive(Debug, Clone, Copy)]
struct End {
    last: Option<jiff::Timestamp>,
}

/// A container of a pod, in its so-manieth life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    pod: String,
    container: String,
    restarts: i32,
}

impl Reader {
    /// The containers, and whether each runs.
    async fn sources(&self) -> Result<Vec<(Source, bool)>> {
        let list = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", self.query.id.name));
        let what = format!("can't find the pods of {}", self.query.id);
        let pods = self.pods.list(&list).await.map_err(|e| trouble::fault(&what, e))?;
        let wanted = |pod: &Pod| self.query.instance.as_ref().is_none_or(|i| *i == pod.name_any());
        Ok(pods.iter().filter(|pod| wanted(pod)).flat_map(|pod| sources_of(pod, &self.query)).collect())
    }

    fn params(&self, source: &Source, since: Option<jiff::Timestamp>, tail: Option<u64>, follow: bool) -> LogParams {
        LogParams {
            container: Some(source.container.clone()),
            // Sent in whole seconds, rounded: up would leave lines out.
            since_time: since.and_then(|time| jiff::Timestamp::from_second(time.as_second()).ok()),
            tail_lines: tail.and_then(|n| i64::try_from(n).ok()),
            timestamps: true,
            follow,
            previous: self.query.previous,
            ..LogParams::default()
        }
    }

    /// Everything that is there, in the order of time.
    async fn so_far(&self) -> Result<LogStream> {
        let read = |(source, _): (Source, bool)| async move {
            let params = self.params(&source, self.query.since, self.query.tail, false);
            match self.pods.logs(&source.pod, &params).await {
                Ok(text) => Ok(text.lines().filter_map(|line| self.entry(&source, line)).collect::<Vec<_>>()),
                // It went away while we looked.
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => Ok(Vec::new()),
                Err(error) => Err(trouble::fault(&format!("can't read the log of pod {}", source.pod), error)),
            }
        };
        let sources = self.sources().await?;
        if self.query.previous && sources.is_empty() {
            return Err(Fault::not_found(format!("no process of {} was started again", self.query.id))
                .hint("leave out --previous: all that was said is in the log of those that run"));
        }
        let lines: Vec<Vec<LogEntry>> = futures_util::stream::iter(sources).map(read).buffered(8).try_collect().await?;
        let mut lines: VecDeque<LogEntry> = lines.into_iter().flatten().collect();
        lines.make_contiguous().sort_by_key(|entry| entry.timestamp);
        if let Some(most) = self.query.tail.and_then(|n| usize::try_from(n).ok()) {
            lines.drain(..lines.len().saturating_sub(most));
        }
        Ok(Box::pin(futures_util::stream::iter(lines).map(Ok)))
    }

    /// What is there and what comes, from pods that come and go.
    fn follow(self) -> LogStream {
        let (send, receive) = mpsc::channel(WAITING);
        // The set lives in the stream: dropping the stream ends every reader.
        let mut tasks = JoinSet::new();
        tasks.spawn(self.watch(send));
        Box::pin(futures_util::stream::unfold((receive, tasks), |(mut receive, tasks)| async move {
            let entry = receive.recv().await?;
            Some((entry, (receive, tasks)))
        }))
    }

    async fn watch(self, send: mpsc::Sender<Result<LogEntry>>) {
        let mut readers = JoinSet::new();
        // What is read, or was; with where to go on, once the reader has ended.
        let mut known: BTreeMap<Source, Option<End>> = BTreeMap::new();
        let mut first = true;
        let mut failures = 0;
        while !send.is_closed() {
            match self.sources().await {
                Ok(sources) => {
                    failures = 0;
                    for (source, running) in sources {
                        let after = match known.get(&source) {
                            // Pods that come later are shown from their start.
                            None => None,
                            // Cut off, by the API server or on the way: the container goes on, and so do we.
                            Some(Some(end)) if running => Some(end.last),
                            Some(_) => continue,
                        };
                        let (since, tail) = match after {
                            Some(last) => (last, None),
                            None if first => (self.query.since, self.query.tail),
                            None => (None, None),
                        };
                        known.insert(source.clone(), None);
                        let params = self.params(&source, since, tail, true);
                        readers.spawn(self.clone().read(source, params, after.flatten(), send.clone()));
                    }
                    first = false;
                }
                // The API server may be restarting.
                Err(fault) => {
                    failures += 1;
                    if first || failures > 10 {
                        let _ = send.send(Err(fault)).await;
                        return;
                    }
                }
            }
            while let Some(ended) = readers.try_join_next() {
                if let Ok((source, end)) = ended {
                    known.insert(source, Some(end));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads until the end, leaving out what is not `after` that time.
    async fn read(
        self,
        source: Source,
        params: LogParams,
        after: Option<jiff::Timestamp>,
        send: mpsc::Sender<Result<LogEntry>>,
    ) -> (Source, End) {
        let mut end = End { last: after.or(params.since_time) };
        let Ok(lines) = self.pods.log_stream(&source.pod, &params).await else { return (source, end) };
        let mut lines = lines.lines();
        while let Some(Ok(line)) = lines.next().await {
            let Some(entry) = self.entry(&source, &line) else { continue };
            if after.is_some_and(|after| entry.timestamp <= after) {
                continue;
            }
            end.last = Some(entry.timestamp);
            if send.send(Ok(entry)).await.is_err() {
                break;
            }
        }
        (source, end)
    }

    /// A line with the time before it; `None` where it is older than was asked for.
    fn entry(&self, source: &Source, line: &str) -> Option<LogEntry> {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        let timestamp: jiff::Timestamp = time.parse().ok()?;
        if self.query.since.is_some_and(|since| timestamp < since) {
            return None;
        }
        Some(LogEntry {
            name: self.query.id.name.clone(),
            namespace: self.namespace.clone(),
            instance: source.pod.clone(),
            timestamp,
            text: text.trim_end_matches('\r').to_owned(),
        })
    }
}

/// Whether the function's pods have a container of that name.
fn has(service: &Service, name: &str) -> Result<()> {
    let own = service.spec.pointer("/template/spec/containers").and_then(serde_json::Value::as_array);
    let own = own.into_iter().flatten().filter_map(|c| c.get("name")?.as_str());
    let names: Vec<_> = own.chain([SIDECAR]).collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(Fault::not_found(format!("{} has no container {name}", service.name()))
        .hint(format!("it has {}", names.join(", "))))
}

/// The containers of a pod that have begun, and whether each runs: the one that is asked for, or all but the sidecar. One
/// that crashed and waits for its next start still has the log of the last.
fn sources_of(pod: &Pod, query: &LogQuery) -> Vec<(Source, bool)> {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    statuses
        .filter(|c| query.container.as_ref().map_or(c.name != SIDECAR, |name| c.name == *name))
        .filter(|c| {
            let ended = c.last_state.as_ref().is_some_and(|s| s.terminated.is_some());
            let begun = c.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some());
            ended || begun && !query.previous
        })
        .map(|c| {
            let running = c.state.as_ref().is_some_and(|s| s.running.is_some());
            (Source { pod: pod.name_any(), container: c.name.clone(), restarts: c.restart_count }, running)
        })
        .collect()
}
