//! What differs between a Service as it is and as it should be, leaf by leaf. Paths are in the words of its own fields,
//! items of lists by their name: `spec.template.spec.containers[user-container].env[RATE].value`.
use serde_json::Value;

use crate::backend::Difference;

/// Every leaf that differs, either way.
pub fn all(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(&mut String::new(), Some(before), Some(after), true, &mut found);
    found
}

/// What of `wanted` is not so in `live`, and what lists of `live` have besides. Keys that only `live` has are the
/// platform's defaults, or somebody else's business.
pub fn missed(live: &Value, wanted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(&mut String::new(), Some(live), Some(wanted), false, &mut found);
    found
}

/// The part of an object at a path as Kubernetes names fields, `.spec.template.spec.containers`; keys may have dots.
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.trim_start_matches('.');
    if path.is_empty() {
        return Some(object);
    }
    let below = |(key, value): (&String, &'a Value)| match path.strip_prefix(key.as_str())? {
        "" => Some(value),
        rest => at(value, rest.strip_prefix('.')?),
    };
    object.as_object()?.iter().find_map(below)
}

fn walk(
    path: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
    keys_of_before: bool,
    found: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let length = path.len();
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let gone = old.keys().filter(|key| keys_of_before && !new.contains_key(*key));
            for key in new.keys().chain(gone) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                walk(path, old.get(key), new.get(key), keys_of_before, found);
                path.truncate(length);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if is_named(old) && is_named(new) => {
            let has = |list: &[Value], name: &str| list.iter().any(|item| name_of(item) == Some(name));
            let find = |list: &'_ [Value], name: &str| list.iter().position(|item| name_of(item) == Some(name));
            let gone = old.iter().filter(|item| name_of(item).is_some_and(|name| !has(new, name)));
            for name in new.iter().chain(gone).filter_map(name_of) {
                path.push('[');
                path.push_str(name);
                path.push(']');
                let (old, new) = (find(old, name).map(|i| &old[i]), find(new, name).map(|i| &new[i]));
                walk(path, old, new, keys_of_before, found);
                path.truncate(length);
            }
        }
        _ => found.push(Difference { path: path.clone(), before: before.cloned(), after: after.cloned() }),
    }
}

fn is_named(list: &[Value]) -> bool {
    list.iter().all(|item| name_of(item).is_some())
}

fn name_of(item: &Value) -> Option<&str> {
    // Two mounts may be of one volume: the path comes first.
    ["mountPath", "name"].into_iter().find_map(|key| item.get(key)?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(found: Vec<Difference>) -> Vec<String> {
        found.into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn items_of_lists_are_told_by_name() {
        let container = |env: Value| json!({"spec": {"containers": [{"name": "main", "env": env}]}});
        let before = container(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
        let after = container(json!([{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]));
        let expected =
            ["spec.containers[main].env[C]", "spec.containers[main].env[A].value", "spec.containers[main].env[B]"];
        assert_eq!(paths(all(&before, &after)), expected);
        assert_eq!(paths(missed(&before, &after)), expected);
        assert_eq!(all(&before, &before), []);
    }

    #[test]
    fn what_the_platform_added_is_missed_by_nobody() {
        let live = json!({"timeoutSeconds": 300, "env": "a", "args": ["a"]});
        let wanted = json!({"env": "b", "args": ["b"]});
        assert_eq!(paths(missed(&live, &wanted)), ["env", "args"]);
        assert_eq!(paths(all(&live, &wanted)), ["env", "args", "timeoutSeconds"]);
    }

    #[test]
    fn a_path_as_kubernetes_names_it_is_found() {
        let object = json!({"spec": {"template": {"a": 1}}});
        assert_eq!(at(&object, ".spec.template.a"), Some(&json!(1)));
        assert_eq!(at(&object, ".spec.none"), None);
        assert_eq!(at(&object, ".spec.template.a.b"), None);
        let annotated = json!({"metadata": {"annotations": {"a.example.com/max-scale": "9"}}});
        assert_eq!(at(&annotated, ".metadata.annotations.a.example.com/max-scale"), Some(&json!("9")));
    }
}
