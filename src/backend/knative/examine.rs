//! What `faas doctor` looks at in a cluster: does it answer and know the caller, what is installed, where calls go in, and
//! what the caller may do; with the smallest Role that lets somebody do all of it.
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{ListParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};

use super::cluster::{Cluster, Reached};
use super::trouble;
use crate::backend::Finding;
use crate::error::Result;
use crate::finding::{self, State};

/// Where Knative itself lives.
const SYSTEM: &str = "knative-serving";
/// A rule of the Role.
struct Rule {
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    /// What doesn't work without it; `None` when nothing does.
    without: Option<&'static str>,
    /// The API group that has to be installed for it to matter.
    needs: Option<&'static str>,
}

const fn rule(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    without: Option<&'static str>,
) -> Rule {
    Rule { group, resource, verbs, without, needs: None }
}

const EVENTING: &str = "eventing.knative.dev";
const ALL: &[&str] = &["get", "list", "create", "patch", "delete"];

/// All that the commands ask for in a function's namespace.
const RULES: [Rule; 11] = [
    rule("serving.knative.dev", "services", &["get", "list", "watch", "create", "patch", "delete"], None),
    rule(
        "serving.knative.dev",
        "revisions",
        &["get", "list", "delete"],
        Some("rollout, revisions, causes of failures"),
    ),
    rule("serving.knative.dev", "domainmappings", ALL, Some("`domain:`")),
    rule("", "secrets", ALL, Some("faas secret, and looking for missing secrets before a deployment")),
    rule("", "pods", &["get", "list"], Some("faas logs, causes of failures")),
    rule("", "pods/log", &["get"], Some("faas logs, last words of what failed")),
    rule("", "pods/portforward", &["create"], Some("faas invoke where neither URL nor ingress is reached")),
    rule("", "events", &["list"], Some("causes of failures")),
    Rule { needs: Some(EVENTING), ..rule(EVENTING, "triggers", ALL, Some("`topic:` and faas invoke --async")) },
    Rule { needs: Some(EVENTING), ..rule(EVENTING, "brokers", &["list"], Some("faas invoke --async")) },
    Rule { needs: Some("sources.knative.dev"), ..rule("sources.knative.dev", "pingsources", ALL, Some("`schedule:`")) },
];

/// Where the activator is, calls go through the API server.
const SYSTEM_RULES: [Rule; 2] = [
    rule("", "pods", &["list"], Some("faas invoke of functions that sleep, without an ingress")),
    rule("", "pods/portforward", &["create"], Some("faas invoke of functions that sleep, without an ingress")),
];

/// Looks at all of it.
pub async fn examine(cluster: &Cluster) -> Vec<Finding> {
    let mut groups: Option<Vec<String>> = None;
    let reached = finding::look("cluster", finding::LIMIT, async {
        let reached = cluster.reach().await?;
        let what = format!("can't ask the cluster at {}", reached.address);
        let version = match reached.client.apiserver_version().await {
            Ok(version) => version.git_version,
            Err(kube::Error::Api(status)) if status.code == 403 => "of unknown version".into(),
            Err(error) => return Err(trouble::fault(&what, error)),
        };
        groups = match reached.client.list_api_groups().await {
            Ok(found) => Some(found.groups.into_iter().map(|group| group.name).collect()),
            // Who may not ask which types there are may have all the rest.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            Err(error) => return Err(trouble::fault(&what, error)),
        };
        let (address, namespace) = (&reached.address, &reached.namespace);
        Ok(Finding::ok("cluster", format!("Kubernetes {version} at {address}, namespace {namespace}")))
    })
    .await;
    let mut all = vec![reached];
    let (State::Ok, Ok(reached)) = (all[0].state, cluster.reach().await) else { return all };
    // Taken to be there: a rule too many does no harm.
    let all_groups = || [super::objects::GROUP, EVENTING, "sources.knative.dev"].map(String::from).to_vec();
    let groups = groups.unwrap_or_else(all_groups);
    let client = &reached.client;
    let limit = finding::LIMIT;
    let (who, serving, eventing, ingress, rights) = futures_util::join!(
        finding::look("login", limit, login(client)),
        finding::look("Knative Serving", limit, serving(client, &groups)),
        finding::look("Knative Eventing", limit, eventing(reached, &groups)),
        finding::look("ingress", limit, ingress(cluster, client)),
        finding::look("rights", limit * 2, rights(cluster, reached, &groups)),
    );
    all.extend([who, serving, eventing, ingress, rights]);
    all
}

/// Whom the cluster takes the caller for.
async fn login(client: &Client) -> Result<Finding> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
        Ok(review) => {
            let user = review.status.and_then(|status| status.user_info?.username).unwrap_or_default();
            Ok(Finding::ok("login", format!("the cluster knows you as {user}")))
        }
        // Kubernetes before 1.28 can't be asked.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            Ok(Finding::skipped("login", "the cluster doesn't tell whom it takes you for"))
        }
        Err(error) => Err(trouble::fault("can't ask whom the cluster takes you for", error)),
    }
}

/// The release, as a label of Knative's namespace has it, which not everybody may read.
async fn release(client: &Client, namespace: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let labels = namespaces.get_metadata(namespace).await.ok().and_then(|found| found.metadata.labels);
    labels
        .and_then(|labels| labels.get("app.kubernetes.io/version").cloned())
        .unwrap_or_else(|| "of unknown version".into())
}

async fn serving(client: &Client, groups: &[String]) -> Result<Finding> {
    let about = "Knative Serving";
    if !groups.iter().any(|group| group == super::objects::GROUP) {
        return Ok(Finding::broken(about, "it is not installed in this cluster")
            .hint("install Knative Serving, or choose another context"));
    }
    let version = release(client, SYSTEM).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let Ok(list) = pods.list(&ListParams::default()).await else {
        return Ok(Finding::ok(about, version));
    };
    let ready = |part: &str| {
        list.items.iter().filter(|pod| pod.labels().get("app").is_some_and(|app| app == part)).any(|pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
        })
    };
    let parts = ["controller", "webhook", "autoscaler", "activator"];
    let down: Vec<_> = parts.into_iter().filter(|part| !ready(part)).collect();
    if down.is_empty() || list.items.is_empty() {
        return Ok(Finding::ok(about, format!("{version}, {} run", parts.join(", "))));
    }
    Ok(Finding::broken(about, format!("{version}, but {} not ready", are(&down)))
        .hint(format!("kubectl get pods -n {SYSTEM}")))
}

fn are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

async fn eventing(reached: &Reached, groups: &[String]) -> Result<Finding> {
    let about = "Knative Eventing";
    if !groups.iter().any(|group| group == EVENTING) {
        return Ok(Finding::skipped(about, "not installed: `schedule`, `topic` and invoke --async need it"));
    }
    let version = release(&reached.client, "knative-eventing").await;
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(EVENTING, "v1", "Broker"), "brokers");
    let namespace = &reached.namespace;
    let brokers: Api<DynamicObject> = Api::namespaced_with(reached.client.clone(), namespace, &kind);
    let found = match brokers.list(&ListParams::default()).await {
        Ok(list) if list.items.is_empty() => {
            format!("no broker in {namespace}: `topic` and invoke --async need one")
        }
        Ok(list) => {
            let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
            format!("in {namespace} the broker {}", names.join(", "))
        }
        Err(_) => "brokers may not be listed".into(),
    };
    Ok(Finding::ok(about, format!("{version}, {found}")))
}

/// Where calls go in.
async fn ingress(cluster: &Cluster, client: &Client) -> Result<Finding> {
    let about = "ingress";
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM);
    let class = settings.get_opt("config-network").await.ok().flatten().and_then(|found| {
        let data = found.data.unwrap_or_default();
        ["ingress-class", "ingress.class"].into_iter().find_map(|key| data.get(key).cloned())
    });
    let class = class.map(|class| format!(" ({class})")).unwrap_or_default();
    let Some(ingress) = &cluster.settings.ingress else {
        return Ok(Finding::ok(about, format!("calls go to functions' URLs, else through the API server{class}")));
    };
    let url = super::invoke::address(ingress)?;
    let place = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(80));
    match tokio::net::TcpStream::connect((place.0.as_str(), place.1)).await {
        Ok(_) => Ok(Finding::ok(about, format!("{ingress} takes connections{class}"))),
        Err(error) => Ok(Finding::broken(about, format!("{ingress} can't be reached: {error}"))
            .hint("is it the ingress of this cluster? FAAS_KNATIVE_INGRESS or `provider.knative.ingress` names it")),
    }
}

/// What the caller may do, by asking the cluster about each verb.
async fn rights(cluster: &Cluster, reached: &Reached, groups: &[String]) -> Result<Finding> {
    let (own, system) = needed(cluster.settings.ingress.is_none(), groups);
    let namespace = reached.namespace.as_str();
    let asked = own.iter().map(|rule| (*rule, namespace)).chain(system.iter().map(|rule| (*rule, SYSTEM)));
    let mut questions: Vec<(&Rule, &str, &str)> = Vec::new();
    let mut answers = Vec::new();
    for (rule, place) in asked {
        for verb in rule.verbs {
            questions.push((rule, place, verb));
            answers.push(may(&reached.client, rule, place, verb));
        }
    }
    let answers = futures_util::future::try_join_all(answers).await?;
    let (mut missing, mut state) = (Vec::new(), State::Ok);
    for ((rule, place, verb), may) in questions.into_iter().zip(answers) {
        if may {
            continue;
        }
        let lost = rule.without.map_or_else(|| "nothing works without it".into(), |what| format!("lost: {what}"));
        missing.push(format!("{verb} {} in {place}: {lost}", rule.resource));
        let worse = if rule.without.is_none() { State::Broken } else { State::Warning };
        state = state.max(worse);
    }
    let found = if missing.is_empty() {
        format!("you may do all that `faas` asks for in {namespace}")
    } else {
        format!("you may not\n{}", missing.join("\n"))
    };
    let finding = Finding::new("rights", state, found).document(
        "a Role with all of it, for kubectl apply (a RoleBinding gives it to somebody)",
        role(namespace, &own, &system),
    );
    Ok(if missing.is_empty() {
        finding
    } else {
        finding.hint("have an administrator apply the Role below, and bind it to you")
    })
}

/// The rules that matter here: in the function's namespace, and in Knative's.
fn needed(through: bool, groups: &[String]) -> (Vec<&'static Rule>, Vec<&'static Rule>) {
    let installed = |rule: &&Rule| rule.needs.is_none_or(|group| groups.iter().any(|there| there == group));
    let own = RULES.iter().filter(installed).filter(|rule| through || rule.resource != "pods/portforward");
    (own.collect(), if through { SYSTEM_RULES.iter().collect() } else { Vec::new() })
}

async fn may(client: &Client, rule: &Rule, namespace: &str, verb: &str) -> Result<bool> {
    let (resource, subresource) = rule.resource.split_once('/').map_or((rule.resource, None), |(r, s)| (r, Some(s)));
    let attributes = ResourceAttributes {
        group: Some(rule.group.into()),
        resource: Some(resource.into()),
        subresource: subresource.map(Into::into),
        namespace: Some(namespace.into()),
        verb: Some(verb.into()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|e| trouble::fault("can't ask what you may do", e))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The smallest Role, as YAML.
fn role(namespace: &str, own: &[&Rule], system: &[&Rule]) -> String {
    let one = |name: &str, namespace: &str, rules: &[&Rule]| {
        let mut text = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {name}\n  namespace: {namespace}\nrules:\n"
        );
        for rule in rules {
            text += &format!(
                "- apiGroups: [\"{}\"]\n  resources: [\"{}\"]\n  verbs: [\"{}\"]\n",
                rule.group,
                rule.resource,
                rule.verbs.join("\", \"")
            );
        }
        text
    };
    let mut text = one("faas", namespace, own);
    if !system.is_empty() {
        text += "---\n";
        text += &one("faas-invoke", SYSTEM, system);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_has_what_is_installed_and_no_more() {
        let (own, system) = needed(true, &[]);
        let text = role("shop", &own, &system);
        assert!(text.contains("  namespace: shop\n") && text.contains("  namespace: knative-serving\n"));
        assert!(!text.contains("triggers") && text.contains("pods/portforward"));
        let (own, system) = needed(false, &[EVENTING.to_owned()]);
        let text = role("shop", &own, &system);
        assert!(text.contains("triggers") && !text.contains("pingsources") && !text.contains("portforward"));
        assert!(text.contains(
            "- apiGroups: [\"serving.knative.dev\"]\n  resources: [\"services\"]\n  verbs: [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]\n"
        ));
    }
}
