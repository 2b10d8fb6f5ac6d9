//! What calls a function besides its URL: PingSource for `schedule`, Trigger for `topic`, DomainMapping for `domain`.
//! Formats: knative/eventing `pkg/apis/{sources/v1/ping,eventing/v1/trigger}_types.go`, knative/serving
//! `pkg/apis/serving/v1beta1/domainmapping_types.go`.
use std::collections::BTreeMap;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::apply::MANAGER;
use super::cluster::Cluster;
use super::manifest::OWNER_LABEL;
use super::objects::{API_VERSION, Service};
use super::{merge, trouble};
use crate::error::{Fault, Result};
use crate::function::Function;

/// Annotation of a Service, applied with it: what should call it, as `Kind/name=hash`.
pub const WANTED_KEY: &str = "faas.dev/triggers";
/// Annotation of a Service, applied once it is so: what does call it.
pub const MADE_KEY: &str = "faas.dev/triggers-made";
/// Annotation of a function: how often a broker tries again to deliver an event that the function failed at.
pub const RETRIES_KEY: &str = "faas.dev/retries";
/// Label of what calls a function: its name.
pub const FUNCTION_LABEL: &str = "faas.dev/function";
/// Owns the annotation that says what was made.
const TRIGGER_MANAGER: &str = "faas-triggers";
/// The broker that topics are read from.
pub const BROKER: &str = "default";

/// A type of object that calls functions.
struct Kind {
    kind: &'static str,
    api_version: &'static str,
    plural: &'static str,
    /// The stack's field.
    field: &'static str,
    /// What has to be installed for it.
    part: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        kind: "PingSource",
        api_version: "sources.knative.dev/v1",
        plural: "pingsources",
        field: "schedule",
        part: "Knative Eventing",
    },
    Kind {
        kind: "Trigger",
        api_version: "eventing.knative.dev/v1",
        plural: "triggers",
        field: "topic",
        part: "Knative Eventing",
    },
    Kind {
        kind: "DomainMapping",
        api_version: "serving.knative.dev/v1beta1",
        plural: "domainmappings",
        field: "domain",
        part: "the DomainMapping of Knative Serving",
    },
];

impl Kind {
    fn resource(&self) -> ApiResource {
        let (group, version) = self.api_version.split_once('/').unwrap_or_default();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, self.kind), self.plural)
    }
}

/// What the stack says under `knative:`, but for what it says there of the objects that call the function.
pub fn without(extra: &Value) -> Value {
    let mut extra = extra.clone();
    if let Some(map) = extra.as_object_mut() {
        map.retain(|key, _| !KINDS.iter().any(|kind| kind.kind == key));
    }
    extra
}

/// What the stack says under `knative:` of objects that it doesn't ask for: the kind, and the field that would.
pub fn unasked(function: &Function) -> Vec<(&'static str, &'static str)> {
    let Some(extra) = function.extra.get("knative") else { return Vec::new() };
    let asked = of(function);
    let unasked = |kind: &&Kind| extra.get(kind.kind).is_some() && !asked.iter().any(|o| o["kind"] == json!(kind.kind));
    KINDS.iter().filter(unasked).map(|kind| (kind.kind, kind.field)).collect()
}

/// The objects, without what only a cluster knows.
pub fn of(function: &Function) -> Vec<Value> {
    let name = &function.name;
    let extra = |kind: &str| function.extra.get("knative").and_then(|extra| extra.get(kind));
    let target = json!({ "apiVersion": API_VERSION, "kind": "Service", "name": name });
    let object = |kind: &str, own: &str, spec: Value| {
        let api_version = KINDS.iter().find(|k| k.kind == kind).map(|k| k.api_version).unwrap_or_default();
        let mut metadata = json!({ "name": own, "labels": { OWNER_LABEL.0: OWNER_LABEL.1, FUNCTION_LABEL: name } });
        if let Some(namespace) = &function.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let mut object = json!({ "spec": spec });
        if let Some(extra) = extra(kind) {
            merge::into(&mut object, &json!({ "spec": extra["spec"] }));
        }
        json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": object["spec"] })
    };
    let mut all = Vec::new();
    if let Some(schedule) = &function.schedule {
        let spec = json!({ "schedule": schedule, "sink": { "ref": target } });
        all.push(object("PingSource", &format!("{name}-schedule"), spec));
    }
    for topic in &function.topics {
        let spec = json!({
            "broker": BROKER,
            "filter": { "attributes": { "type": topic } },
            "subscriber": { "ref": target },
            "delivery": delivery(&function.annotations),
        });
        all.push(object("Trigger", &format!("{name}-{}", slug(topic)), spec));
    }
    for domain in &function.domains {
        // Within its own namespace only, so the reference names it where one is given.
        let mut target = target.clone();
        if let Some(namespace) = &function.namespace {
            target["namespace"] = json!(namespace);
        }
        all.push(object("DomainMapping", domain, json!({ "ref": target })));
    }
    all
}

/// How an event is delivered again. Brokers take an answer with a body that is no event for a failure, and would call a
/// function that answers text ten times more (knative/eventing `pkg/broker/filter/filter_handler.go`,
/// `config/core/configmaps/default-broker.yaml`): once is enough, unless the function says otherwise.
pub fn delivery(annotations: &BTreeMap<String, String>) -> Value {
    let retries = annotations.get(RETRIES_KEY).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let mut delivery = json!({ "retry": retries });
    if retries > 0 {
        delivery["backoffPolicy"] = json!("exponential");
        delivery["backoffDelay"] = json!("PT1S");
    }
    delivery
}

/// A topic as part of a name: what can't be in one is left to a hash.
fn slug(topic: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if topic.chars().all(plain) && topic.len() <= 100 && !topic.ends_with(['-', '.']) && !topic.contains("..") {
        return topic.replace('.', "-");
    }
    let hash = blake3::hash(topic.as_bytes()).to_hex();
    format!("topic-{}", &hash[..12])
}

/// What should call it, as the annotation has it; `None` when nothing does.
pub fn wanted(function: &Function) -> Option<String> {
    let one = |object: Value| {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let hash = blake3::hash(object.to_string().as_bytes()).to_hex();
        format!("{}/{}={}", text("/kind"), text("/metadata/name"), &hash[..12])
    };
    let all: Vec<_> = of(function).into_iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// Whether what should call a function does: not so when a deployment was cut off.
pub fn is_settled(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(WANTED_KEY) == annotations.get(MADE_KEY)
}

/// Says before anything is changed what the cluster has no types for.
///
/// # Errors
/// [`crate::error::Kind::Unsupported`], with what has to be installed.
pub async fn are_possible(cluster: &Cluster, function: &Function) -> Result<()> {
    let objects = of(function);
    for kind in KINDS.iter().filter(|kind| objects.iter().any(|o| o["kind"] == json!(kind.kind))) {
        let client = cluster.client().await?;
        let there = match client.list_api_group_resources(kind.api_version).await {
            Ok(list) => list.resources.iter().any(|resource| resource.kind == kind.kind),
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => return Err(trouble::fault("can't ask which types the cluster has", error)),
        };
        if !there {
            return Err(Fault::unsupported(format!(
                "`{}` of {} can't be kept in this cluster",
                kind.field, function.name
            ))
            .cause(format!("it has no {} ({})", kind.kind, kind.api_version))
            .hint(format!("install {}, or leave `{}` out; nothing was changed", kind.part, kind.field)));
        }
    }
    Ok(())
}

/// Makes what should call the function that was `applied`, and removes what should no more.
///
/// # Errors
/// What the cluster refused; a domain that leads elsewhere.
pub async fn sync(cluster: &Cluster, function: &Function, applied: &Service) -> Result<()> {
    let made = applied.metadata.annotations.as_ref().and_then(|all| all.get(MADE_KEY));
    let wanted = wanted(function);
    if made == wanted.as_ref() {
        return Ok(());
    }
    let namespace = applied.metadata.namespace.as_deref().unwrap_or_default();
    let client = cluster.client().await?;
    let api = |kind: &Kind| Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind.resource());
    let owner =
        json!([{ "apiVersion": API_VERSION, "kind": "Service", "name": applied.name(), "uid": applied.metadata.uid }]);
    let mut names = Vec::new();
    for mut object in of(function) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(kind) = KINDS.iter().find(|k| object["kind"] == json!(k.kind)) else { continue };
        let what = format!("can't make the {} {name} for `{}` of {}", kind.kind, kind.field, function.name);
        let there = api(kind).get_metadata_opt(&name).await.map_err(|e| trouble::fault(&what, e))?;
        let labels = there.and_then(|there| there.metadata.labels.or_else(|| Some(BTreeMap::new())));
        if labels.is_some_and(|labels| labels.get(FUNCTION_LABEL) != Some(&function.name)) {
            return Err(Fault::failed(what)
                .cause("one of that name is there already, and is not of this function")
                .hint(format!("`kubectl describe {} {name}` says whose it is", kind.plural)));
        }
        object["metadata"]["ownerReferences"] = owner.clone();
        let params = PatchParams::apply(MANAGER).force();
        api(kind).patch(&name, &params, &Patch::Apply(&object)).await.map_err(|e| trouble::fault(&what, e))?;
        names.push((kind.kind, name));
    }
    for (kind, name) in made.into_iter().flat_map(|made| made.split(',')).filter_map(parsed) {
        if names.iter().any(|(k, n)| *k == kind.kind && n == name) {
            continue;
        }
        match api(kind).delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            removed => drop(removed.map_err(|e| trouble::fault(&format!("can't remove the {} {name}", kind.kind), e))?),
        }
    }
    let mut metadata = json!({ "name": applied.name(), "uid": applied.metadata.uid });
    if let Some(wanted) = wanted {
        metadata["annotations"] = json!({ MADE_KEY: wanted });
    }
    let body = json!({ "apiVersion": API_VERSION, "kind": "Service", "metadata": metadata });
    let services = cluster.services(Some(namespace)).await?;
    let params = PatchParams::apply(TRIGGER_MANAGER).force();
    let marked = services.patch(applied.name(), &params, &Patch::Apply(&body)).await;
    marked.map(drop).map_err(|e| trouble::fault(&format!("can't mark what calls {}", function.name), e))
}

/// `Kind/name=hash`.
fn parsed(text: &str) -> Option<(&'static Kind, &str)> {
    let (kind, rest) = text.split_once('/')?;
    Some((KINDS.iter().find(|k| k.kind == kind)?, rest.split('=').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tax() -> Function {
        Function {
            name: "tax".into(),
            schedule: Some("*/5 * * * *".into()),
            topics: vec!["order.placed".into(), "Ünpaid".into()],
            domains: vec!["tax.example.com".into()],
            ..Function::default()
        }
    }

    #[test]
    fn each_way_to_call_is_an_object() {
        let all = of(&tax());
        let names: Vec<_> = all.iter().map(|o| format!("{}/{}", o["kind"], o["metadata"]["name"])).collect();
        assert_eq!(names[..2], [r#""PingSource"/"tax-schedule""#, r#""Trigger"/"tax-order-placed""#]);
        assert!(names[2].starts_with(r#""Trigger"/"tax-topic-"#), "{names:?}");
        assert_eq!(all[0]["spec"]["schedule"], json!("*/5 * * * *"));
        assert_eq!(all[1]["spec"]["filter"]["attributes"]["type"], json!("order.placed"));
        assert_eq!(all[3]["spec"]["ref"]["name"], json!("tax"));
        assert_eq!(of(&Function { name: "plain".into(), ..Function::default() }), Vec::<Value>::new());
    }

    #[test]
    fn what_the_stack_says_of_them_goes_over_them_and_not_over_the_service() {
        let extra = json!({
            "spec": {"template": {}},
            "PingSource": {"spec": {"timezone": "Europe/Berlin"}},
            "Trigger": {"spec": {"broker": "shop", "filter": {"attributes": {"source": "/till"}}}},
            "DomainMapping": {"spec": {"tls": {"secretName": "cert"}}},
        });
        let function = Function { extra: [("knative".to_owned(), extra.clone())].into(), ..tax() };
        let all = of(&function);
        assert_eq!(all[0]["spec"]["timezone"], json!("Europe/Berlin"));
        assert_eq!(all[1]["spec"]["broker"], json!("shop"));
        let attributes = json!({"type": "order.placed", "source": "/till"});
        assert_eq!(
            (&all[1]["spec"]["filter"]["attributes"], &all[1]["spec"]["delivery"]["retry"]),
            (&attributes, &json!(0))
        );
        assert_eq!(all[3]["spec"]["tls"]["secretName"], json!("cert"));
        assert_eq!(without(&extra), json!({"spec": {"template": {}}}));
        assert_eq!(unasked(&function), []);
        assert_eq!(unasked(&Function { schedule: None, ..function }), [("PingSource", "schedule")]);
    }

    #[test]
    fn what_was_not_made_yet_is_not_settled() {
        let annotation = wanted(&tax()).unwrap();
        let mut annotations = BTreeMap::from([(WANTED_KEY.to_owned(), annotation.clone())]);
        assert!(!is_settled(&annotations));
        annotations.insert(MADE_KEY.into(), annotation.clone());
        assert!(is_settled(&annotations) && is_settled(&BTreeMap::new()));
        let other = Function { schedule: Some("0 6 * * *".into()), ..tax() };
        assert_ne!(wanted(&other).unwrap(), annotation, "another schedule is another trigger");
        assert_eq!(parsed("Trigger/tax-a=1").map(|(kind, name)| (kind.plural, name)), Some(("triggers", "tax-a")));
    }
}
