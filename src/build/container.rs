//! A function's image as a container of the engine, as `docker run` makes one: for `faas local-run` and `template check`.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest, NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions, UploadToContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::engine::{Engine, said};
use crate::error::{Fault, OrFault, Result};
use crate::seal::Clear;

/// Container label: it was started by `faas`, which may remove it.
pub(super) const OWN_KEY: &str = "faas.dev/local-run";
/// Where functions look for their secrets.
const SECRETS: &str = "/var/openfaas/secrets";
/// The port that functions listen on.
const PORT: &str = "8080/tcp";
/// Docker takes no less memory than this.
const LEAST_MEMORY: u64 = 6 << 20;

/// A container that is to be.
#[derive(Default)]
pub struct Container {
    /// Its name, which is the function's.
    pub name: String,
    /// The image.
    pub image: String,
    /// The port of this machine that leads to the function.
    pub port: u16,
    /// The network that it is in; the engine's own when there is none.
    pub network: Option<String>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// The memory that it should stay below, in bytes.
    pub memory: Option<u64>,
    /// The CPU that it may use, in billionths.
    pub nano_cpus: Option<u64>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Clear>,
}

impl Container {
    /// The command line of docker that does the same; `secrets` is the folder that has them.
    #[must_use]
    pub fn command(&self, secrets: &Path) -> String {
        let mut words: Vec<String> = ["docker", "run", "--name", &self.name, "--rm", "-i"].map(str::to_owned).into();
        words.push(format!("-p={}:8080", self.port));
        words.extend(self.network.iter().map(|network| format!("--network={network}")));
        words.extend(self.environment.iter().map(|(name, value)| format!("-e={name}={value}")));
        if self.read_only {
            words.push("--read-only".into());
        }
        words.extend(self.memory.map(|bytes| format!("--memory-reservation={bytes}")));
        #[allow(clippy::cast_precision_loss)]
        words.extend(self.nano_cpus.map(|nanos| format!("--cpus={}", nanos as f64 / 1e9)));
        if !self.secrets.is_empty() {
            words.push(format!("--volume={}:{SECRETS}", secrets.display()));
        }
        words.push(self.image.clone());
        shell_words::join(words)
    }

    /// Starts it. One of `faas` that has its name is removed first, and no other.
    ///
    /// # Errors
    /// When a stranger has its name, or the engine can't start it.
    pub async fn start(&self, engine: &Engine) -> Result<()> {
        let name = &self.name;
        if !remove(engine, name).await? {
            return Err(Fault::failed(format!("there is a container `{name}` already, which faas did not start"))
                .hint(format!("remove it by `docker rm -f {name}` when nobody needs it")));
        }
        let failed = |what: &str, error: &bollard::errors::Error| {
            let cause = said(error);
            let fault = Fault::failed(format!("{name}: can't {what} the container")).cause(&cause);
            match cause.contains("port is already allocated") || cause.contains("address already in use") {
                true => fault.hint(format!("something else has port {}: choose another by --port", self.port)),
                false if cause.contains("No such image") => fault.hint("build it first, or leave --build=false out"),
                false => fault,
            }
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = engine.api.create_container(Some(options), self.body()).await;
        made.map_err(|error| failed("make", &error))?;
        if !self.secrets.is_empty() {
            let options = UploadToContainerOptionsBuilder::new().path(SECRETS).build();
            let body = bollard::body_full(self.archive()?.into());
            engine
                .api
                .upload_to_container(name, Some(options), body)
                .await
                .map_err(|e| failed("give secrets to", &e))?;
        }
        let started = engine.api.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(|error| failed("start", &error))
    }

    fn body(&self) -> ContainerCreateBody {
        let by_host = self.network.as_deref() == Some("host");
        let binding = PortBinding { host_ip: None, host_port: Some(self.port.to_string()) };
        let endpoint = EndpointSettings { aliases: Some(vec![self.name.clone()]), ..Default::default() };
        // Names in a network are for networks that somebody made.
        let own_network =
            self.network.as_ref().filter(|network| !["host", "bridge", "none"].contains(&network.as_str()));
        ContainerCreateBody {
            image: Some(self.image.clone()),
            env: Some(self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(HashMap::from([(OWN_KEY.to_owned(), "true".to_owned())])),
            exposed_ports: Some(vec![PORT.to_owned()]),
            // A volume of its own, so that secrets get there even where the rest is read-only.
            volumes: (!self.secrets.is_empty()).then(|| vec![SECRETS.to_owned()]),
            host_config: Some(HostConfig {
                port_bindings: (!by_host).then(|| HashMap::from([(PORT.to_owned(), Some(vec![binding]))])),
                network_mode: self.network.clone(),
                readonly_rootfs: Some(self.read_only),
                memory_reservation: self.memory.and_then(|bytes| i64::try_from(bytes).ok()),
                nano_cpus: self.nano_cpus.and_then(|nanos| i64::try_from(nanos).ok()),
                ..Default::default()
            }),
            networking_config: own_network.map(|network| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])),
            }),
            ..Default::default()
        }
    }

    /// The secrets as the engine unpacks them: readable in there for the function's user, whoever that is.
    fn archive(&self) -> Result<Vec<u8>> {
        let cant = || format!("{}: can't pack its secrets", self.name);
        let mut archive = tar::Builder::new(Vec::new());
        for (name, value) in &self.secrets {
            let mut header = tar::Header::new_gnu();
            header.set_size(value.len() as u64);
            header.set_mode(0o444);
            archive.append_data(&mut header, name, value.as_slice()).or_fault(cant)?;
        }
        archive.into_inner().or_fault(cant)
    }
}

/// What a container says, as it comes, until it ends; its exit code.
///
/// # Errors
/// When the engine can't tell.
pub async fn follow(engine: &Engine, name: &str, mut on: impl FnMut(&[u8], bool)) -> Result<i64> {
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
    let mut logs = std::pin::pin!(engine.api.logs(name, Some(options)));
    while let Some(Ok(output)) = logs.next().await {
        on(output.as_ref(), matches!(output, LogOutput::StdErr { .. }));
    }
    let mut waited = std::pin::pin!(engine.api.wait_container(name, None::<WaitContainerOptions>));
    match waited.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(Fault::failed(format!("{name}: can't wait for the container")).cause(said(&error))),
        None => Ok(0),
    }
}

/// Removes a container of `faas`, running or not; `false` when there is one that is a stranger's.
///
/// # Errors
/// When the engine can't.
pub async fn remove(engine: &Engine, name: &str) -> Result<bool> {
    let there = match engine.api.inspect_container(name, None::<InspectContainerOptions>).await {
        Ok(there) => there,
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(true),
        Err(error) => return Err(Fault::failed(format!("{name}: can't look for its container")).cause(said(&error))),
    };
    let labels = there.config.and_then(|config| config.labels).unwrap_or_default();
    if !labels.contains_key(OWN_KEY) {
        return Ok(false);
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match engine.api.remove_container(name, Some(options)).await {
        Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(true),
        Err(error) => Err(Fault::failed(format!("{name}: can't remove its container")).cause(said(&error))),
    }
}

/// Makes a network for several containers, unless it is there.
///
/// # Errors
/// When the engine can't.
pub async fn network(engine: &Engine, name: &str) -> Result<()> {
    let labels = HashMap::from([(OWN_KEY.to_owned(), "true".to_owned())]);
    let _ = engine.api.remove_network(name).await;
    let request = NetworkCreateRequest { name: name.to_owned(), labels: Some(labels), ..Default::default() };
    let made = engine.api.create_network(request).await;
    made.map(drop).map_err(|error| Fault::failed(format!("can't make the network {name}")).cause(said(&error)))
}

/// Removes a network that [`network`] made; that it can't be is no matter.
pub async fn remove_network(engine: &Engine, name: &str) {
    let _ = engine.api.remove_network(name).await;
}

/// A quantity of memory, as Kubernetes writes it, in bytes; and a word when it is more than was asked for.
///
/// # Errors
/// When it is none.
pub fn memory(text: &str) -> Result<(u64, Option<String>)> {
    let wrong = || Fault::usage(format!("`{text}` is no quantity of memory")).hint("as 128Mi, 1Gi or 64000000");
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "b" | "B" => 1.0,
        "m" => 1e-3,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" | "g" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = (number * factor) as u64;
    if bytes < LEAST_MEMORY {
        let word = format!("{text} of memory is less than an engine takes: {} MiB are used", LEAST_MEMORY >> 20);
        return Ok((LEAST_MEMORY, Some(word)));
    }
    Ok((bytes, None))
}

/// A quantity of CPU, as `100m` or `0.5`, in billionths.
///
/// # Errors
/// When it is none.
pub fn cpu(text: &str) -> Result<u64> {
    let (number, factor) = match text.strip_suffix('m') {
        Some(number) => (number, 1e6),
        None => (text, 1e9),
    };
    let number = number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let wrong = || Fault::usage(format!("`{text}` is no quantity of CPU")).hint("as 100m or 0.5");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    number.map(|n| (n * factor) as u64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_kubernetes() {
        assert_eq!(memory("128Mi").unwrap().0, 134_217_728);
        assert_eq!(memory("64000000").unwrap(), (64_000_000, None));
        let (bytes, word) = memory("1Mi").unwrap();
        assert!(bytes == LEAST_MEMORY && word.is_some());
        assert_eq!((cpu("100m").unwrap(), cpu("0.5").unwrap()), (100_000_000, 500_000_000));
        assert!(memory("lots").is_err() && cpu("x").is_err() && memory("1Xi").is_err());
    }

    #[test]
    fn the_command_line_can_be_pasted() {
        let container = Container {
            name: "tax".into(),
            image: "reg/tax:1".into(),
            port: 8081,
            network: Some("n".into()),
            environment: BTreeMap::from([("A".into(), "x y".into())]),
            read_only: true,
            memory: Some(134_217_728),
            nano_cpus: Some(100_000_000),
            secrets: BTreeMap::from([("key".into(), Clear::default())]),
        };
        assert_eq!(
            container.command(Path::new("/p/.secrets")),
            "docker run --name tax --rm -i '-p=8081:8080' '--network=n' '-e=A=x y' --read-only '--memory-reservation=134217728' \
             '--cpus=0.1' '--volume=/p/.secrets:/var/openfaas/secrets' reg/tax:1"
        );
    }
}
