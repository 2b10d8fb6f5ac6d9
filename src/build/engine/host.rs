//! Where the engine is looked for: `DOCKER_HOST`, docker's context, the sockets of Docker and Podman.
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::dial::{Address, Tls};
use crate::build::Project;
use crate::error::{Fault, Result};

/// Docker's port without TLS.
const PORT: u16 = 2375;
/// Docker's port with TLS.
const TLS_PORT: u16 = 2376;

/// Where the engine listens.
///
/// # Errors
/// When `DOCKER_HOST` or the context can't be used.
pub fn find(project: &Project<'_>) -> Result<Address> {
    if let Some(host) = project.env.get("DOCKER_HOST") {
        let tls = project.env.get("DOCKER_TLS_VERIFY").or(project.env.get("DOCKER_TLS"));
        let dir = || project.env.get("DOCKER_CERT_PATH").map_or_else(|| config_dir(project), PathBuf::from);
        return address(host, tls.map(|_| dir()));
    }
    if let Some(address) = context(project)? {
        return Ok(address);
    }
    let sockets = sockets(project);
    Ok(Address::unix(sockets.iter().find(|socket| is_usable(socket)).unwrap_or(&sockets[0])))
}

fn address(host: &str, tls: Option<PathBuf>) -> Result<Address> {
    let tls = tls.map(|dir| Tls { dir, protocol: None });
    Address::parse(host, tls.as_ref(), if tls.is_some() { TLS_PORT } else { PORT })
}

/// The sockets that engines listen on unless told otherwise, Docker's first, rootless ones too.
pub fn sockets(project: &Project<'_>) -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let runtime = project.env.get("XDG_RUNTIME_DIR").map_or_else(|| format!("/run/user/{uid}").into(), PathBuf::from);
    vec![
        "/var/run/docker.sock".into(),
        runtime.join("docker.sock"),
        project.home.join(".docker/run/docker.sock"),
        runtime.join("podman/podman.sock"),
        "/run/podman/podman.sock".into(),
    ]
}

/// Whether somebody listens there and this user may connect. A socket file may be left over from an engine that ended.
fn is_usable(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Docker's folder of settings.
pub fn config_dir(project: &Project<'_>) -> PathBuf {
    docker_config(project.env, &project.home)
}

/// The same, of an environment and a home.
#[must_use]
pub fn docker_config(env: &crate::context::Env, home: &std::path::Path) -> PathBuf {
    env.get("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from)
}

/// The address in docker's current context; `None` for the default one. `contexts/meta/<sha256 of the name>/meta.json`
/// and `contexts/tls/<the same>/docker/` are where the docker program keeps it.
fn context(project: &Project<'_>) -> Result<Option<Address>> {
    let dir = config_dir(project);
    let read = |path: PathBuf| -> Option<Value> { serde_json::from_slice(&std::fs::read(path).ok()?).ok() };
    let name = project
        .env
        .get("DOCKER_CONTEXT")
        .map(str::to_owned)
        .or_else(|| read(dir.join("config.json"))?.get("currentContext")?.as_str().map(str::to_owned));
    let Some(name) = name.filter(|name| !name.is_empty() && name != "default") else { return Ok(None) };
    let id = Sha256::digest(name.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let meta = read(dir.join("contexts/meta").join(&id).join("meta.json"));
    let host = meta.as_ref().and_then(|meta| meta.pointer("/Endpoints/docker/Host")).and_then(|host| host.as_str());
    let Some(host) = host else {
        return Err(Fault::failed(format!("docker's context `{name}` is not there"))
            .hint("`docker context ls` lists them; `docker context use default` goes back to the default"));
    };
    let tls = dir.join("contexts/tls").join(&id).join("docker");
    address(host, Some(tls).filter(|tls| tls.is_dir())).map(Some)
}
