//! What BuildKit tells of a build, as a log: its vertexes are steps, numbered as they begin.
use std::collections::HashMap;
use std::time::Duration;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex};

use crate::build::log::Log;
use crate::progress::State;

/// What was told so far.
#[derive(Default)]
pub struct Trace {
    vertexes: HashMap<String, Seen>,
    /// The number of the step that failed.
    pub failing: Option<u64>,
}

struct Seen {
    number: u64,
    begun: bool,
    ended: bool,
}

impl Trace {
    fn seen(&mut self, digest: &str) -> &mut Seen {
        let number = self.vertexes.len() as u64 + 1;
        self.vertexes.entry(digest.to_owned()).or_insert(Seen { number, begun: false, ended: false })
    }

    /// Writes an event to the log.
    pub fn take(&mut self, event: StatusResponse, log: &mut Log<'_>) {
        for vertex in &event.vertexes {
            self.vertex(vertex, log);
        }
        for one in &event.statuses {
            if one.completed.is_some() {
                let number = self.seen(&one.vertex).number;
                log.write(&format!("#{number} {}", one.id));
            }
        }
        for one in &event.logs {
            let number = self.seen(&one.vertex).number;
            log.text(number, &format!("#{number} "), &String::from_utf8_lossy(&one.msg));
        }
        for one in &event.warnings {
            let number = self.seen(&one.vertex).number;
            log.note(&format!("#{number} warning: {}", String::from_utf8_lossy(&one.short)));
        }
    }

    fn vertex(&mut self, vertex: &Vertex, log: &mut Log<'_>) {
        // Those that only wait are not there yet.
        if vertex.started.is_none() && !vertex.cached {
            return;
        }
        let seen = self.seen(&vertex.digest);
        let number = seen.number;
        if !std::mem::replace(&mut seen.begun, true) {
            log.step(number, &format!("#{number} {}", vertex.name), &vertex.name, None);
        }
        let (Some(started), Some(completed)) = (&vertex.started, &vertex.completed) else { return };
        if std::mem::replace(&mut seen.ended, true) {
            return;
        }
        let took = Duration::from_secs_f64((seconds(completed) - seconds(started)).max(0.0));
        let (how, state) = if !vertex.error.is_empty() {
            // What was under way when another step failed is cancelled, and not to blame.
            if self.failing.is_none() && !vertex.error.contains("context canceled") {
                self.failing = Some(number);
            }
            (format!("ERROR: {}", vertex.error), State::Stopped)
        } else if vertex.cached {
            ("CACHED".into(), State::Cached)
        } else {
            (format!("DONE {:.1}s", took.as_secs_f64()), State::Ended(Some(took)))
        };
        log.write(&format!("#{number} {how}"));
        log.ended(number, state);
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn seconds(time: &Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}
