//! What builds images: the container engine and its BuildKit, or a builder of its own; and the invoker that goes into them.
use std::time::Duration;

use super::{Checked, Patient};
use crate::build::engine::Engine;
use crate::finding::{self, Finding, State};

/// An engine on another machine may take a while.
const LIMIT: Duration = Duration::from_secs(15);

/// Looks at all of it.
pub async fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let wanted = patient.wants_images();
    let mut all: Vec<Finding> = match patient.project.builder_host() {
        Some(host) => vec![builder(patient, host).await],
        None => engine(patient, wanted).await,
    };
    all.push(invoker(patient, wanted));
    if !wanted {
        // What nothing needs is nobody's trouble.
        for finding in all.iter_mut().filter(|finding| finding.state > State::Ok) {
            finding.state = State::Skipped;
            finding.hint = None;
            finding.found = format!("{}; nothing here needs it", finding.found.lines().next().unwrap_or_default());
        }
    }
    all.into_iter().map(Into::into).collect()
}

async fn builder(patient: &Patient<'_>, host: &str) -> Finding {
    finding::look("builder", LIMIT, async {
        patient.project.reach_builder(host).await?;
        Ok(Finding::ok("builder", format!("buildkitd answers at {host} (BUILDKIT_HOST)")))
    })
    .await
}

async fn engine(patient: &Patient<'_>, wanted: bool) -> Vec<Finding> {
    let found = tokio::time::timeout(LIMIT, Engine::connect(patient.project)).await;
    let engine = match found {
        Ok(Ok(engine)) => engine,
        Ok(Err(fault)) => {
            let finding = Finding::of_fault("engine", &fault);
            return vec![if wanted { with_group(finding, &fault.to_string()) } else { finding }];
        }
        Err(_) => {
            return vec![
                Finding::broken("engine", format!("no answer within {} s", LIMIT.as_secs()))
                    .hint("look at DOCKER_HOST and docker's context: is that machine there?"),
            ];
        }
    };
    let mut all = vec![Finding::ok("engine", format!("{} at {}", engine.server, engine.address.shown))];
    all.push(if engine.is_podman() {
        Finding::ok("BuildKit", "Podman builds by itself")
    } else {
        match tokio::time::timeout(LIMIT, engine.buildkit()).await {
            Ok(Some(_)) => Finding::ok("BuildKit", "is in the engine"),
            _ => Finding::warning("BuildKit", "the engine has none: the classic builder is used")
                .hint("use Docker 23 or newer for build secrets, cache mounts and several platforms"),
        }
    });
    all
}

/// A socket that this user may not use has one usual reason.
fn with_group(finding: Finding, said: &str) -> Finding {
    if said.contains("ermission denied") {
        finding.hint("add yourself to the group `docker` and log in anew, or use a rootless engine")
    } else {
        finding
    }
}

fn invoker(patient: &Patient<'_>, wanted: bool) -> Finding {
    match &patient.project.watchdog {
        Some(path) if patient.project.watchdog_is_dynamic() => Finding::warning(
            "invoker",
            format!("{} is not static: in an image it only starts where this machine's C library is", path.display()),
        )
        .hint("put the program faas-watchdog of the release beside faas, or name it by FAAS_WATCHDOG"),
        Some(path) => Finding::ok("invoker", format!("{}", path.display())),
        None => {
            let finding = Finding::broken("invoker", "there is no faas-watchdog to put into images");
            if wanted {
                finding.hint("put the program faas-watchdog of the release beside faas, or name it by FAAS_WATCHDOG")
            } else {
                finding
            }
        }
    }
}
