//! The escape hatch: what the stack says under `knative:` goes over our Service, key by key.
use serde_json::Value;

/// Puts `extra` over `base`. Maps are merged, null removes, lists of named things (containers, env, volumes, mounts)
/// are merged by name, and a container without a name is the function's own; every other list is replaced.
pub fn into(base: &mut Value, extra: &Value) {
    match (base, extra) {
        (Value::Object(base), Value::Object(extra)) => {
            for (key, value) in extra {
                if value.is_null() {
                    base.shift_remove(key);
                } else {
                    match base.get_mut(key) {
                        Some(there) => into(there, value),
                        None => drop(base.insert(key.clone(), value.clone())),
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(extra)) if is_keyed(base) && is_keyed(extra) => {
            for item in extra {
                match position(base, item) {
                    Some(index) => into(&mut base[index], item),
                    None => base.push(item.clone()),
                }
            }
        }
        (base, extra) => *base = extra.clone(),
    }
}

/// What tells one item of a list from the others.
fn key(item: &Value) -> Option<(&'static str, &str)> {
    // Two mounts may be of one volume: the path comes first.
    ["mountPath", "name"].into_iter().find_map(|key| Some((key, item.get(key)?.as_str()?)))
}

fn is_container(item: &Value) -> bool {
    item.get("image").is_some()
}

fn is_keyed(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(Value::is_object)
}

fn position(list: &[Value], item: &Value) -> Option<usize> {
    match key(item) {
        Some(wanted) => list.iter().position(|there| key(there) == Some(wanted)),
        None => list.first().filter(|first| is_container(first)).map(|_| 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(mut base: Value, extra: &Value) -> Value {
        into(&mut base, extra);
        base
    }

    #[test]
    fn maps_are_merged_and_null_removes() {
        let base = json!({"spec": {"a": 1, "b": {"c": 2}, "d": 3}});
        let extra = json!({"spec": {"b": {"e": 4}, "d": null}});
        assert_eq!(merged(base, &extra), json!({"spec": {"a": 1, "b": {"c": 2, "e": 4}}}));
    }

    #[test]
    fn a_container_without_a_name_is_the_functions_own() {
        let base =
            json!({"containers": [{"name": "user-container", "image": "i", "env": [{"name": "A", "value": "1"}]}]});
        let extra = json!({"containers": [
            {"env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "ports": [{"containerPort": 9000}]},
            {"name": "sidecar", "image": "s"}
        ]});
        assert_eq!(
            merged(base, &extra),
            json!({"containers": [
                {"name": "user-container", "image": "i",
                 "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "ports": [{"containerPort": 9000}]},
                {"name": "sidecar", "image": "s"}
            ]})
        );
    }

    #[test]
    fn plain_lists_are_replaced() {
        assert_eq!(merged(json!({"args": ["a", "b"]}), &json!({"args": ["c"]})), json!({"args": ["c"]}));
    }
}
