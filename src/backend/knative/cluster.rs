//! The way to a cluster: kubeconfigs, context and namespace, and a client that is made when it is first needed.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Config, Resource};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::manifest::OWNER_LABEL;
use super::objects::{Revision, Service};
use super::{busy, plugin, trouble};
use crate::error::{Code, Fault, OrFault, Result};
use crate::function::FunctionId;
use crate::listener::Listener;

/// How long connecting to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a cluster, and what to do there by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Kubeconfig files; the first to set something wins. None with `in_cluster`.
    pub kubeconfigs: Vec<PathBuf>,
    /// Whether the user named them, so that they have to be there.
    pub named: bool,
    /// Whether this runs in a pod, whose service account serves when there is no kubeconfig.
    pub in_cluster: bool,
    /// The context of the kubeconfig; `None` is its current one.
    pub context: Option<String>,
    /// Whom to act as, and as a member of which groups; `None` is whom the kubeconfig says.
    pub impersonate: Option<(String, Vec<String>)>,
    /// The namespace; `None` is the context's.
    pub namespace: Option<String>,
    /// Where functions are called when their URLs lead nowhere from here: `host:port` or a URL.
    pub ingress: Option<String>,
    /// Whether fields that another field manager set are taken over.
    pub force: bool,
    /// How long `apply` waits until a function is ready; zero doesn't wait.
    pub wait: Duration,
    /// Who is told what is waited for.
    pub listener: Listener,
    /// Whether somebody is there who can answer questions.
    pub attended: bool,
}

/// `provider.knative` in the stack file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    context: Option<String>,
    kubeconfig: Option<PathBuf>,
    namespace: Option<String>,
    ingress: Option<String>,
    force: bool,
}

impl Settings {
    /// From `provider.knative` of the stack file (null when it has none) and the environment: `KUBECONFIG` lists
    /// files, `FAAS_KNATIVE_CONTEXT`, `FAAS_KNATIVE_NAMESPACE` and `FAAS_KNATIVE_INGRESS` win over the file. Paths are
    /// relative to `root`; `wait` is how long `apply` waits.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`] when `provider.knative` has a key or a value that it can't have.
    pub fn new(
        provider: &serde_json::Value,
        env: &dyn Fn(&str) -> Option<String>,
        home: &Path,
        root: &Path,
        wait: Duration,
    ) -> Result<Self> {
        let keys: Keys = if provider.is_null() {
            Keys::default()
        } else {
            serde_json::from_value(provider.clone()).map_err(|error| {
                Fault::usage("`provider.knative` in the stack file can't be read")
                    .cause(error)
                    .hint("it takes context, kubeconfig, namespace, ingress and force")
            })?
        };
        let some = |text: Option<String>| text.filter(|t| !t.is_empty());
        let named = keys.kubeconfig.is_some();
        let kubeconfigs = match (keys.kubeconfig, env("KUBECONFIG")) {
            (Some(path), _) => vec![root.join(path)],
            (None, Some(list)) => std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect(),
            (None, None) => vec![home.join(".kube/config")],
        };
        Ok(Self {
            kubeconfigs,
            named,
            in_cluster: env("KUBERNETES_SERVICE_HOST").is_some(),
            context: some(env("FAAS_KNATIVE_CONTEXT")).or(some(keys.context)),
            namespace: some(env("FAAS_KNATIVE_NAMESPACE")).or(some(keys.namespace)),
            ingress: some(env("FAAS_KNATIVE_INGRESS")).or(some(keys.ingress)),
            force: keys.force,
            impersonate: None,
            wait,
            listener: Listener::default(),
            attended: false,
        })
    }

    /// This kubeconfig and no other.
    pub fn only_kubeconfig(&mut self, path: PathBuf) {
        self.kubeconfigs = vec![path];
        self.named = true;
    }
}

/// A cluster; the client is made when it is first needed.
pub struct Cluster {
    /// How to reach it.
    pub settings: Settings,
    reached: OnceCell<Reached>,
    rehearsed: Mutex<HashMap<FunctionId, BTreeSet<String>>>,
}

/// What is known once the kubeconfig is read.
pub struct Reached {
    /// The client.
    pub client: Client,
    /// The API server's address.
    pub address: String,
    /// Where functions go that name no namespace.
    pub namespace: String,
}

impl Cluster {
    /// A cluster that nobody has talked to yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, reached: OnceCell::new(), rehearsed: Mutex::default() }
    }

    /// Notes that a function has what it needs, and which of its secrets hold a registry's login.
    pub fn rehearsed(&self, id: FunctionId, logins: BTreeSet<String>) {
        self.rehearsed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, logins);
    }

    /// What was noted, once: the next deployment asks anew.
    pub fn was_rehearsed(&self, id: &FunctionId) -> Option<BTreeSet<String>> {
        self.rehearsed.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// The client and what the kubeconfig says.
    ///
    /// # Errors
    /// When there is no usable kubeconfig, or its credential plugin fails or hangs.
    pub async fn reach(&self) -> Result<&Reached> {
        self.reached.get_or_try_init(|| connect(&self.settings)).await
    }

    /// The client alone.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn client(&self) -> Result<Client> {
        Ok(self.reach().await?.client.clone())
    }

    /// `namespace`, or where functions go that name none.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn namespace<'a>(&'a self, namespace: Option<&'a str>) -> Result<&'a str> {
        match namespace {
            Some(namespace) => Ok(namespace),
            None => Ok(&self.reach().await?.namespace),
        }
    }

    /// The objects of one type in a namespace.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn api<K>(&self, namespace: Option<&str>) -> Result<Api<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let reached = self.reach().await?;
        Ok(Api::namespaced(reached.client.clone(), namespace.unwrap_or(&reached.namespace)))
    }

    /// Knative Services.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn services(&self, namespace: Option<&str>) -> Result<Api<Service>> {
        self.api(namespace).await
    }

    /// Revisions.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn revisions(&self, namespace: Option<&str>) -> Result<Api<Revision>> {
        self.api(namespace).await
    }

    /// Pods.
    ///
    /// # Errors
    /// Those of [`Cluster::reach`].
    pub async fn pods(&self, namespace: Option<&str>) -> Result<Api<Pod>> {
        self.api(namespace).await
    }

    /// A function's Service with everything that Kubernetes knows of it; `None` when there is none.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn raw(&self, id: &FunctionId) -> Result<Option<DynamicObject>> {
        let kind = ApiResource::erase::<Service>(&());
        let namespace = self.namespace(id.namespace.as_deref()).await?;
        let all: Api<DynamicObject> = Api::namespaced_with(self.client().await?, namespace, &kind);
        all.get_opt(&id.name).await.map_err(|e| trouble::fault(&format!("can't read {id}"), e))
    }

    /// A function's Service, when `faas` deployed it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none; that it is somebody else's.
    pub async fn our_service(&self, id: &FunctionId) -> Result<Service> {
        let service = self.service(id).await?;
        match foreign(service.metadata.labels.as_ref()) {
            Some(why) => Err(Fault::failed(format!("{id} is not one of faas, and is left alone"))
                .code(Code::FOREIGN)
                .cause(why)
                .hint("`faas deploy --adopt` takes it over")),
            None => Ok(service),
        }
    }

    /// A function's Service.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none.
    pub async fn service(&self, id: &FunctionId) -> Result<Service> {
        let found = self.services(id.namespace.as_deref()).await?.get_opt(&id.name).await;
        found.map_err(|e| trouble::fault(&format!("can't read {id}"), e))?.ok_or_else(|| no_function(id))
    }
}

/// Why a Service with these labels is not ours to change.
pub fn foreign(labels: Option<&BTreeMap<String, String>>) -> Option<String> {
    match labels.and_then(|labels| labels.get(OWNER_LABEL.0)) {
        Some(owner) if owner == OWNER_LABEL.1 => None,
        Some(owner) => Some(format!("its label {} says that {owner} manages it", OWNER_LABEL.0)),
        None => Some(format!("it has no label {}={}", OWNER_LABEL.0, OWNER_LABEL.1)),
    }
}

/// There is no such function.
pub fn no_function(id: &FunctionId) -> Fault {
    Fault::not_found(format!("there is no function {id}"))
        .code(Code::NO_FUNCTION)
        .hint("`faas list` shows what is deployed")
}

async fn connect(settings: &Settings) -> Result<Reached> {
    crate::wire::client::install_tls();
    let mut user = String::new();
    let mut config = match read(settings)? {
        Some(kubeconfig) => {
            let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
            let contexts: Vec<_> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
            user = user_of(&kubeconfig, settings.context.as_deref());
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| no_context(settings, &contexts, &error))?
        }
        None => Config::incluster()
            .or_fault(|| "the service account of this pod can't be used".into())
            .map_err(|f| f.hint("mount its token (automountServiceAccountToken), or name a kubeconfig"))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    if let Some((user, groups)) = &settings.impersonate {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = (!groups.is_empty()).then(|| groups.clone());
    }
    let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let exec = config.auth_info.exec.clone();
    let made = plugin::run(exec.as_ref(), &settings.listener, settings.attended, move || busy::client(config)).await?;
    let client = made.map_err(|e| {
        let starts = !matches!(&e, kube::Error::Auth(kube::client::AuthError::AuthExecStart(_)));
        let fault = trouble::fault(&format!("can't reach the cluster at {address}"), e);
        match exec.as_ref().and_then(|exec| exec.command.as_deref()) {
            Some(name) if !starts => fault.hint(format!(
                "the kubeconfig's credential plugin `{name}` can't be started: is it installed, and on the PATH?"
            )),
            _ => match trouble::login(&user, fault.cause.as_deref().unwrap_or_default()) {
                Some(hint) => fault.hint(hint),
                None => fault,
            },
        }
    })?;
    Ok(Reached { client, address, namespace })
}

/// The user of the context that counts.
fn user_of(kubeconfig: &Kubeconfig, context: Option<&str>) -> String {
    let name = context.or(kubeconfig.current_context.as_deref());
    let found = kubeconfig.contexts.iter().find(|c| Some(c.name.as_str()) == name);
    found.and_then(|c| c.context.as_ref()?.user.clone()).unwrap_or_default()
}

/// The kubeconfigs that are there, merged; `None` when there are none and this is a pod.
fn read(settings: &Settings) -> Result<Option<Kubeconfig>> {
    let mut merged: Option<Kubeconfig> = None;
    for path in settings.kubeconfigs.iter().filter(|p| p.exists()) {
        let what = || format!("the kubeconfig {} can't be read", path.display());
        let hint = "`kubectl config view` shows what kubectl makes of it";
        let next = Kubeconfig::read_from(path).or_fault(what).map_err(|fault| fault.hint(hint))?;
        merged = Some(match merged {
            Some(before) => before.merge(next).or_fault(what)?,
            None => next,
        });
    }
    if merged.is_none() && (settings.named || !settings.in_cluster) {
        let looked: Vec<_> = settings.kubeconfigs.iter().map(|p| p.display().to_string()).collect();
        return Err(Fault::failed("there is no kubeconfig, so the cluster is not known")
            .cause(format!("looked for {}", looked.join(", ")))
            .hint("--kubeconfig, KUBECONFIG or `provider.knative.kubeconfig` in the stack file names one"));
    }
    Ok(merged)
}

fn no_context(settings: &Settings, contexts: &[String], error: &kube::config::KubeconfigError) -> Fault {
    let what = match &settings.context {
        Some(context) => format!("the context {context} of the kubeconfig can't be used"),
        None => "the kubeconfig can't be used".into(),
    };
    let hint = if contexts.is_empty() {
        "it has no contexts".into()
    } else {
        format!("it has these: {}; --context or `provider.knative.context` names one", contexts.join(", "))
    };
    Fault::failed(what).cause(trouble::chain(error)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(provider: serde_json::Value, env: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::new(&provider, &find, Path::new("/home/me"), Path::new("/project"), Duration::ZERO)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let provider = serde_json::json!({"context": "a", "namespace": "shop", "ingress": ""});
        let found = settings(provider, &[("KUBECONFIG", "/x:/y"), ("FAAS_KNATIVE_CONTEXT", "b")]).unwrap();
        assert_eq!(found.kubeconfigs, [PathBuf::from("/x"), PathBuf::from("/y")]);
        assert_eq!(found.context.as_deref(), Some("b"));
        assert_eq!(found.namespace.as_deref(), Some("shop"));
        assert_eq!(found.ingress, None);
    }

    #[test]
    fn the_file_names_a_kubeconfig_of_the_project() {
        let provider = serde_json::json!({"kubeconfig": "dev.kubeconfig"});
        let found = settings(provider, &[("KUBECONFIG", "/x")]).unwrap();
        assert_eq!(found.kubeconfigs, [PathBuf::from("/project/dev.kubeconfig")]);
        assert_eq!(
            settings(serde_json::Value::Null, &[]).unwrap().kubeconfigs,
            [PathBuf::from("/home/me/.kube/config")]
        );
    }

    #[test]
    fn an_unknown_key_is_told() {
        let fault = settings(serde_json::json!({"contxt": "a"}), &[]).unwrap_err();
        assert_eq!(fault.kind, crate::error::Kind::Usage);
        assert!(fault.to_string().contains("contxt"), "{fault}");
    }

    #[test]
    fn without_any_kubeconfig_the_places_are_named() {
        let found = settings(serde_json::Value::Null, &[("KUBECONFIG", "/nowhere/a:/nowhere/b")]).unwrap();
        let fault = read(&found).unwrap_err();
        assert!(fault.to_string().contains("/nowhere/a, /nowhere/b"), "{fault}");
    }
}
