//! Strategic merge of patches into machine configurations, with Talos' rules for lists. Knows places of the configuration that merge in
//! their own way, and nothing else about it.

use serde_json::{Map, Value};

const DELETE: &str = "$patch";

/// How a list at a place takes the items of a patch.
enum ListRule {
    /// They come after its own.
    Append,
    /// They take its place.
    Replace,
    /// An item changes the one with the same value under one of these keys, and comes after the others where there is none.
    ByKey(&'static [&'static str]),
}

/// Merges a patch. A part with `$patch: delete` removes what stands at its place; `null` changes nothing.
pub(crate) fn merge(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    merge_map(base, patch, "");
}

/// Merges a whole document into the further documents of a configuration: into the one of the same kind and name, else as a new one.
pub(crate) fn merge_document(documents: &mut Vec<Map<String, Value>>, patch: &Map<String, Value>) {
    let same = |document: &Map<String, Value>| {
        ["apiVersion", "kind", "name"]
            .iter()
            .all(|key| document.get(*key) == patch.get(*key))
    };
    if is_delete(patch) {
        documents.retain(|document| !same(document));
        return;
    }
    match documents.iter_mut().find(|document| same(document)) {
        Some(document) => merge_map(document, patch, "document"),
        None => documents.push(patch.clone()),
    }
}

fn merge_map(base: &mut Map<String, Value>, patch: &Map<String, Value>, path: &str) {
    for (key, value) in patch {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (base.get_mut(key), value) {
            (_, Value::Null) => {}
            (_, Value::Object(patch)) if is_delete(patch) => {
                base.shift_remove(key);
            }
            (Some(Value::Object(base)), Value::Object(patch))
                if path == "cluster.apiServer.auditPolicy" =>
            {
                base.clone_from(patch);
            }
            (Some(Value::Object(base)), Value::Object(patch)) => merge_map(base, patch, &path),
            (Some(Value::Array(base)), Value::Array(patch)) => merge_list(base, patch, &path),
            (Some(base), value) => *base = without_deletions(value),
            (None, value) => {
                base.insert(key.clone(), without_deletions(value));
            }
        }
    }
}

fn rule(path: &str) -> ListRule {
    match path {
        "cluster.network.podSubnets" | "cluster.network.serviceSubnets" => ListRule::Replace,
        "machine.network.interfaces" => ListRule::ByKey(&["interface", "deviceSelector"]),
        "machine.network.interfaces.vlans" => ListRule::ByKey(&["vlanId"]),
        "cluster.apiServer.admissionControl" => ListRule::ByKey(&["name"]),
        _ => ListRule::Append,
    }
}

fn merge_list(base: &mut Vec<Value>, patch: &[Value], path: &str) {
    let keys = match rule(path) {
        ListRule::Append => return base.extend(patch.iter().map(without_deletions)),
        ListRule::Replace => return *base = patch.to_vec(),
        ListRule::ByKey(keys) => keys,
    };
    for item in patch {
        let same = |own: &Value| {
            keys.iter().any(|key| {
                item.get(*key)
                    .is_some_and(|value| own.get(*key) == Some(value))
            })
        };
        let place = base.iter().position(same);
        match (place, item) {
            (Some(place), Value::Object(patch)) if is_delete(patch) => {
                base.remove(place);
            }
            (Some(place), Value::Object(patch)) => {
                if let Value::Object(own) = &mut base[place] {
                    merge_map(own, patch, path);
                }
            }
            (None, Value::Object(patch)) if is_delete(patch) => {}
            _ => base.push(without_deletions(item)),
        }
    }
}

fn is_delete(patch: &Map<String, Value>) -> bool {
    patch.get(DELETE).is_some_and(|what| what == "delete")
}

/// A part that is new has nothing to delete, and the marks must not reach the machine.
fn without_deletions(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.as_object().is_some_and(is_delete) && !value.is_null())
                .map(|(key, value)| (key.clone(), without_deletions(value)))
                .collect(),
        ),
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.as_object().is_some_and(is_delete))
            .map(without_deletions)
            .collect::<Vec<_>>()
            .into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(base: Value, patch: Value) -> Value {
        let (Value::Object(mut base), Value::Object(patch)) = (base, patch) else {
            panic!("maps only")
        };
        merge(&mut base, &patch);
        Value::Object(base)
    }

    #[test]
    fn maps_merge_lists_append_scalars_give_way() {
        let base = json!({"machine": {"certSANs": ["a"], "install": {"disk": "/dev/sda", "wipe": false}, "network": {}}});
        let patch = json!({"machine": {"certSANs": ["b"], "install": {"disk": "/dev/sdb"}, "network": {"hostname": "x"}, "env": null}});
        let expected = json!({"machine": {"certSANs": ["a", "b"], "install": {"disk": "/dev/sdb", "wipe": false}, "network": {"hostname": "x"}}});
        assert_eq!(merged(base, patch), expected);
    }

    #[test]
    fn subnets_are_replaced() {
        let base = json!({"cluster": {"network": {"podSubnets": ["10.244.0.0/16"]}}});
        let patch = json!({"cluster": {"network": {"podSubnets": ["10.0.0.0/16", "fd00::/56"]}}});
        assert_eq!(merged(base, patch.clone()), patch);
    }

    #[test]
    fn deletions_remove_and_leave_no_trace() {
        let base = json!({"cluster": {"proxy": {"image": "x"}, "discovery": {"enabled": true}}});
        let patch = json!({
            "cluster": {"proxy": {"$patch": "delete"}, "new": {"inner": {"$patch": "delete"}, "kept": 1}},
            "machine": {"$patch": "delete"},
        });
        assert_eq!(
            merged(base, patch),
            json!({"cluster": {"discovery": {"enabled": true}, "new": {"kept": 1}}})
        );
    }

    #[test]
    fn keyed_lists_merge_by_item() {
        let base = json!({
            "machine": {"network": {"interfaces": [
                {"interface": "eth0", "dhcp": true},
                {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 1400}]},
                {"deviceSelector": {"driver": "virtio"}},
            ]}},
            "cluster": {"apiServer": {"admissionControl": [{"name": "PodSecurity"}], "auditPolicy": {"kind": "Policy", "rules": [1]}}},
        });
        let patch = json!({
            "machine": {"network": {"interfaces": [
                {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 9000}, {"vlanId": 8}]},
                {"interface": "eth2"},
                {"deviceSelector": {"driver": "virtio"}, "$patch": "delete"},
                {"interface": "eth9", "$patch": "delete"},
            ]}},
            "cluster": {"apiServer": {
                "admissionControl": [{"name": "PodSecurity", "$patch": "delete"}],
                "auditPolicy": {"rules": [2]},
            }},
        });
        let expected = json!({
            "machine": {"network": {"interfaces": [
                {"interface": "eth0", "dhcp": true},
                {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 9000}, {"vlanId": 8}]},
                {"interface": "eth2"},
            ]}},
            "cluster": {"apiServer": {"admissionControl": [], "auditPolicy": {"rules": [2]}}},
        });
        assert_eq!(merged(base, patch), expected);
    }

    #[test]
    fn documents_merge_by_kind_and_name() {
        let document = |name: &str, value: i32| {
            json!({"apiVersion": "v1alpha1", "kind": "NetworkRuleConfig", "name": name, "value": value}).as_object().unwrap().clone()
        };
        let mut documents = vec![document("a", 1)];
        merge_document(&mut documents, &document("b", 2));
        merge_document(&mut documents, &document("a", 3));
        assert_eq!(documents, [document("a", 3), document("b", 2)]);
        let mut delete = document("a", 3);
        delete.insert(DELETE.into(), "delete".into());
        merge_document(&mut documents, &delete);
        assert_eq!(documents, [document("b", 2)]);
    }
}
