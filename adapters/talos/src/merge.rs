//! Strategic merge of patches into machine configurations, with Talos' rules: its deletions, its lists, its empty values. Knows places of the
//! configuration that merge in their own way, and nothing else about it.

use serde_json::{Map, Value};

use crate::deletion::{self, Deletion};
use crate::problem::Problem;

/// How a list at a place takes the items of a patch.
#[derive(Clone, Copy)]
enum ListRule {
    /// They come after its own.
    Append,
    /// They take its place.
    Replace,
    /// An item changes the one with the same value under the first of these keys that it has, and comes after the others where there is none.
    ByKey(&'static [&'static str]),
}

/// A configuration: the machine configuration and the further documents beside it.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) main: Map<String, Value>,
    pub(crate) further: Vec<Map<String, Value>>,
}

/// Says whether a document stands on its own and is not a part of the machine configuration.
pub(crate) fn is_further(document: &Map<String, Value>) -> bool {
    document.contains_key("kind") || document.contains_key("apiVersion")
}

impl Documents {
    /// Merges one document of a patch: what it deletes goes first, then the rest is merged. `null` changes nothing.
    pub(crate) fn merge(&mut self, patch: &Map<String, Value>) -> Result<(), Problem> {
        let (deletions, rest) = deletion::split(patch)?;
        if is_further(patch) {
            self.merge_further(patch, &deletions, rest)
        } else {
            delete(&mut self.main, &deletions)?;
            merge_map(&mut self.main, &rest.unwrap_or_default(), "");
            Ok(())
        }
    }

    /// A document goes into the one of the same kind and name, else it is a new one.
    fn merge_further(
        &mut self,
        patch: &Map<String, Value>,
        deletions: &[Deletion],
        rest: Option<Map<String, Value>>,
    ) -> Result<(), Problem> {
        let same = |document: &Map<String, Value>| {
            IDENTITY
                .iter()
                .all(|key| document.get(*key) == patch.get(*key))
        };
        let place = self.further.iter().position(same);
        if !deletions.is_empty() {
            let Some(place) = place else {
                return Err(absent_document(patch));
            };
            if deletions.iter().any(Deletion::is_of_the_whole) {
                self.further.remove(place);
                return Ok(());
            }
            delete(&mut self.further[place], deletions)?;
        }
        let Some(rest) = rest else { return Ok(()) };
        match place {
            Some(place) => {
                let kind = text(&rest, "kind").to_owned();
                merge_map(&mut self.further[place], &rest, &kind);
            }
            None => self.further.push(rest),
        }
        Ok(())
    }
}

const IDENTITY: [&str; 3] = ["apiVersion", "kind", "name"];

fn text<'a>(document: &'a Map<String, Value>, key: &str) -> &'a str {
    document
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn absent_document(patch: &Map<String, Value>) -> Problem {
    let name = match text(patch, "name") {
        "" => String::new(),
        name => format!(" `{name}`"),
    };
    Problem::new(
        format!(
            "it deletes from the {}{name}, and no patch before it makes one",
            text(patch, "kind")
        ),
        "take the deletion out, or put the patch that makes the document first",
    )
}

fn delete(base: &mut Map<String, Value>, deletions: &[Deletion]) -> Result<(), Problem> {
    deletions
        .iter()
        .try_for_each(|deletion| deletion.apply(base))
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
            (Some(Value::Object(base)), Value::Object(patch)) if is_replaced(&path) => {
                base.clone_from(patch);
            }
            (Some(Value::Object(base)), Value::Object(patch)) => merge_map(base, patch, &path),
            (Some(Value::Array(base)), Value::Array(patch)) => merge_list(base, patch, &path),
            (Some(base), value) if base.is_null() || !is_empty(value) => *base = value.clone(),
            (Some(_), _) => {}
            (None, value) => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// An empty text and a zero say nothing to Talos; only `false` is a value of its own.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// The mappings that are exchanged as a whole.
fn is_replaced(path: &str) -> bool {
    path == "cluster.apiServer.auditPolicy"
}

fn rule(path: &str) -> ListRule {
    match path {
        "cluster.network.podSubnets"
        | "cluster.network.serviceSubnets"
        | "NetworkRuleConfig.ingress"
        | "NetworkRuleConfig.portSelector.ports" => ListRule::Replace,
        "machine.network.interfaces" => ListRule::ByKey(&["interface", "deviceSelector"]),
        "machine.network.interfaces.vlans" => ListRule::ByKey(&["vlanId"]),
        "cluster.apiServer.admissionControl" => ListRule::ByKey(&["name"]),
        "ExtensionServiceConfig.configFiles" => ListRule::ByKey(&["mountPath"]),
        _ => ListRule::Append,
    }
}

fn merge_list(base: &mut Vec<Value>, patch: &[Value], path: &str) {
    let keys = match rule(path) {
        ListRule::Append => return base.extend_from_slice(patch),
        ListRule::Replace => return *base = patch.to_vec(),
        ListRule::ByKey(keys) => keys,
    };
    for item in patch {
        let key = keys.iter().find(|key| item.get(**key).is_some());
        let same = |own: &Value| {
            key.is_some_and(|key| own.get(*key).is_some() && own.get(*key) == item.get(*key))
        };
        match (base.iter().position(same), item) {
            (Some(place), Value::Object(patch)) => {
                if let Value::Object(own) = &mut base[place] {
                    merge_map(own, patch, path);
                }
            }
            _ => base.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no map"),
        }
    }

    fn merged(base: Value, patch: Value) -> Value {
        let mut documents = Documents {
            main: map(base),
            further: Vec::new(),
        };
        documents.merge(&map(patch)).unwrap();
        Value::Object(documents.main)
    }

    #[track_caller]
    fn check(base: Value, patch: Value, expected: Value) {
        assert_eq!(merged(base, patch), expected);
    }

    #[test]
    fn maps_merge_lists_append_scalars_give_way() {
        check(
            json!({"machine": {"certSANs": ["a"], "install": {"disk": "/dev/sda", "wipe": true}, "network": {}}}),
            json!({"machine": {"certSANs": ["b", "a"], "install": {"disk": "/dev/sdb", "wipe": false}, "network": {"hostname": "x"}, "env": null}}),
            json!({"machine": {"certSANs": ["a", "b", "a"], "install": {"disk": "/dev/sdb", "wipe": false}, "network": {"hostname": "x"}}}),
        );
    }

    #[test]
    fn empty_values_change_nothing_that_is_there() {
        check(
            json!({"machine": {"install": {"disk": "/dev/sda"}, "nodeLabels": {"rack": "a"}, "mtu": 9000, "certSANs": ["a"]}}),
            json!({"machine": {"install": {"disk": ""}, "nodeLabels": {"rack": "", "new": ""}, "mtu": 0, "certSANs": []}}),
            json!({"machine": {"install": {"disk": "/dev/sda"}, "nodeLabels": {"rack": "a", "new": ""}, "mtu": 9000, "certSANs": ["a"]}}),
        );
    }

    #[test]
    fn subnets_are_replaced() {
        let base = json!({"cluster": {"network": {"podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]}}});
        let patch = json!({"cluster": {"network": {"podSubnets": ["10.0.0.0/16", "fd00::/56"], "serviceSubnets": ["10.1.0.0/16"]}}});
        check(base, patch.clone(), patch);
    }

    #[test]
    fn manifests_files_and_arguments_append() {
        check(
            json!({"cluster": {"extraManifests": ["a"], "inlineManifests": [{"name": "a"}]}, "machine": {"files": [{"path": "/a"}], "kubelet": {"extraArgs": {"a": "1"}}}}),
            json!({"cluster": {"extraManifests": ["a"], "inlineManifests": [{"name": "a"}]}, "machine": {"files": [{"path": "/a"}], "kubelet": {"extraArgs": {"a": "2", "b": "3"}}}}),
            json!({"cluster": {"extraManifests": ["a", "a"], "inlineManifests": [{"name": "a"}, {"name": "a"}]}, "machine": {"files": [{"path": "/a"}, {"path": "/a"}], "kubelet": {"extraArgs": {"a": "2", "b": "3"}}}}),
        );
    }

    #[test]
    fn deletions_come_first_and_leave_no_trace() {
        check(
            json!({
                "cluster": {"proxy": {"image": "x"}, "discovery": {"enabled": true}},
                "machine": {"network": {"hostname": "a", "interfaces": [{"interface": "eth0", "dhcp": true}, {"interface": "eth1", "addresses": ["10.3.5.4/32"]}]}},
            }),
            json!({
                "cluster": {"proxy": {"$patch": "delete"}},
                "machine": {"network": {
                    "hostname": {"$patch": "delete"},
                    "interfaces": [
                        {"interface": "eth0", "$patch": "delete"},
                        {"interface": "eth1", "addresses": ["10.3.5.5/32"]},
                        {"interface": "eth0", "dummy": true},
                    ],
                }},
            }),
            json!({
                "cluster": {"discovery": {"enabled": true}},
                "machine": {"network": {"interfaces": [{"interface": "eth1", "addresses": ["10.3.5.4/32", "10.3.5.5/32"]}, {"interface": "eth0", "dummy": true}]}},
            }),
        );
    }

    #[test]
    fn keyed_lists_merge_by_item() {
        check(
            json!({
                "machine": {"network": {"interfaces": [
                    {"interface": "eth0", "dhcp": true, "addresses": ["10.0.0.1/24"]},
                    {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 1400}]},
                    {"deviceSelector": {"driver": "virtio"}},
                ]}},
                "cluster": {"apiServer": {"admissionControl": [{"name": "PodSecurity", "configuration": {"exemptions": {"namespaces": ["kube-system"]}}}], "auditPolicy": {"kind": "Policy", "rules": [1]}}},
            }),
            json!({
                "machine": {"network": {"interfaces": [
                    {"interface": "eth0", "addresses": ["10.0.0.2/24"]},
                    {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 9000}, {"vlanId": 8}]},
                    {"interface": "eth2"},
                    {"deviceSelector": {"driver": "virtio"}, "dhcp": true},
                ]}},
                "cluster": {"apiServer": {
                    "admissionControl": [{"name": "PodSecurity", "configuration": {"exemptions": {"namespaces": ["storage"]}}}],
                    "auditPolicy": {"rules": [2]},
                }},
            }),
            json!({
                "machine": {"network": {"interfaces": [
                    {"interface": "eth0", "dhcp": true, "addresses": ["10.0.0.1/24", "10.0.0.2/24"]},
                    {"interface": "eth1", "vlans": [{"vlanId": 7, "mtu": 9000}, {"vlanId": 8}]},
                    {"deviceSelector": {"driver": "virtio"}, "dhcp": true},
                    {"interface": "eth2"},
                ]}},
                "cluster": {"apiServer": {
                    "admissionControl": [{"name": "PodSecurity", "configuration": {"exemptions": {"namespaces": ["kube-system", "storage"]}}}],
                    "auditPolicy": {"rules": [2]},
                }},
            }),
        );
    }

    #[test]
    fn documents_merge_by_kind_and_name() {
        let rule = |name: &str, ports: Value| {
            map(
                json!({"apiVersion": "v1alpha1", "kind": "NetworkRuleConfig", "name": name, "portSelector": {"ports": ports, "protocol": "tcp"}}),
            )
        };
        let service = |files: Value| {
            map(
                json!({"apiVersion": "v1alpha1", "kind": "ExtensionServiceConfig", "name": "foo", "configFiles": files}),
            )
        };
        let mut documents = Documents {
            main: Map::new(),
            further: vec![rule("a", json!([1]))],
        };
        documents.merge(&rule("b", json!([2]))).unwrap();
        documents.merge(&rule("a", json!([3]))).unwrap();
        let file = |content: &str, path: &str| json!({"content": content, "mountPath": path});
        for files in [
            json!([file("1", "/a")]),
            json!([file("2", "/a"), file("3", "/b")]),
        ] {
            documents.merge(&service(files)).unwrap();
        }
        assert_eq!(
            documents.further,
            [
                rule("a", json!([3])),
                rule("b", json!([2])),
                service(json!([file("2", "/a"), file("3", "/b")]))
            ]
        );
        let mut gone = rule("a", json!([3]));
        gone.insert("$patch".into(), "delete".into());
        documents.merge(&gone).unwrap();
        documents.merge(&map(json!({"apiVersion": "v1alpha1", "kind": "ExtensionServiceConfig", "name": "foo", "configFiles": [{"mountPath": "/a", "$patch": "delete"}]}))).unwrap();
        assert_eq!(
            documents.further,
            [rule("b", json!([2])), service(json!([file("3", "/b")]))]
        );
        let missing = documents.merge(&gone).unwrap_err();
        assert_eq!(
            missing.message,
            "it deletes from the NetworkRuleConfig `a`, and no patch before it makes one"
        );
    }
}
