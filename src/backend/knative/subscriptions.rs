//! The subscriptions of a `func.yaml` as topics of the stack. Format: knative/func `pkg/functions/function.go`.
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::triggers;

/// Which events of which broker the function is called for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Subscription {
    source: String,
    filters: Map<String, Value>,
}

/// Those by type are topics; the broker and what else they all ask for is laid over their Triggers.
pub fn topics(subscriptions: &[Subscription], entry: &mut Map<String, Value>, notes: &mut Vec<String>) {
    let split = |subscription: &Subscription| {
        let mut rest = subscription.filters.clone();
        let kind = rest.shift_remove("type");
        let broker = Some(subscription.source.clone()).filter(|name| !["", triggers::BROKER].contains(&name.as_str()));
        kind.map(|kind| (kind, broker, rest))
    };
    let mut topics = Vec::new();
    let mut common: Option<(Option<String>, Map<String, Value>)> = None;
    for subscription in subscriptions {
        let Some((kind, broker, rest)) = split(subscription) else {
            notes.push(format!("the subscription to `{}` names no type, and was left out", subscription.source));
            continue;
        };
        let (first, filters) = common.get_or_insert_with(|| (broker.clone(), rest.clone()));
        if *first == broker && *filters == rest {
            topics.push(kind);
        } else {
            notes.push(format!(
                "the subscription to `{}` has another broker or other filters than the first one, and was left out",
                subscription.source
            ));
        }
    }
    if topics.is_empty() {
        return;
    }
    entry.insert("topic".into(), Value::Array(topics));
    let (broker, rest) = common.unwrap_or_default();
    let mut spec = Map::new();
    spec.extend(broker.map(|name| ("broker".to_owned(), json!(name))));
    if !rest.is_empty() {
        spec.insert("filter".into(), json!({ "attributes": rest }));
    }
    if !spec.is_empty() {
        entry.entry("knative").or_insert_with(|| json!({}))["Trigger"] = json!({ "spec": spec });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_and_the_filters_that_all_have_are_laid_over_their_triggers() {
        let all = json!([
            {"source": "shop", "filters": {"type": "paid", "source": "/till"}},
            {"source": "shop", "filters": {"type": "sent", "source": "/till"}},
            {"source": "shop", "filters": {"type": "lost"}},
            {"source": "shop", "filters": {"source": "/till"}},
        ]);
        let all: Vec<Subscription> = serde_json::from_value(all).unwrap();
        let (mut entry, mut notes) = (Map::new(), Vec::new());
        topics(&all, &mut entry, &mut notes);
        assert_eq!(entry["topic"], json!(["paid", "sent"]));
        let trigger = json!({"spec": {"broker": "shop", "filter": {"attributes": {"source": "/till"}}}});
        assert_eq!(entry["knative"], json!({ "Trigger": trigger }));
        assert_eq!(notes.len(), 2, "{notes:?}");

        let mut entry = Map::new();
        topics(&all[..0], &mut entry, &mut notes);
        assert_eq!(entry, Map::new());
    }
}
