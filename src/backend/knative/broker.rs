//! Asynchronous calls: an event for a broker of Knative Eventing, which keeps it and hands it to the function. The Trigger
//! that leads it there is made with the first call, and goes with the function.
//! Formats: knative/eventing `pkg/apis/eventing/v1/{broker,trigger}_types.go`, the HTTP binding of CloudEvents 1.0.
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use kube::Api;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::apply::MANAGER;
use super::cluster::Cluster;
use super::invoke::{Caller, resolves};
use super::manifest::OWNER_LABEL;
use super::objects::{API_VERSION, Condition, Service, condition};
use super::triggers::{BROKER, FUNCTION_LABEL, delivery};
use super::{trouble, tunnel};
use crate::backend::{Call, Reply};
use crate::error::{Fault, OrFault, Result};
use crate::function::FunctionId;

/// The attribute of an event that says which function it is for; the Trigger looks at nothing else.
const FUNCTION_ATTRIBUTE: &str = "faasfunction";
/// The type of an event that has no other.
const TYPE: &str = "faas.invoke";
/// The source of an event that has no other.
const SOURCE: &str = "/faas";
/// How long a Trigger that was just made may take to be ready: what the broker gets before, nobody gets.
const TRIGGER_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The broker's word for "taken": how a call is known again.
const CALL_ID: &str = "x-call-id";

/// Gives the call to the namespace's broker. The answer is the broker's, with the event's id as the call's.
///
/// # Errors
/// [`crate::error::Kind::Unsupported`] when there is no broker, or the call has what no event has.
pub async fn send(caller: &Caller, cluster: &Cluster, id: &FunctionId, mut call: Call) -> Result<Reply> {
    fits(id, &call)?;
    let service = cluster.service(id).await?;
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let broker = broker(cluster, &namespace).await?;
    let (name, address) = (broker.name_any(), address(&broker)?);
    leads_there(cluster, &service, &name).await?;

    let event = as_event(&mut call.headers, &id.name)?;
    let what = format!("can't give the call of {id} to the broker {name}");
    let mut target = Url::parse(&address).or_fault(|| format!("{what}: `{address}` is no address"))?;
    call.method = Method::POST;
    let reply = if resolves(&target).await {
        caller.send(target, call, &what).await?
    } else {
        if target.scheme() == "https" {
            return Err(Fault::failed(&what)
                .cause(format!("{address} is reached inside the cluster only"))
                .hint("call from a pod, or let the broker take plain HTTP (`transport-encryption: permissive`)"));
        }
        let host = target.host_str().unwrap_or_default().to_owned();
        let port = target.port_or_known_default().unwrap_or(80);
        target.set_fragment(None);
        call.path = target[url::Position::BeforePath..].to_owned();
        tunnel::call_host(cluster, &host, port, call, &what).await?
    };
    taken(reply, &event, &what).await
}

/// The broker's answer, when it took the event.
async fn taken(mut reply: Reply, event: &str, what: &str) -> Result<Reply> {
    use futures_util::StreamExt;
    if reply.status.is_success() {
        reply.headers.insert(CALL_ID, event.parse().or_fault(|| what.to_owned())?);
        return Ok(reply);
    }
    let said = reply.body.next().await.and_then(std::result::Result::ok).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[..said.len().min(1024)]).trim().to_owned();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(Fault::failed(what).cause(format!("it answered {}{colon}{said}", reply.status)))
}

/// Whether an event can carry all that the call says.
fn fits(id: &FunctionId, call: &Call) -> Result<()> {
    let no = |what: &str, hint: &str| {
        Err(Fault::unsupported(format!("can't call {id} asynchronously with {what}"))
            .cause("on Knative such a call is an event for a broker, which has attributes and data only")
            .hint(hint))
    };
    if call.path != "/" {
        return no("a path or a query", "leave out --path and --query, or put them into the body");
    }
    if call.method != Method::POST {
        return no("another method than POST", "leave out --method");
    }
    if call.headers.contains_key("x-callback-url") {
        return no("a callback", "let the function answer with an event, and give that `topic` to another function");
    }
    let structured = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if structured.is_some_and(|kind| kind.starts_with("application/cloudevents")) {
        return no("an event in one document", "leave out --event-mode");
    }
    Ok(())
}

/// The broker that topics are read from, else the namespace's only one.
async fn broker(cluster: &Cluster, namespace: &str) -> Result<DynamicObject> {
    let kind = kind("Broker", "brokers");
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client().await?, namespace, &kind);
    let none = |cause: String| {
        Fault::unsupported(format!("provider `knative` has no async calls in the namespace {namespace}"))
            .cause(cause)
            .hint(format!(
                "`kn broker create {BROKER} -n {namespace}` makes a broker where Knative Eventing is installed; else leave out --async, or use provider `openfaas`, `local` or `lambda`"
            ))
    };
    let mut there = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if trouble::is_missing_api(&status) => {
            return Err(none("Knative Serving has no queue, and the cluster has no Knative Eventing".into()));
        }
        Err(error) => return Err(trouble::fault("can't look for a broker", error)),
    };
    if let Some(usual) = there.iter().position(|broker| broker.name_any() == BROKER) {
        return Ok(there.swap_remove(usual));
    }
    match there.len() {
        0 => Err(none("Knative Serving has no queue, and no broker is there to take the call".into())),
        1 => Ok(there.swap_remove(0)),
        _ => {
            let names: Vec<_> = there.iter().map(ResourceExt::name_any).collect();
            Err(Fault::failed(format!("which broker of the namespace {namespace} takes async calls is not clear"))
                .cause(format!("it has {}", names.join(", ")))
                .hint(format!("the one named `{BROKER}` is used where there is one")))
        }
    }
}

fn kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("eventing.knative.dev", "v1", kind), plural)
}

/// Where a broker takes events.
fn address(broker: &DynamicObject) -> Result<String> {
    let status = &broker.data["status"];
    let found = status.pointer("/address/url").or_else(|| status.pointer("/addresses/0/url")).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| {
        Fault::failed(format!("the broker {} takes no events", broker.name_any()))
            .cause(why_not_ready(broker).unwrap_or_else(|| "it has no address yet".into()))
            .hint("`kn broker describe` says more")
    })
}

/// What an object says of itself that isn't ready; `None` when it says nothing.
fn why_not_ready(object: &DynamicObject) -> Option<String> {
    let conditions: Vec<Condition> = serde_json::from_value(object.data["status"]["conditions"].clone()).ok()?;
    let words = condition(&conditions, "Ready").filter(|ready| ready.status != "True")?.words();
    (!words.is_empty()).then_some(words)
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions: Vec<Condition> =
        serde_json::from_value(object.data["status"]["conditions"].clone()).unwrap_or_default();
    condition(&conditions, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Sees to it that what the broker gets for the function comes to it: one that leads there is left as it is.
async fn leads_there(cluster: &Cluster, service: &Service, broker: &str) -> Result<()> {
    let function = service.name();
    let name = format!("{function}-async");
    let what = format!("can't make the Trigger {name} that hands async calls to {function}");
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client().await?, namespace, &kind("Trigger", "triggers"));
    let wanted = trigger(service, &name, broker);
    let there = api.get_opt(&name).await.map_err(|e| trouble::fault(&what, e))?;
    let mut trigger = match there {
        Some(there) if there.labels().get(FUNCTION_LABEL).map(String::as_str) != Some(function) => {
            return Err(Fault::failed(what)
                .cause("one of that name is there already, and is not of this function")
                .hint(format!("`kubectl describe trigger {name}` says whose it is")));
        }
        // A broker can't be changed; the defaults that were filled in beside ours don't count.
        Some(there) if super::difference::missed(&there.data["spec"], &wanted["spec"]).is_empty() => there,
        _ => {
            let params = PatchParams::apply(MANAGER).force();
            api.patch(&name, &params, &Patch::Apply(&wanted)).await.map_err(|e| trouble::fault(&what, e))?
        }
    };
    let end = Instant::now() + TRIGGER_WAIT;
    while !is_ready(&trigger) {
        if Instant::now() > end {
            return Err(Fault::timed_out(format!(
                "the Trigger {name} that hands async calls to {function} isn't ready"
            ))
            .cause(why_not_ready(&trigger).unwrap_or_else(|| "Knative Eventing says nothing about it".into()))
            .hint("the call was not sent: nobody would have got it"));
        }
        tokio::time::sleep(LOOK).await;
        trigger = api.get(&name).await.map_err(|e| trouble::fault(&what, e))?;
    }
    Ok(())
}

fn trigger(service: &Service, name: &str, broker: &str) -> Value {
    let function = service.name();
    let none = Default::default();
    json!({
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "name": name,
            "labels": { OWNER_LABEL.0: OWNER_LABEL.1, FUNCTION_LABEL: function },
            "ownerReferences": [
                { "apiVersion": API_VERSION, "kind": "Service", "name": function, "uid": service.metadata.uid }
            ],
        },
        "spec": {
            "broker": broker,
            "filter": { "attributes": { FUNCTION_ATTRIBUTE: function } },
            "subscriber": { "ref": { "apiVersion": API_VERSION, "kind": "Service", "name": function } },
            "delivery": delivery(service.metadata.annotations.as_ref().unwrap_or(&none)),
        },
    })
}

/// Gives the headers what makes an event of the call; what `--event` gave stays. The event's id.
fn as_event(headers: &mut HeaderMap, function: &str) -> Result<String> {
    let id = headers.get("ce-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let now = jiff::Timestamp::now().to_string();
    let own = [("ce-specversion", "1.0"), ("ce-type", TYPE), ("ce-source", SOURCE), ("ce-time", &now), ("ce-id", &id)];
    for (name, value) in own {
        if !headers.contains_key(name) {
            let value = value.parse().or_fault(|| format!("`{value}` can't be sent as {name}"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let name: HeaderName = format!("ce-{FUNCTION_ATTRIBUTE}").parse().or_fault(|| "no name of a header".into())?;
    let value: HeaderValue = function.parse().or_fault(|| format!("`{function}` can't be sent"))?;
    headers.insert(name, value);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn call(method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> Call {
        Call {
            method,
            path: path.into(),
            headers: headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect(),
            body: Box::pin(futures_util::stream::empty()),
            length: Some(0),
            asynchronous: true,
            timeout: None,
            options: crate::backend::CallOptions::default(),
        }
    }

    #[test]
    fn what_no_event_can_carry_is_refused() {
        let id = FunctionId { name: "tax".into(), namespace: None };
        let refused = |call: &Call| fits(&id, call).unwrap_err();
        for (call, words) in [
            (call(Method::POST, "/orders", &[]), "path"),
            (call(Method::POST, "/?rate=high", &[]), "query"),
            (call(Method::GET, "/", &[]), "method"),
            (call(Method::POST, "/", &[("x-callback-url", "http://x")]), "callback"),
            (call(Method::POST, "/", &[("content-type", "application/cloudevents+json")]), "one document"),
        ] {
            let fault = refused(&call);
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.message.contains(words), "{fault}");
        }
        fits(&id, &call(Method::POST, "/", &[("content-type", "text/plain")])).unwrap();
    }

    #[test]
    fn a_call_becomes_an_event_and_an_event_stays_the_one_it_was() {
        let mut plain = HeaderMap::new();
        let id = as_event(&mut plain, "tax").unwrap();
        assert_eq!((&plain["ce-id"], &plain["ce-type"]), (&id.parse().unwrap(), &HeaderValue::from_static(TYPE)));
        assert_eq!(plain["ce-faasfunction"], "tax");
        let mut given = call(Method::POST, "/", &[("ce-id", "7"), ("ce-type", "shop.order")]).headers;
        assert_eq!(as_event(&mut given, "tax").unwrap(), "7");
        assert_eq!(
            (&given["ce-type"], &given["ce-source"]),
            (&HeaderValue::from_static("shop.order"), &HeaderValue::from_static(SOURCE))
        );
    }

    #[test]
    fn a_broker_without_an_address_says_why() {
        let broker = |status: Value| {
            let mut broker = DynamicObject::new("default", &kind("Broker", "brokers"));
            broker.data = json!({ "status": status });
            broker
        };
        let ready = broker(json!({"address": {"url": "http://b/ns/default"}}));
        assert_eq!(address(&ready).unwrap(), "http://b/ns/default");
        let not =
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Down", "message": "no channel"}]});
        assert!(address(&broker(not)).unwrap_err().to_string().contains("Down: no channel"));
    }
}
