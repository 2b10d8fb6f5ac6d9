//! What is deployed: Services and their pods, in the words of every backend.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cluster::{Cluster, no_function};
use super::manifest::{OWNER_LABEL, SECRETS_VOLUME};
use super::objects::{RevisionBrief, SERVICE_LABEL, Service, Share, condition};
use super::{traffic, triggers, trouble};
use crate::backend::{Deployed, SPEC_KEY, Scope};
use crate::error::{Fault, Result};
use crate::function::{FunctionId, Resources};

/// How many Services come with one answer.
const PAGE: u32 = 500;
/// How many revisions do; they are read without what they run.
const REVISIONS_PAGE: u32 = 2000;
/// What a list is asked for.
const LIST: &str = "can't list the functions";
/// How often a list that was forgotten (410) is begun again.
const RESTARTS: u32 = 3;
/// From so many names on, one list costs less than asking for each.
const MANY: usize = 8;

/// What is deployed by `faas` in the scope's namespace, or the named functions, whoever deployed them.
///
/// # Errors
/// When the cluster can't be asked.
pub async fn observe(cluster: &Cluster, scope: &Scope) -> Result<Vec<Deployed>> {
    let namespace = scope.namespace.as_deref();
    let services = cluster.services(namespace).await?;
    let revisions: Api<RevisionBrief> = cluster.api(namespace).await?;
    let mut found = Vec::new();
    let mut routed = Routed::new();
    let mut add = |service: Service| {
        if scope.names.is_empty() || scope.names.iter().any(|name| name == service.name()) {
            routed.extend(leads_to(&service));
            found.push(deployed(&service, &[]));
        }
    };
    if scope.names.is_empty() {
        let ours = if scope.others { String::new() } else { of_ours() };
        pages(&services, &ListParams::default().labels(&ours).limit(PAGE), LIST, &mut add).await?;
    } else if scope.names.len() >= MANY {
        pages(&services, &ListParams::default().limit(PAGE), LIST, &mut add).await?;
    } else {
        let one = |name: String| {
            let services = services.clone();
            async move { services.get_opt(&name).await.map_err(|e| trouble::fault(&format!("can't read {name}"), e)) }
        };
        let asked: Vec<Option<Service>> =
            futures_util::stream::iter(scope.names.clone()).map(one).buffered(MANY).try_collect().await?;
        asked.into_iter().flatten().for_each(&mut add);
    }
    let selector = match scope.names.len() {
        0 if !scope.others => of_ours(),
        1.. if scope.names.len() < MANY => format!("{SERVICE_LABEL} in ({})", scope.names.join(",")),
        _ => SERVICE_LABEL.into(),
    };
    with_pods(&revisions, &selector, &routed, &mut found).await?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The selector of what `faas` made.
fn of_ours() -> String {
    format!("{}={}", OWNER_LABEL.0, OWNER_LABEL.1)
}

/// What is deployed in the whole cluster, by `faas` or, with `others`, by anybody.
///
/// # Errors
/// When the cluster can't be asked, or not about all of it.
pub async fn everywhere(cluster: &Cluster, others: bool) -> Result<Vec<Deployed>> {
    let services: Api<Service> = Api::all(cluster.client().await?);
    let (ours, of_theirs) = if others { (String::new(), SERVICE_LABEL.into()) } else { (of_ours(), of_ours()) };
    let mut found = Vec::new();
    let mut routed = Routed::new();
    let params = ListParams::default().labels(&ours).limit(PAGE);
    let mut add = |service: Service| {
        routed.extend(leads_to(&service));
        found.push(deployed(&service, &[]));
    };
    pages(&services, &params, LIST, &mut add).await?;
    with_pods(&Api::all(cluster.client().await?), &of_theirs, &routed, &mut found).await?;
    Ok(found)
}

/// Services as they are there, by name, or all of the namespace.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] for a name that is not there.
pub async fn raw(cluster: &Cluster, namespace: Option<&str>, names: &[String]) -> Result<Vec<Value>> {
    let write = |service: &DynamicObject| {
        serde_json::to_value(service).map_err(|e| Fault::failed("can't read a Service of the cluster").cause(e))
    };
    let mut all = Vec::new();
    if names.is_empty() {
        let namespace = cluster.namespace(namespace).await?;
        let kind = ApiResource::erase::<Service>(&());
        let services: Api<DynamicObject> = Api::namespaced_with(cluster.client().await?, namespace, &kind);
        let list = services.list(&ListParams::default()).await.map_err(|e| trouble::fault(LIST, e))?;
        for service in &list.items {
            all.push(write(service)?);
        }
    }
    for name in names {
        let id = FunctionId { name: name.clone(), namespace: namespace.map(Into::into) };
        let service = cluster.raw(&id).await?.ok_or_else(|| no_function(&id))?;
        all.push(write(&service)?);
    }
    Ok(all)
}

/// Revisions by namespace and name.
type Routed = BTreeSet<(String, String)>;

/// The revisions that a Service leads to, by traffic or tag, and the one that it is about to.
fn leads_to(service: &Service) -> impl Iterator<Item = (String, String)> {
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let status = &service.status;
    let names = status.traffic.iter().map(|share| &share.revision_name);
    names.chain([&status.latest_created_revision_name]).map(move |name| (namespace.clone(), name.clone()))
}

/// Adds how many pods each has, those aside that only end; no question is asked for none.
async fn with_pods(
    revisions: &Api<RevisionBrief>,
    selector: &str,
    routed: &Routed,
    found: &mut [Deployed],
) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut pods: HashMap<(String, String), Vec<RevisionBrief>> = HashMap::new();
    let params = ListParams::default().labels(selector).limit(REVISIONS_PAGE);
    pages(revisions, &params, LIST, &mut |r: RevisionBrief| {
        let key = (r.metadata.namespace.clone().unwrap_or_default(), r.metadata.name.clone().unwrap_or_default());
        if r.status.desired_replicas.or(r.status.actual_replicas).is_some_and(|n| n > 0) && routed.contains(&key) {
            let labels = r.metadata.labels.as_ref();
            let service = labels.and_then(|l| l.get(SERVICE_LABEL)).cloned().unwrap_or_default();
            pods.entry((key.0, service)).or_default().push(r);
        }
    })
    .await?;
    for function in found {
        let key = (function.namespace.clone().unwrap_or_default(), function.name.clone());
        let (wanted, available) = replicas(pods.get(&key).map(Vec::as_slice).unwrap_or_default());
        // The autoscaler takes a moment to want what was asked for, which it never wants of a revision without traffic.
        let least = function.annotations.get(super::scaling::MIN).filter(|_| function.pinned.is_none());
        let least = least.and_then(|n| n.parse().ok()).unwrap_or(0);
        (function.replicas, function.available) = (wanted.max(least), available);
    }
    Ok(())
}

/// Reads a list page by page, so that only one of them is held. Where a list takes so long that the API server forgets
/// where we were (410), it is read anew; what was seen already is left out.
pub async fn pages<K>(api: &Api<K>, params: &ListParams, what: &str, each: &mut impl FnMut(K)) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.clone();
    let mut seen = BTreeSet::new();
    let mut restarts = 0;
    loop {
        let page = match api.list(&params).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.code == 410 && restarts < RESTARTS => {
                restarts += 1;
                params.continue_token = None;
                continue;
            }
            Err(error) => return Err(trouble::fault(what, error)),
        };
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        // A list of one page needs no memory of it.
        let many = next.is_some() || !seen.is_empty();
        for item in page.items {
            if !many || seen.insert((item.namespace(), item.name_any())) {
                each(item);
            }
        }
        match next {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

fn replicas(revisions: &[RevisionBrief]) -> (u64, Option<u64>) {
    let actual = |r: &RevisionBrief| r.status.actual_replicas.unwrap_or(0);
    let wanted = revisions.iter().map(|r| r.status.desired_replicas.unwrap_or_else(|| actual(r))).sum();
    (wanted, Some(revisions.iter().map(actual).sum()))
}

/// A Service and its revisions with pods, in our words.
pub fn deployed(service: &Service, revisions: &[RevisionBrief]) -> Deployed {
    let container = service.container();
    let template = service.spec.pointer("/template/metadata");
    let strings = |value: Option<&Value>| -> BTreeMap<String, String> {
        let map = value.and_then(Value::as_object).into_iter().flatten();
        map.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    };
    let environment: BTreeMap<String, String> = container
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| Some((v.get("name")?.as_str()?.to_owned(), v.get("value")?.as_str()?.to_owned())))
        .collect();
    let resources = |part: &str| {
        let quantity = |name: &str| match container.get("resources")?.get(part)?.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Resources { memory: quantity("memory"), cpu: quantity("cpu") }
    };
    // What is said of the revision only (scaling, mostly) was an annotation of the function, too.
    let mut annotations = strings(template.and_then(|t| t.get("annotations")));
    annotations.extend(service.metadata.annotations.clone().unwrap_or_default());
    // A deployment that was cut off before what calls the function was made, or that never became ready, is not what
    // was asked for.
    let failed = condition(&service.status.conditions, "Ready").is_some_and(|c| c.status != "True");
    if failed || !triggers::is_settled(&annotations) {
        annotations.insert(SPEC_KEY.into(), String::new());
    }
    let (replicas, available) = replicas(revisions);
    Deployed {
        name: service.name().into(),
        namespace: service.metadata.namespace.clone(),
        image: container.get("image").and_then(Value::as_str).unwrap_or_default().into(),
        process: environment.get("fprocess").cloned(),
        environment,
        secrets: secrets(service),
        labels: service.metadata.labels.clone().unwrap_or_default(),
        annotations,
        constraints: Vec::new(),
        limits: resources("limits"),
        requests: resources("requests"),
        read_only: container.pointer("/securityContext/readOnlyRootFilesystem").and_then(Value::as_bool) == Some(true),
        replicas,
        available,
        invocations: None,
        ready: Some(service.is_ready()),
        created: service.metadata.creation_timestamp.as_ref().map(|t| t.0.to_string()),
        url: service.status.url.clone(),
        async_url: None,
        usage: None,
        taken: None,
        tells: (true, true),
        pinned: pinned(service),
    }
}

/// Where the traffic stays, when that is not the newest revision alone.
fn pinned(service: &Service) -> Option<String> {
    let traffic = service.traffic();
    let newest = &service.status.latest_ready_revision_name;
    let elsewhere = |share: &&Share| share.percent > 0 && !share.latest_revision && share.revision_name != *newest;
    traffic.iter().find(elsewhere).map(|_| traffic::words(&traffic))
}

/// Secrets that are mounted as files, and those that hold a registry's login.
fn secrets(service: &Service) -> Vec<String> {
    let at = |path: &str| service.spec.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let projected = at("/template/spec/volumes")
        .filter(|v| v.get("name").and_then(Value::as_str) == Some(SECRETS_VOLUME))
        .filter_map(|v| v.pointer("/projected/sources")?.as_array())
        .flatten()
        .filter_map(|s| s.pointer("/secret/name")?.as_str());
    let logins = at("/template/spec/imagePullSecrets").filter_map(|s| s.get("name")?.as_str());
    let mut names: Vec<String> = projected.chain(logins).map(Into::into).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::backend::{Change, How};
    use crate::function::Function;
    use crate::plan::{Action, decide, spec_hash};

    #[test]
    fn what_was_applied_is_read_back_as_unchanged() {
        let function = Function {
            name: "tax".into(),
            process: Some("python3 index.py".into()),
            environment: [("A".to_owned(), "1".to_owned())].into(),
            secrets: vec!["key".into(), "login".into()],
            labels: [("com.openfaas.scale.min".to_owned(), "1".to_owned())].into(),
            annotations: [("autoscaling.knative.dev/window".to_owned(), "10s".to_owned())].into(),
            ..Function::default()
        };
        let artifact = Artifact::Image { reference: "r/tax:1".into(), digest: Some("sha256:a".into()) };
        let change = Change {
            spec: spec_hash(&function),
            stack: "shop".into(),
            how: How::Upsert,
            force: false,
            history: Vec::new(),
            function: function.clone(),
            artifact: artifact.clone(),
        };
        let service = super::super::manifest::of(&change, &["login".to_owned()].into()).unwrap();
        let there = deployed(&serde_json::from_value(service).unwrap(), &[]);
        assert_eq!(there.secrets, ["key", "login"]);
        assert_eq!(there.process.as_deref(), Some("python3 index.py"));
        let decision = decide(&function, &artifact, Some(&there), None);
        assert_eq!(decision.action, Action::Unchanged, "{decision:?}");
    }
}
