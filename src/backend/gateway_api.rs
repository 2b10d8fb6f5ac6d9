//! What every platform with the OpenFaaS gateway API shares: reading, removing, calling, logs, secrets, namespaces.
use std::collections::VecDeque;

use async_trait::async_trait;
use base64::Engine;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;

use super::{
    Body, Call, Deployed, Existing, Info, LogEntry, LogQuery, LogStream, Namespace, Namespaces, Reply, Scope, Secret,
    SecretName, Secrets, Usage, Written,
};
use crate::error::{Code, Fault, Kind, Result};
use crate::function::{FunctionId, Resources};
use crate::wire::client::{Answer, Client, LogsRequest, Request, body, is_about_namespace};
use crate::wire::{self, FunctionStatus, LogMessage, Map, Quantities};

pub mod deployment;
pub mod examine;
pub mod manifest;
pub mod marks;
pub mod preview;

/// How many questions a gateway is asked at a time.
const MOST_AT_ONCE: usize = 128;

/// From so many names on, the list is asked for once rather than every function: it has all but whether the replicas
/// are up, in fewer bytes.
const LIST_FROM: usize = 16;

/// The namespace that a function's URL leaves out.
const DEFAULT_NAMESPACE: &str = "openfaas-fn";
/// How much of a 404's body is looked at to tell the gateway's own from the function's.
const PEEK: usize = 4096;

/// A gateway, as a backend uses it.
#[derive(Debug)]
pub struct GatewayApi {
    /// The client of its REST API.
    pub client: Client,
}

impl GatewayApi {
    /// What is deployed: all of the scope's namespace, or the named functions; missing ones are left out.
    ///
    /// # Errors
    /// When the gateway can't be asked.
    pub async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>> {
        let namespace = scope.namespace.as_deref();
        if scope.names.is_empty() {
            let mut all: Vec<_> =
                self.client.functions(namespace).await?.into_iter().map(|s| self.deployed(s)).collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(all);
        }
        if scope.names.len() >= LIST_FROM && !scope.usage {
            let mut all = self.client.functions(namespace).await?;
            all.retain(|status| scope.names.contains(&status.name));
            return Ok(all.into_iter().map(|status| self.deployed(status)).collect());
        }
        // Order kept, so many at a time: a gateway is not a place to open a thousand connections to.
        let (client, usage) = (&self.client, scope.usage);
        let found: Vec<Option<FunctionStatus>> = futures_util::stream::iter(scope.names.clone())
            .map(|name| async move {
                match client.function(&name, namespace, usage).await {
                    Ok(status) => Ok(Some(counted(status))),
                    Err(fault) if fault.code == Code::NO_FUNCTION => Ok(None),
                    Err(fault) => Err(fault),
                }
            })
            .buffered(MOST_AT_ONCE)
            .try_collect()
            .await?;
        let mut found: Vec<Deployed> = found.into_iter().flatten().map(|s| self.deployed(s)).collect();
        if usage && !found.is_empty() {
            // Only the list counts calls.
            let counted = client.functions(namespace).await?;
            for function in &mut found {
                let count = counted.iter().find(|c| c.name == function.name).and_then(|c| c.invocation_count);
                function.invocations = count.or(function.invocations);
            }
        }
        Ok(found)
    }

    /// One function; the platform's answer in our words.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn describe(&self, id: &FunctionId) -> Result<Deployed> {
        let status = self.client.function(&id.name, id.namespace.as_deref(), false).await?;
        Ok(self.deployed(counted(status)))
    }

    /// What a deployment of `wanted` would change; see [`preview::differences`].
    ///
    /// # Errors
    /// When the gateway can't be asked.
    pub async fn preview(
        &self,
        change: &super::Change,
        wanted: &wire::FunctionDeployment,
        whole_environment: bool,
    ) -> Result<Vec<super::Difference>> {
        let there = match self.describe(&change.function.id()).await {
            Ok(there) => Some(there),
            Err(fault) if fault.code == Code::NO_FUNCTION => None,
            Err(fault) => return Err(fault),
        };
        Ok(preview::differences(change, wanted, there.as_ref(), whole_environment))
    }

    /// The platform's answer in our words.
    #[must_use]
    pub fn deployed(&self, status: FunctionStatus) -> Deployed {
        let namespace = status.namespace.clone().filter(|ns| ns != DEFAULT_NAMESPACE);
        let place = FunctionId { name: status.name.clone(), namespace };
        let resources =
            |q: Option<Quantities>| q.map(|q| Resources { memory: q.memory, cpu: q.cpu }).unwrap_or_default();
        let tells = (status.labels.is_some(), status.annotations.is_some());
        let mut annotations = status.annotations.unwrap_or_default();
        marks::unpack(&mut annotations, &status.image);
        Deployed {
            url: Some(format!("{}/function/{place}", self.client.address())),
            async_url: Some(format!("{}/async-function/{place}", self.client.address())),
            name: status.name,
            namespace: status.namespace,
            image: status.image,
            process: status.env_process.filter(|p| !p.is_empty()),
            environment: status.env_vars.unwrap_or_default(),
            secrets: status.secrets.unwrap_or_default(),
            labels: status.labels.unwrap_or_default(),
            annotations,
            constraints: status.constraints.unwrap_or_default(),
            limits: resources(status.limits),
            requests: resources(status.requests),
            read_only: status.read_only_root_filesystem,
            replicas: status.replicas.unwrap_or(0),
            available: status.available_replicas,
            invocations: Some(status.invocation_count.unwrap_or(0.0)),
            ready: None,
            created: status.created_at.filter(|t| !t.starts_with("0001-01-01")),
            usage: status.usage.map(|u| Usage { cpu: u.cpu, memory: u.total_memory_bytes }),
            taken: None,
            tells,
            pinned: None,
        }
    }

    /// Removes a function.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn remove(&self, id: &FunctionId) -> Result<()> {
        let answer = self.client.delete_function(&id.name, id.namespace.as_deref()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(
                Fault::not_found(format!("there is no function {id}")).hint("`faas list` shows what is deployed")
            );
        }
        answer.accept(&format!("can't remove {id}")).map(drop)
    }

    /// Calls a function.
    ///
    /// # Errors
    /// When no answer came, or the gateway says that there is no such function.
    pub async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply> {
        let Call { method, path, mut headers, body: sent, length, asynchronous, timeout, options } = call;
        if options.exchange {
            let namespace = id.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
            headers.insert(http::header::AUTHORIZATION, self.client.function_token(namespace, &id.name).await?);
        }
        let request = Request { method, path, headers, body: sent, length, timeout };
        let mut response = self.client.call(&id.to_string(), asynchronous, request).await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut received = body(response);
        if status == StatusCode::NOT_FOUND {
            let start = peek(&mut received).await;
            let said = String::from_utf8_lossy(&start);
            if said.starts_with("error finding function") && is_about_namespace(&said) {
                return Err(no_namespace(id.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)));
            }
            if said.starts_with("error finding function") {
                return Err(Fault::not_found(format!("there is no function {id}"))
                    .code(Code::NO_FUNCTION)
                    .cause(said.trim())
                    .hint("`faas list` shows what is deployed"));
            }
            received = Box::pin(futures_util::stream::iter([Ok(start)]).chain(received));
        }
        Ok(Reply { status, headers, body: received })
    }

    /// A function's log.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such function.
    pub async fn logs(&self, query: LogQuery) -> Result<LogStream> {
        // A gateway answers an unknown name with an empty log, which would be followed forever.
        self.client.function(&query.id.name, query.id.namespace.as_deref(), false).await?;
        self.log(query).await
    }

    /// The same of a function that may not be there any more.
    ///
    /// # Errors
    /// When the gateway can't be asked.
    pub async fn log(&self, query: LogQuery) -> Result<LogStream> {
        // faasd takes the first lines of the window, not the last, when it doesn't follow: the tail is taken here.
        let tail_here = query.tail.filter(|_| !query.follow);
        let request = LogsRequest {
            name: query.id.name,
            namespace: query.id.namespace,
            instance: query.instance.clone(),
            since: query.since,
            tail: query.tail.filter(|_| query.follow),
            follow: query.follow,
        };
        let entries = self.client.logs(&request).await?.map_ok(entry);
        // Not every provider knows the `instance` parameter.
        let wanted = move |entry: &LogEntry| query.instance.as_ref().is_none_or(|i| *i == entry.instance);
        let entries = entries.try_filter(move |entry| std::future::ready(wanted(entry)));
        let Some(most) = tail_here.and_then(|n| usize::try_from(n).ok()) else {
            return Ok(Box::pin(entries));
        };
        let mut last = VecDeque::new();
        let mut entries = std::pin::pin!(entries);
        while let Some(entry) = entries.try_next().await? {
            last.push_back(entry);
            if last.len() > most {
                last.pop_front();
            }
        }
        Ok(Box::pin(futures_util::stream::iter(last).map(Ok)))
    }

    /// Sets the number of replicas.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such function.
    pub async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<()> {
        self.client.scale_function(&id.name, id.namespace.as_deref(), replicas.into()).await
    }

    /// Whether a replica is available.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such function.
    pub async fn ready(&self, id: &FunctionId) -> Result<bool> {
        let status = self.client.function(&id.name, id.namespace.as_deref(), false).await?;
        Ok(status.available_replicas.is_some_and(|n| n > 0))
    }

    /// The platform itself.
    ///
    /// # Errors
    /// When it can't be asked.
    pub async fn info(&self) -> Result<Info> {
        let details = self.client.info().await?;
        let text = |path: &str| details.pointer(path).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        Ok(Info {
            provider: text("/provider/provider"),
            orchestration: text("/provider/orchestration"),
            version: text("/version/release"),
            address: self.client.address().to_owned(),
            details,
        })
    }
}

/// Of a single function the replicas that are up are told, and left out where there are none.
fn counted(status: FunctionStatus) -> FunctionStatus {
    FunctionStatus { available_replicas: Some(status.available_replicas.unwrap_or(0)), ..status }
}

/// The first bytes of a body, at least [`PEEK`] unless it is shorter.
async fn peek(body: &mut Body) -> Bytes {
    let mut start = Vec::new();
    while start.len() < PEEK {
        match body.next().await {
            Some(Ok(chunk)) => start.extend_from_slice(&chunk),
            _ => break,
        }
    }
    start.into()
}

fn entry(message: LogMessage) -> LogEntry {
    let LogMessage { name, namespace, instance, timestamp, text } = message;
    LogEntry { name, namespace, instance, timestamp, text: text.trim_end_matches(['\n', '\r']).to_owned() }
}

#[async_trait]
impl Secrets for GatewayApi {
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>> {
        let mut names: Vec<_> = self
            .client
            .secrets(namespace)
            .await?
            .into_iter()
            .map(|s| SecretName { name: s.name, namespace: s.namespace.filter(|ns| !ns.is_empty()) })
            .collect();
        names.sort();
        Ok(names)
    }

    async fn create(&self, secret: &Secret, existing: Existing) -> Result<Written> {
        let name = &secret.name.name;
        // Some providers overwrite without a word, others refuse: what is there is asked first.
        let there = match existing {
            Existing::Overwrite => false,
            Existing::Refuse => self.has(&secret.name).await?,
            Existing::Replace => may_not_ask(self.has(&secret.name).await, false)?,
        };
        if !there {
            let answer = self.client.secret(Method::POST, &on_the_wire(secret)).await?;
            if !is_taken(&answer) {
                return answer.accept(&format!("can't create the secret {name}")).map(|_| Written::Created);
            }
        }
        if existing == Existing::Refuse {
            return Err(exists(name));
        }
        self.put(secret).await.map(|()| Written::Updated)
    }

    async fn update(&self, secret: &Secret) -> Result<()> {
        // faasd makes a secret that is not there instead of saying so.
        if !may_not_ask(self.has(&secret.name).await, true)? {
            return Err(no_secret(&secret.name.name));
        }
        self.put(secret).await
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let secret = wire::Secret { name: name.name.clone(), namespace: name.namespace.clone(), ..Default::default() };
        let answer = self.client.secret(Method::DELETE, &secret).await?;
        // faasd answers 500 with the words of the file system.
        if answer.status == StatusCode::NOT_FOUND || answer.text.contains("no such file or directory") {
            return Err(no_secret(&name.name));
        }
        answer.accept(&format!("can't remove the secret {}", name.name)).map(drop)
    }
}

impl GatewayApi {
    async fn has(&self, secret: &SecretName) -> Result<bool> {
        let there = self.client.secrets(secret.namespace.as_deref()).await?;
        Ok(there.iter().any(|one| one.name == secret.name))
    }

    async fn put(&self, secret: &Secret) -> Result<()> {
        let name = &secret.name.name;
        let answer = self.client.secret(Method::PUT, &on_the_wire(secret)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(no_secret(name));
        }
        answer.accept(&format!("can't update the secret {name}")).map(drop)
    }
}

/// Who may write secrets may be somebody who may not list them.
fn may_not_ask(there: Result<bool>, assumed: bool) -> Result<bool> {
    there.or_else(|fault| if fault.kind == Kind::Unauthorized { Ok(assumed) } else { Err(fault) })
}

fn is_taken(answer: &Answer) -> bool {
    answer.status == StatusCode::CONFLICT || !answer.status.is_success() && answer.text.contains("already exists")
}

/// Once: as text, which every provider reads, else as bytes in base64.
fn on_the_wire(secret: &Secret) -> wire::Secret {
    let bytes = secret.value.expose_secret();
    let text = std::str::from_utf8(bytes).ok();
    wire::Secret {
        name: secret.name.name.clone(),
        namespace: secret.name.namespace.clone(),
        value: text.map(Into::into),
        raw_value: text.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

fn exists(name: &str) -> Fault {
    Fault::failed(format!("the secret {name} exists already")).hint("without --no-replace it gets the new value")
}

fn no_secret(name: &str) -> Fault {
    Fault::not_found(format!("there is no secret {name}")).hint("`faas secret list` shows what is there")
}

#[async_trait]
impl Namespaces for GatewayApi {
    async fn list(&self) -> Result<Vec<String>> {
        let mut names = self.client.namespaces().await?;
        names.sort();
        Ok(names)
    }

    async fn get(&self, name: &str) -> Result<Namespace> {
        let found = self.client.namespace(name).await.map_err(|fault| match fault.kind {
            Kind::NotFound => no_namespace(name),
            _ => fault,
        })?;
        Ok(Namespace {
            name: if found.name.is_empty() { name.into() } else { found.name },
            labels: found.labels.unwrap_or_default(),
            annotations: found.annotations.unwrap_or_default(),
        })
    }

    async fn create(&self, namespace: &Namespace) -> Result<()> {
        let name = &namespace.name;
        let answer = self.client.change_namespace(Method::POST, &marked(namespace)).await?;
        if answer.status == StatusCode::CONFLICT {
            return Err(Fault::failed(format!("the namespace {name} exists already"))
                .hint(format!("`faas namespace update {name}` changes its labels and annotations")));
        }
        if is_done_all_the_same(&answer) && self.client.namespaces().await?.iter().any(|n| n == name) {
            return Ok(());
        }
        answer.accept(&format!("can't create the namespace {name}")).map(drop)
    }

    async fn update(&self, namespace: &Namespace) -> Result<()> {
        let answer = self.client.change_namespace(Method::PUT, &marked(namespace)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(no_namespace(&namespace.name));
        }
        if is_done_all_the_same(&answer) {
            let there = Namespaces::get(self, &namespace.name).await?;
            let has = |there: &Map, wanted: &Map| wanted.iter().all(|(key, value)| there.get(key) == Some(value));
            if has(&there.labels, &namespace.labels) && has(&there.annotations, &namespace.annotations) {
                return Ok(());
            }
        }
        answer.accept(&format!("can't update the namespace {}", namespace.name)).map(drop)
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let mut mark = marked(&Namespace { name: name.into(), ..Namespace::default() });
        mark.annotations = None;
        let answer = self.client.change_namespace(Method::DELETE, &mark).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(no_namespace(name));
        }
        // Where functions are containers, those count, too.
        let images = if self.client.is_embedded() { "" } else { ", and what images are left in it" };
        let fault = |f: Fault| match answer.status {
            StatusCode::INTERNAL_SERVER_ERROR => {
                f.hint(format!("`faas list -n {name}` shows the functions in it: remove them first{images}"))
            }
            _ => f,
        };
        answer.clone().accept(&format!("can't remove the namespace {name}")).map(drop).map_err(fault)
    }
}

/// faasd on older releases of containerd changes a namespace and then refuses its own event for that.
fn is_done_all_the_same(answer: &Answer) -> bool {
    !answer.status.is_success() && answer.text.contains("failed publishing event")
}

/// The namespace with the mark that a gateway wants before it touches one.
fn marked(namespace: &Namespace) -> wire::FunctionNamespace {
    let mark = |map: &std::collections::BTreeMap<String, String>| {
        let mut map = map.clone();
        map.insert("openfaas".into(), "1".into());
        Some(map)
    };
    wire::FunctionNamespace {
        name: namespace.name.clone(),
        labels: mark(&namespace.labels),
        annotations: mark(&namespace.annotations),
    }
}

fn no_namespace(name: &str) -> Fault {
    Fault::not_found(format!("there is no namespace {name}")).hint("`faas namespace list` shows what is there")
}
