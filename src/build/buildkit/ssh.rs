//! Agents of ssh for `RUN --mount=type=ssh`: a step signs with the user's keys, and can neither see nor change them.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::io::{ReaderStream, StreamReader};
use tonic::{Request as Call, Response, Status, Streaming};

use crate::error::{Fault, OrFault, Result};

/// What a step names that names no agent.
pub const DEFAULT: &str = "default";
/// Which agent a call is for.
const ID: &str = "buildkit.ssh.id";
/// The two things that a step may ask an agent: which keys there are, and a signature
/// (<https://datatracker.ietf.org/doc/html/draft-miller-ssh-agent>).
const ALLOWED: [u8; 2] = [11, 13];
/// The agent's word for no.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// OpenSSH's own limit of a message.
const LARGEST: usize = 256 << 10;

/// Where the keys of an agent are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// With an agent that listens at this socket.
    Socket(PathBuf),
    /// In these files, for an agent of ours.
    Keys(Vec<PathBuf>),
}

/// The agents of a build; those of ours end with it.
#[derive(Default)]
pub struct Agents {
    sockets: BTreeMap<String, PathBuf>,
    _ours: Vec<(Child, tempfile::TempDir)>,
}

impl Agents {
    /// Looks whether the agents are there, and starts those that are to have keys out of files.
    ///
    /// # Errors
    /// When an agent does not answer, or a key can't be used.
    pub async fn start(name: &str, agents: &BTreeMap<String, Agent>) -> Result<Self> {
        let mut started = Self::default();
        for (id, agent) in agents {
            let socket = match agent {
                Agent::Socket(path) => path.clone(),
                Agent::Keys(keys) => started.own(name, id, keys).await?,
            };
            UnixStream::connect(&socket).await.map_err(|error| {
                Fault::usage(format!("{name}: no ssh agent answers at {}", socket.display()))
                    .cause(error)
                    .hint("start one (`eval $(ssh-agent); ssh-add`), or name a key: `--ssh default=~/.ssh/id_ed25519`")
            })?;
            started.sockets.insert(id.clone(), socket);
        }
        Ok(started)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// OpenSSH's own agent with the keys, at a socket that only this user can reach.
    async fn own(&mut self, name: &str, id: &str, keys: &[PathBuf]) -> Result<PathBuf> {
        let dir = tempfile::Builder::new().prefix("faas-ssh-").tempdir();
        let dir = dir.or_fault(|| format!("{name}: can't make a folder for the ssh agent `{id}`"))?;
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .or_fault(|| format!("{name}: can't start `ssh-agent` for the key of `{id}`"))?;
        self._ours.push((child, dir));
        for _ in 0..100 {
            if socket.exists() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        for key in keys {
            add(name, key, &socket).await?;
        }
        Ok(socket)
    }
}

/// Gives a key to the agent at `socket`; nobody is asked for a passphrase.
async fn add(name: &str, key: &Path, socket: &Path) -> Result<()> {
    let shown = key.display();
    let output = Command::new("ssh-add")
        .arg("-q")
        .arg(key)
        .env("SSH_AUTH_SOCK", socket)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("SSH_ASKPASS", "false")
        .stdin(Stdio::null())
        .output()
        .await
        .or_fault(|| format!("{name}: can't start `ssh-add` for the key {shown}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let hint = "a key with a passphrase goes to an agent first: `ssh-add FILE`, and then `--ssh default`";
    Err(Fault::usage(format!("{name}: the ssh key {shown} can't be used")).cause(said.trim()).hint(hint))
}

#[tonic::async_trait]
impl Ssh for Agents {
    async fn check_agent(&self, call: Call<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.socket(&call.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = std::pin::Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send + 'static>>;

    async fn forward_agent(
        &self,
        call: Call<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = call.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let agent = UnixStream::connect(self.socket(id)?).await?;
        let asked = call
            .into_inner()
            .map(|message| message.map(|message| bytes::Bytes::from(message.data)).map_err(std::io::Error::other));
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            if let Err(error) = serve(StreamReader::new(asked), theirs, agent).await {
                tracing::debug!("the ssh agent's forwarding ended: {error}");
            }
        });
        let answers = ReaderStream::new(ours)
            .map(|piece| piece.map(|data| BytesMessage { data: data.into() }).map_err(Status::from));
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Agents {
    fn socket(&self, id: &str) -> Result<&Path, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let socket = self.sockets.get(id).map(PathBuf::as_path);
        socket.ok_or_else(|| Status::not_found(format!("no ssh agent `{id}` was given")))
    }
}

/// Hands on what a step may ask, and answers the rest with no; until the step has asked all.
async fn serve(
    mut step: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
    mut agent: impl AsyncRead + AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some(message) = message(&mut step).await? {
        let answer = match message.get(4).is_some_and(|kind| ALLOWED.contains(kind)) {
            true => {
                agent.write_all(&message).await?;
                self::message(&mut agent).await?.ok_or(std::io::ErrorKind::UnexpectedEof)?
            }
            false => FAILURE.to_vec(),
        };
        answers.write_all(&answer).await?;
    }
    answers.shutdown().await
}

/// The next message with its length before it; `None` at the end.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > LARGEST {
        return Err(std::io::Error::other("a message of an ssh agent is too long"));
    }
    let mut message = head.to_vec();
    message.resize(4 + length, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_lists_and_signatures_reach_the_agent() {
        let (mut step, there) = tokio::io::duplex(1024);
        let (mut agent, ours) = tokio::io::duplex(1024);
        let (read, write) = tokio::io::split(there);
        let work = tokio::spawn(serve(read, write, ours));
        // Remove all keys: answered without the agent.
        step.write_all(&[0, 0, 0, 1, 19]).await.unwrap();
        assert_eq!(message(&mut step).await.unwrap().unwrap(), FAILURE);
        // A list: the agent's own answer.
        step.write_all(&[0, 0, 0, 1, 11]).await.unwrap();
        assert_eq!(message(&mut agent).await.unwrap().unwrap(), [0, 0, 0, 1, 11]);
        agent.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).await.unwrap();
        assert_eq!(message(&mut step).await.unwrap().unwrap(), [0, 0, 0, 5, 12, 0, 0, 0, 0]);
        step.shutdown().await.unwrap();
        work.await.unwrap().unwrap();
    }
}
