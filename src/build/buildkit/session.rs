//! The session of a build: what BuildKit asks its client for while it builds.
use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bollard::auth::DockerCredentials;
use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::oneshot;
use tokio_util::io::{ReaderStream, StreamReader};
use tonic::{Request as Call, Response, Status};
use uuid::Uuid;

use super::connect::{BuildKit, upgraded};
use super::files::Files;
use super::ssh::Agents;
use crate::build::engine::dial::Stream;
use crate::build::image::Request;
use crate::build::mask::Mask;
use crate::error::{Fault, Result};
use crate::registry::login::HUB;

/// The hosts of Docker Hub that BuildKit asks a login for.
const HUB_HOSTS: [&str; 3] = ["registry-1.docker.io", "docker.io", "index.docker.io"];
/// BuildKit takes no larger secret.
const LARGEST_SECRET: u64 = 500 * 1024;

/// A build secret: where its value is.
#[derive(Clone)]
pub enum Secret {
    /// In a file, absolute.
    File(PathBuf),
    /// Here.
    Value(SecretSlice<u8>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(…)"),
        }
    }
}

/// What a session serves.
pub struct Session {
    files: Files,
    secrets: Arc<HashMap<String, SecretSlice<u8>>>,
    logins: Arc<HashMap<String, DockerCredentials>>,
    agents: Agents,
    /// Contexts with the same key are taken for the same, so that nothing is sent twice.
    key: String,
}

/// A session that BuildKit knows; it ends when this is dropped.
pub struct Open {
    /// What a build names it by.
    pub id: String,
    _end: oneshot::Sender<()>,
}

impl Session {
    /// Reads the secrets of the build, and looks for its ssh agents.
    ///
    /// # Errors
    /// When one can't be read, or does not answer.
    pub async fn new(request: &Request<'_>, files: Files, logins: HashMap<String, DockerCredentials>) -> Result<Self> {
        let mut secrets = HashMap::new();
        for (id, secret) in request.secrets() {
            secrets.insert(id.clone(), value(request.name, &id, &secret)?);
        }
        let agents = Agents::start(request.name, &request.options.ssh).await?;
        let key = request.fingerprint.to_owned();
        Ok(Self { files, secrets: Arc::new(secrets), logins: Arc::new(logins), agents, key })
    }

    /// The values of its secrets.
    pub fn mask(&self) -> Mask {
        Mask::of(self.secrets.values().map(ExposeSecret::expose_secret))
    }

    /// Tells BuildKit of it and serves it from now on.
    ///
    /// # Errors
    /// When BuildKit can't be told.
    pub async fn open(self, buildkit: &BuildKit) -> std::result::Result<Open, String> {
        let id = Uuid::new_v4().simple().to_string();
        let mut headers = vec![
            ("x-docker-expose-session-uuid", id.clone()),
            ("x-docker-expose-session-name", "faas".to_owned()),
            ("x-docker-expose-session-sharedkey", self.key.clone()),
        ];
        let ssh = ["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"];
        let methods = [
            "/moby.filesync.v1.FileSync/DiffCopy",
            "/moby.filesync.v1.Auth/Credentials",
            "/moby.buildkit.secrets.v1.Secrets/GetSecret",
            "/grpc.health.v1.Health/Check",
        ];
        // What is not offered is not asked for: a step that wants an agent is told that there is none.
        for method in methods.into_iter().chain(ssh.into_iter().filter(|_| !self.agents.is_empty())) {
            headers.push(("x-docker-expose-session-grpc-method", method.to_owned()));
        }
        let stream = if buildkit.inside {
            upgraded(&buildkit.address, "/session", &headers).await.map_err(|error| error.to_string())?
        } else {
            tunnel(buildkit, &headers).await?
        };
        let (end, ended) = oneshot::channel::<()>();
        let incoming =
            futures_util::stream::iter([Ok::<_, std::io::Error>(stream)]).chain(futures_util::stream::pending());
        let service = self.services();
        tokio::spawn(async move {
            let shut = async {
                let _ = ended.await;
            };
            if let Err(error) = service.serve_with_incoming_shutdown(incoming, shut).await {
                tracing::debug!("the session with BuildKit ended: {error}");
            }
        });
        Ok(Open { id, _end: end })
    }

    fn services(self) -> tonic::transport::server::Router {
        let Self { files, secrets, logins, agents, .. } = self;
        tonic::transport::Server::builder()
            .add_service(HealthServer::new(Alive))
            .add_service(FileSyncServer::new(files).max_encoding_message_size(super::LARGEST))
            .add_service(AuthServer::new(Logins(logins)))
            .add_service(SecretsServer::new(Values(secrets)))
            .add_service(SshServer::new(agents))
    }
}

/// The session inside a call of the daemon's API: bytes both ways.
async fn tunnel(buildkit: &BuildKit, headers: &[(&'static str, String)]) -> std::result::Result<Stream, String> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(theirs);
    let bytes = ReaderStream::with_capacity(read, 32 * 1024)
        .filter_map(async |chunk| chunk.ok().map(|data| BytesMessage { data: data.to_vec() }));
    let mut call = Call::new(Box::pin(bytes));
    for (name, value) in headers {
        let value = value.parse().map_err(|_| format!("{name} is no header"))?;
        call.metadata_mut().append(*name, value);
    }
    let answer = buildkit.control().session(call).await.map_err(|status| super::chain(&status))?;
    let mut from = StreamReader::new(
        answer.into_inner().map(|message| message.map(|m| bytes::Bytes::from(m.data)).map_err(std::io::Error::other)),
    );
    tokio::spawn(async move {
        let mut write = write;
        let _ = tokio::io::copy(&mut from, &mut write).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
    });
    Ok(Stream::new(ours))
}

fn value(name: &str, id: &str, secret: &Secret) -> Result<SecretSlice<u8>> {
    let path = match secret {
        Secret::Value(value) => return Ok(value.clone()),
        Secret::File(path) => path,
    };
    let wrong = |cause: &dyn std::fmt::Display| {
        Fault::usage(format!("{name}: the build secret `{id}` can't be read from {}", path.display())).cause(cause)
    };
    let metadata = std::fs::metadata(path).map_err(|error| wrong(&error))?;
    if metadata.len() > LARGEST_SECRET {
        return Err(wrong(&"it is larger than 500 KiB, the most that BuildKit takes"));
    }
    std::fs::read(path).map(SecretSlice::from).map_err(|error| wrong(&error))
}

/// BuildKit asks now and then whether the session still lives.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, _: Call<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Call<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("there is one health here"))
    }

    type WatchStream = Pin<Box<dyn futures_util::Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(&self, _: Call<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask again instead"))
    }
}

struct Values(Arc<HashMap<String, SecretSlice<u8>>>);

#[tonic::async_trait]
impl Secrets for Values {
    async fn get_secret(&self, call: Call<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = &call.get_ref().id;
        let value = self.0.get(id).ok_or_else(|| Status::not_found(format!("secret {id} not found")))?;
        Ok(Response::new(GetSecretResponse { data: value.expose_secret().to_vec() }))
    }
}

struct Logins(Arc<HashMap<String, DockerCredentials>>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(&self, call: Call<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let host = call.get_ref().host.as_str();
        let host = if HUB_HOSTS.contains(&host) { HUB } else { host };
        let login = self.0.get(host);
        // A token takes the place of the password, without a user.
        let (username, secret) = match login {
            Some(DockerCredentials { identitytoken: Some(token), .. }) => (String::new(), token.clone()),
            Some(login) => (login.username.clone().unwrap_or_default(), login.password.clone().unwrap_or_default()),
            None => Default::default(),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    // Without these, BuildKit gets its tokens by itself, with the credentials.
    async fn fetch_token(&self, _: Call<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the builder"))
    }

    async fn get_token_authority(
        &self,
        _: Call<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the builder"))
    }

    async fn verify_token_authority(
        &self,
        _: Call<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the builder"))
    }
}
