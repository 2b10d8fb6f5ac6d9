//! The classic builder: the engine's own, step by step, as every engine has it. Podman's takes its place in Podman.
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt;

use super::builder::gone;
use super::engine::{Engine, said};
use super::image::Request;
use super::log::Log;
use super::{archive, push};
use crate::error::Result;
use crate::progress::State;

/// Builds the image of `request`. Of those with the same Dockerfile and arguments one goes first: this builder would do the
/// steps that they share again for each that starts meanwhile.
///
/// # Errors
/// What the engine says, with the step that failed.
pub async fn run(request: &Request<'_>, engine: &Engine) -> Result<()> {
    if request.options.no_cache || engine.is_podman() {
        return build(request, engine).await;
    }
    let key = format!("{}\0{:?}", request.dockerfile, request.args);
    let first = request.project.shared.lock().await.entry(key).or_default().clone();
    let goes_first = AtomicBool::new(false);
    let lead = || async {
        goes_first.store(true, Ordering::Relaxed);
        build(request, engine).await
    };
    first.get_or_try_init(lead).await?;
    if goes_first.into_inner() { Ok(()) } else { build(request, engine).await }
}

async fn build(request: &Request<'_>, engine: &Engine) -> Result<()> {
    let Request { name, project, options, context, .. } = request;
    let args: HashMap<String, String> = request.args_with_proxies().into_iter().collect();
    let labels: HashMap<String, String> = request.labels().into_iter().collect();
    let mut query = BuildImageOptionsBuilder::default()
        .dockerfile("Dockerfile")
        .t(request.reference)
        .rm(true)
        .forcerm(true)
        .nocache(options.no_cache)
        .buildargs(&args)
        .labels(&labels);
    if options.pull {
        query = query.pull("1");
    }
    if let Some(platform) = request.function.build.platforms.first() {
        query = query.platform(platform);
    }
    let mut log = Log::open(project, name, context, request.dockerfile, request.progress)?;
    let body = bollard::body_try_stream(archive::stream(request.tree, context)?);
    let credentials = push::credentials_for_bases(project, context, request.args);
    let mut events = std::pin::pin!(engine.api.build_image(query.build(), credentials, Some(body)));
    let mut steps = Steps::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if let Some(detail) = event.error_detail {
                    return Err(log.failed(steps.current, &detail.message.unwrap_or_default()));
                }
                if let Some(text) = event.stream {
                    steps.text(&text, &mut log);
                }
                // Bars of a pull: their beginning and end are worth a line, not each of their states.
                if let (Some(status), None) = (event.status, event.progress_detail.and_then(|p| p.current)) {
                    let id = event.id.map(|id| format!("{id}: ")).unwrap_or_default();
                    log.note(&format!("{id}{status}"));
                }
            }
            Err(error) if is_its_own(&error) => return Err(log.failed(steps.current, &said(&error))),
            Err(error) => {
                log.write(&said(&error));
                return Err(gone(name, &engine.address.shown, &said(&error)));
            }
        }
    }
    if steps.built { Ok(()) } else { Err(gone(name, &engine.address.shown, "it said no more")) }
}

/// Whether the engine said so, rather than the connection to it.
fn is_its_own(error: &Error) -> bool {
    matches!(error, Error::DockerStreamError { .. } | Error::DockerResponseServerError { .. })
}

/// Knows the beginnings of steps in what the builder prints.
#[derive(Default)]
struct Steps {
    current: Option<u64>,
    /// When that began.
    began: Option<Instant>,
    /// The last one that ended.
    ended: Option<u64>,
    /// Whether the current one was done before.
    cached: bool,
    /// Whether the image is there.
    built: bool,
    /// A line that has no end yet and might begin a step.
    partial: String,
}

impl Steps {
    /// The current step ended: steps come one after the other.
    fn end(&mut self, log: &mut Log<'_>) {
        let cached = std::mem::take(&mut self.cached);
        if let Some(key) = self.current.filter(|key| self.ended != Some(*key)) {
            log.ended(key, if cached { State::Cached } else { State::Ended(self.began.map(|began| began.elapsed())) });
            self.ended = Some(key);
        }
    }

    fn text(&mut self, text: &str, log: &mut Log<'_>) {
        self.partial += text;
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            let line = line.trim_end();
            self.built |= line.starts_with("Successfully built ");
            if let Some((number, title)) = step(line) {
                self.end(log);
                self.current = Some(number);
                self.began = Some(Instant::now());
                log.step(number, line, title, usize::try_from(number).ok());
            } else if line.starts_with(" ---> ") || line.starts_with("Removing intermediate container") {
                // What the engine says of its own work helps nobody when a step fails.
                self.cached |= line == " ---> Using cache";
                log.write(line);
            } else {
                log.text(self.current.unwrap_or(0), "", &format!("{line}\n"));
            }
        }
        if self.built {
            self.end(log);
        }
        // No step's line is that long.
        if self.partial.len() > 4096 {
            log.text(self.current.unwrap_or(0), "", &std::mem::take(&mut self.partial));
        }
    }
}

/// `Step 3/4 : RUN make` and Podman's `STEP 3/4: RUN make`.
fn step(line: &str) -> Option<(u64, &str)> {
    let (number, title) = line.strip_prefix("Step ").or_else(|| line.strip_prefix("STEP "))?.split_once(':')?;
    let number = number.trim().split('/').next()?.parse().ok()?;
    Some((number, title.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_known_by_their_line() {
        assert_eq!(step("Step 3/4 : RUN echo a: b"), Some((3, "RUN echo a: b")));
        assert_eq!(step("STEP 1/2: FROM x"), Some((1, "FROM x")));
        assert_eq!(step("Step by step: no"), None);
    }
}
