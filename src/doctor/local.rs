//! The embedded platform: whether it runs, in which version, and what a killed one left behind.
use super::{Checked, Patient};
#[cfg(feature = "local")]
use crate::finding::Finding;
#[cfg(feature = "local")]
use crate::gateway;
use crate::stack::ProviderKind;

/// Whether it runs.
#[cfg(feature = "local")]
pub fn runs(patient: &Patient<'_>) -> bool {
    gateway::running(&patient.context.dirs).is_some()
}

/// There is none in this build.
#[cfg(not(feature = "local"))]
pub fn runs(_: &Patient<'_>) -> bool {
    false
}

/// There is none in this build.
#[cfg(not(feature = "local"))]
pub fn looks(_: &Patient<'_>) -> Vec<Checked> {
    Vec::new()
}

/// Looks at it.
#[cfg(feature = "local")]
pub fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let dirs = patient.context.dirs.clone();
    let about = "embedded platform";
    let left = gateway::leftovers(&dirs);
    if left.any() {
        let mut what = Vec::new();
        if left.state {
            what.push("a file that says it runs".to_owned());
        }
        match left.processes {
            0 => {}
            1 => what.push("a function's process".to_owned()),
            n => what.push(format!("{n} processes of functions")),
        }
        let found = format!("it was killed, and left {} behind", what.join(" and "));
        let finding = Finding::warning(about, found).hint("the next `faas local start` clears it away");
        let fix = move || {
            let cleared = gateway::clear_leftovers(&dirs)?;
            Ok(match cleared.processes {
                0 => "removed its state file".to_owned(),
                n => format!("ended {n} of its processes and removed its state file"),
            })
        };
        return vec![Checked::mended_by(finding, "clear away what it left".into(), fix)];
    }
    if let (None, Err(fault)) = (gateway::running(&dirs), gateway::look_at_state(&dirs)) {
        let fix = move || {
            let aside = gateway::set_state_aside(&dirs)?;
            Ok(format!("moved it to {}; `faas up` in each project deploys again what was there", aside.display()))
        };
        return vec![Checked::mended_by(
            Finding::of_fault(about, &fault),
            "move the database out of the way".into(),
            fix,
        )];
    }
    let wanted = patient.kind == ProviderKind::Local;
    let Some(running) = gateway::running(&dirs) else {
        if !wanted {
            return vec![Finding::skipped(about, "it does not run, and this stack does not need it").into()];
        }
        // Somebody else on its port is what keeps it from being started.
        let taken = gateway::listen_address(patient.gateway).and_then(|listen| gateway::check_free(&listen));
        return vec![match taken {
            Ok(()) => Finding::ok(about, format!("it does not run; `faas up` starts it at {}", patient.gateway)).into(),
            Err(fault) => Finding::of_fault(about, &fault).into(),
        }];
    };
    if let Err(fault) = gateway::ensure_awake(&dirs) {
        return vec![Finding::of_fault(about, &fault).into()];
    }
    let said = format!("runs at {} (pid {})", running.url, running.pid);
    let own = env!("CARGO_PKG_VERSION");
    vec![if running.version == own {
        Finding::ok(about, said).into()
    } else {
        Finding::warning(about, format!("{said} in version {}, this is {own}", running.version))
            .hint("`faas local stop`, then `faas local start`: functions come back")
            .into()
    }]
}
