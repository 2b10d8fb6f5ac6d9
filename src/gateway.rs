//! The embedded platform behind provider `local`: a daemon that serves the OpenFaaS gateway API and runs functions as
//! processes. This file is its way in for the rest of the house: start, stop, find it, and its token.
use std::path::PathBuf;

use secrecy::SecretString;

use crate::context::Dirs;
use crate::error::{Fault, OrFault, Result};

mod answer;
mod auth;
mod balance;
mod callback;
mod calls;
mod controller;
mod files;
mod functions;
mod handlers;
mod idle;
mod invoke;
mod launch;
mod leftovers;
mod logs;
mod metrics;
mod namespaces;
mod panics;
mod port;
mod process;
mod queue;
mod record;
mod replica;
mod router;
mod secrets;
pub mod serve;
mod store;

pub use launch::{Running, Settings, Stopped, check_free, ensure_awake, log_path, running, start, stop};
pub use leftovers::{Leftovers, clear_leftovers, leftovers};

/// Whether the database of a platform that does not run can be read; it is only looked at.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn look_at_state(dirs: &Dirs) -> Result<()> {
    store::look(&dirs.local().join(STATE))
}

/// Moves the database out of the way, beside where it was; the next start begins with an empty one. Where it is now.
///
/// # Errors
/// When it can't be moved.
pub fn set_state_aside(dirs: &Dirs) -> Result<std::path::PathBuf> {
    let (path, now) = (dirs.local().join(STATE), jiff::Timestamp::now().as_second());
    let aside = path.with_file_name(format!("{STATE}.damaged-{now}"));
    std::fs::rename(&path, &aside).or_fault(|| format!("can't move {}", path.display()))?;
    Ok(aside)
}

/// The namespace of functions that name none.
pub const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// The user's name that goes with the token.
pub const USER: &str = "admin";

/// The database, below the platform's folder.
const STATE: &str = "state.redb";

/// Where the platform listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// The platform that runs, or one started now at `address` (`host:port` or a URL).
///
/// # Errors
/// When it can't be started; a taken port says by whom.
pub async fn ensure_started(dirs: &Dirs, address: &str) -> Result<Running> {
    if let Some(running) = running(dirs).filter(|running| !running.stopping) {
        return Ok(running);
    }
    let settings = Settings { listen: listen_address(address)?, ..Settings::default() };
    let dirs = dirs.clone();
    tokio::task::spawn_blocking(move || start(&dirs, &settings).map(|(running, _)| running))
        .await
        .or_fault(|| "starting the embedded platform failed".into())?
}

/// `host:port` out of what a stack file's `provider.gateway` or a flag says.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when it is neither `host:port` nor an http URL of a host.
pub fn listen_address(address: &str) -> Result<String> {
    let bare = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let wrong = |why: &str| {
        Fault::usage(format!("the embedded platform can't listen on `{address}`: {why}"))
            .hint("give an address of this machine as HOST:PORT, for example 127.0.0.1:8080; for a gateway elsewhere, write `name: openfaas` under `provider:`")
    };
    if bare.starts_with("https://") {
        return Err(wrong("it speaks http, not https"));
    }
    if bare.is_empty() || bare.contains('/') {
        return Err(wrong("that is no HOST:PORT"));
    }
    let has_port = bare.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']') && !port.is_empty());
    let full = if has_port { bare.to_owned() } else { format!("{bare}:80") };
    match full.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(full),
        _ => Err(wrong("the port is not a number up to 65535")),
    }
}

/// Whether a platform ever ran here: what it had then comes back with it.
#[must_use]
pub fn has_state(dirs: &Dirs) -> bool {
    dirs.local().join(STATE).exists()
}

/// The generated password of user [`USER`], made at the first start.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] before the first start; else when the file can't be read.
pub fn token(dirs: &Dirs) -> Result<SecretString> {
    let path = token_path(dirs);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(SecretString::from(text.trim().to_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Fault::not_found("the embedded platform has no token yet")
                .hint("`faas local start` makes it at the first start"))
        }
        Err(e) => Err(Fault::failed(format!("can't read the token in {}", path.display())).cause(e)),
    }
}

fn token_path(dirs: &Dirs) -> PathBuf {
    dirs.local().join("token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_from_flags_and_from_urls() {
        for (given, listen) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1:9000/", "127.0.0.1:9000"),
            ("http://localhost", "localhost:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(listen_address(given).unwrap(), listen);
        }
        for wrong in ["https://127.0.0.1:8080", "http://host/path", "", "127.0.0.1:99999", "127.0.0.1:http"] {
            assert_eq!(listen_address(wrong).unwrap_err().kind, crate::error::Kind::Usage, "{wrong}");
        }
    }
}
