//! A function's log in CloudWatch: all streams in one, followed by asking again. `StartLiveTail` would need one session
//! per follower, and the account has fifteen.
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;

use super::Lambda;
use super::aws::Aws;
use super::fault::{code, fault};
use super::name::function_name;
use crate::backend::{LogEntry, LogQuery, LogStream};
use crate::error::{Fault, Result};

/// How often is asked for more.
const EVERY: Duration = Duration::from_secs(2);
/// Lines come late and out of order by this much, in milliseconds.
const LATE: i64 = 10_000;
/// How far back is looked for the last lines, in milliseconds: the first window that holds enough of them is taken.
const WINDOWS: [i64; 3] = [3_600_000, 86_400_000, 7 * 86_400_000];

pub(super) fn group(name: &str) -> String {
    format!("/aws/lambda/{name}")
}

/// Reads one page of a log; `None` when there is no log yet.
async fn page(
    aws: &Aws,
    name: &str,
    since: i64,
    token: Option<String>,
) -> Result<Option<(Vec<FilteredLogEvent>, Option<String>)>> {
    let request = aws.logs.filter_log_events().log_group_name(group(name)).start_time(since.max(0));
    match request.set_next_token(token).send().await {
        Ok(output) => Ok(Some((output.events().to_vec(), output.next_token().map(str::to_owned)))),
        Err(error) if code(&error) == "ResourceNotFoundException" => Ok(None),
        Err(error) => Err(fault(format!("can't read the log of {name}"), &error)),
    }
}

async fn all(aws: &Aws, name: &str, since: i64) -> Result<Vec<FilteredLogEvent>> {
    let (mut events, mut token) = (Vec::new(), None);
    while let Some((more, next)) = page(aws, name, since, token.take()).await? {
        events.extend(more);
        match next {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    Ok(events)
}

/// What is asked for now, and the time to go on from.
async fn first(aws: &Aws, name: &str, query: &LogQuery) -> Result<Vec<FilteredLogEvent>> {
    let now = jiff::Timestamp::now().as_millisecond();
    let events = match (query.since, query.tail) {
        (Some(since), _) => all(aws, name, since.as_millisecond()).await?,
        (None, None) => all(aws, name, 0).await?,
        (None, Some(tail)) => {
            let mut found = Vec::new();
            for back in WINDOWS.iter().map(|window| now - window).chain([0]) {
                found = all(aws, name, back).await?;
                if found.len() as u64 >= tail {
                    break;
                }
            }
            found
        }
    };
    let skip = query.tail.map_or(0, |tail| events.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
    Ok(events.into_iter().skip(skip).collect())
}

struct Follow {
    lambda: Lambda,
    query: LogQuery,
    name: String,
    ready: VecDeque<FilteredLogEvent>,
    /// Streams and ids of what was shown, with their times, as far back as lines may still come late.
    seen: HashMap<String, i64>,
    from: i64,
    started: bool,
}

impl Follow {
    async fn more(&mut self) -> Result<bool> {
        let aws = self.lambda.aws().await?;
        let events = if self.started {
            if !self.query.follow {
                return Ok(false);
            }
            tokio::time::sleep(EVERY).await;
            all(aws, &self.name, self.from).await?
        } else {
            self.started = true;
            first(aws, &self.name, &self.query).await?
        };
        for event in events {
            let stream = event.log_stream_name().unwrap_or_default();
            let id = format!("{stream} {}", event.event_id().unwrap_or_default());
            let time = event.timestamp().unwrap_or_default();
            if self.seen.insert(id, time).is_none() {
                self.from = self.from.max(time - LATE);
                self.ready.push_back(event);
            }
        }
        let from = self.from;
        self.seen.retain(|_, time| *time >= from);
        Ok(true)
    }
}

/// A function's log.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is neither a function nor a log.
pub async fn logs(lambda: &Lambda, query: LogQuery) -> Result<LogStream> {
    let aws = lambda.aws().await?;
    let name = function_name(&query.id);
    if super::wait::read(aws, &name).await?.is_none() && page(aws, &name, 0, None).await?.is_none() {
        return Err(Fault::not_found(format!("there is no function {name} in {}", aws.region)));
    }
    // What is older than this run is not asked for again once the first lines were shown.
    let from =
        query.since.map_or_else(|| jiff::Timestamp::now().as_millisecond() - LATE, |since| since.as_millisecond());
    let follow = Follow {
        lambda: lambda.clone(),
        name,
        query,
        ready: VecDeque::new(),
        seen: HashMap::new(),
        from,
        started: false,
    };
    Ok(Box::pin(futures_util::stream::try_unfold(follow, |mut follow| async move {
        loop {
            while let Some(event) = follow.ready.pop_front() {
                let entry = entry(&follow.query, &event);
                if follow.query.instance.as_ref().is_none_or(|instance| *instance == entry.instance) {
                    return Ok(Some((entry, follow)));
                }
            }
            if !follow.more().await? {
                return Ok(None);
            }
        }
    })))
}

fn entry(query: &LogQuery, event: &FilteredLogEvent) -> LogEntry {
    // `2026/11/23/[7]3c1…`: the instance is what stands behind the version.
    let stream = event.log_stream_name().unwrap_or_default();
    let time = event.timestamp().unwrap_or_default();
    LogEntry {
        name: query.id.name.clone(),
        namespace: query.id.namespace.clone().unwrap_or_default(),
        instance: stream.rsplit(']').next().unwrap_or(stream).to_owned(),
        timestamp: jiff::Timestamp::from_millisecond(time).unwrap_or_default(),
        text: event.message().unwrap_or_default().trim_end_matches(['\n', '\r']).to_owned(),
    }
}

/// Keeps a function's log for so many days.
///
/// # Errors
/// When CloudWatch refuses it.
pub async fn keep_for(aws: &Aws, name: &str, days: i32) -> Result<()> {
    match aws.logs.create_log_group().log_group_name(group(name)).send().await {
        Ok(_) => {}
        Err(error) if code(&error) == "ResourceAlreadyExistsException" => {}
        Err(error) => return Err(fault(format!("can't make the log of {name}"), &error)),
    }
    let put = aws.logs.put_retention_policy().log_group_name(group(name)).retention_in_days(days).send().await;
    put.map(|_| ()).map_err(|error| fault(format!("can't keep the log of {name} for {days} days"), &error))
}

/// Removes a function's log.
///
/// # Errors
/// When it is there and can't be removed.
pub async fn remove(aws: &Aws, name: &str) -> Result<()> {
    match aws.logs.delete_log_group().log_group_name(group(name)).send().await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "ResourceNotFoundException" => Ok(()),
        Err(error) => Err(fault(format!("can't remove the log of {name}"), &error)),
    }
}
