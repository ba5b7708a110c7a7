//! The manifests as one file: a JSON list, which `kubectl apply` takes like YAML and which needs no quoting. Pure.

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::message::Artifact;

use crate::{Config, Namespace};

/// The file, below the adapter's directory.
pub(crate) const FILE: &str = "namespaces.json";

/// Renders the file.
pub(crate) fn artifact(config: &Config) -> Artifact {
    let items: Vec<Value> = config.namespaces.iter().flat_map(objects).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    Artifact {
        path: FILE.into(),
        content: format!("{list:#}\n"),
        ..Artifact::default()
    }
}

fn objects(namespace: &Namespace) -> Vec<Value> {
    let Namespace {
        name,
        pod_security,
        cpu,
        memory,
    } = namespace;
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "ztc",
                "pod-security.kubernetes.io/enforce": pod_security,
                "pod-security.kubernetes.io/warn": pod_security,
            },
        },
    })];
    let limits = [("requests.cpu", cpu), ("requests.memory", memory)];
    let hard: Map<String, Value> = limits
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into())))
        .collect();
    if !hard.is_empty() {
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": { "name": "ztc", "namespace": name },
            "spec": { "hard": hard },
        }));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_there_only_where_it_is_wanted() {
        let config: Config = serde_json::from_value(json!({
            "namespaces": [{ "name": "a" }, { "name": "b", "pod_security": "restricted", "memory": "16Gi" }],
        }))
        .expect("it is a configuration");
        let list: Value = serde_json::from_str(&artifact(&config).content).expect("it is JSON");
        let seen: Vec<String> = list["items"]
            .as_array()
            .expect("it is a list")
            .iter()
            .map(|item| {
                let level = &item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
                format!("{} {level} {}", item["kind"], item["spec"]["hard"])
            })
            .collect();
        assert_eq!(
            seen,
            [
                "\"Namespace\" \"baseline\" null",
                "\"Namespace\" \"restricted\" null",
                "\"ResourceQuota\" null {\"requests.memory\":\"16Gi\"}",
            ]
        );
    }
}
