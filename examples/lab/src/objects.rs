//! The Kubernetes objects of the simulated cluster, with the fields that real ones have. Pure.

use serde_json::{Value, json};

use crate::cluster::{Member, View};
use crate::machine_config::Role;

mod workloads;

/// The kind that a user's word means, as in `kind`; `None`: the lab's API does not have it.
pub(crate) fn kind(word: &str) -> Option<&'static str> {
    let word = word.split('.').next().unwrap_or(word).to_lowercase();
    Some(match word.as_str() {
        "node" | "nodes" | "no" => "Node",
        "daemonset" | "daemonsets" | "ds" => "DaemonSet",
        "deployment" | "deployments" | "deploy" => "Deployment",
        "pod" | "pods" | "po" => "Pod",
        "crd" | "crds" | "customresourcedefinition" | "customresourcedefinitions" => {
            "CustomResourceDefinition"
        }
        "namespace" | "namespaces" | "ns" => "Namespace",
        "gatewayclass" | "gatewayclasses" | "gc" => "GatewayClass",
        _ => return None,
    })
}

/// The name that errors give a kind.
pub(crate) fn resource(kind: &str) -> &'static str {
    match kind {
        "Node" => "nodes",
        "DaemonSet" => "daemonsets.apps",
        "Deployment" => "deployments.apps",
        "Pod" => "pods",
        "Namespace" => "namespaces",
        "CustomResourceDefinition" => "customresourcedefinitions.apiextensions.k8s.io",
        _ => "gatewayclasses.gateway.networking.k8s.io",
    }
}

/// All objects of a kind; an error where the API does not serve it yet.
pub(crate) fn list(view: &View<'_>, kind: &str, namespace: &str) -> Result<Vec<Value>, String> {
    let in_system = namespace.is_empty() || namespace == "kube-system";
    Ok(match kind {
        "Node" => view
            .members
            .iter()
            .map(|member| node(view, member))
            .collect(),
        "CustomResourceDefinition" => view
            .definitions
            .iter()
            .map(|name| definition(view, name))
            .collect(),
        "GatewayClass" => return gateway_classes(view),
        // Those are all with what was applied.
        "Namespace" => Vec::new(),
        _ if !in_system => Vec::new(),
        "DaemonSet" => workloads::daemon_sets(view),
        "Deployment" => workloads::deployments(view),
        _ => workloads::pods(view),
    })
}

fn condition(at: &str, kind: &str, status: bool, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message, "lastTransitionTime": at})
}

fn node(view: &View<'_>, member: &Member<'_>) -> Value {
    let config = member.config;
    let name = if config.host_name.is_empty() {
        &member.node.name
    } else {
        &config.host_name
    };
    let mut labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": member.node.architecture});
    let mut taints = Vec::new();
    if config.role == Role::ControlPlane {
        labels["node-role.kubernetes.io/control-plane"] = "".into();
        taints
            .push(json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}));
    }
    if !member.ready {
        taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
    }
    let version = member.node.talos().map_or("", |image| &image.version);
    let ready = if member.node.talos().is_none() {
        json!({"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.", "lastTransitionTime": view.times.api})
    } else if member.ready {
        condition(
            &view.times.applied,
            "Ready",
            true,
            "KubeletReady",
            "kubelet is posting ready status",
        )
    } else {
        let message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
        condition(&view.times.api, "Ready", false, "KubeletNotReady", message)
    };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "creationTimestamp": view.times.api},
        "spec": {"taints": taints},
        "status": {
            "addresses": [{"type": "InternalIP", "address": member.node.ip}, {"type": "Hostname", "address": name}],
            "conditions": [condition(&view.times.api, "MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"), ready],
            "nodeInfo": {
                "kubeletVersion": config.kubelet_version,
                "osImage": format!("Talos ({version})"),
                "operatingSystem": "linux",
                "architecture": member.node.architecture,
                "containerRuntimeVersion": "containerd://2.1.5",
                "kernelVersion": "6.12.57-talos",
            },
        },
    });
    if !config.provider_id.is_empty() {
        object["spec"]["providerID"] = config.provider_id.clone().into();
    }
    object
}

fn definition(view: &View<'_>, name: &str) -> Value {
    let gateway = name.ends_with(".gateway.networking.k8s.io");
    let at = if gateway {
        &view.times.gateway
    } else {
        &view.times.operator
    };
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "creationTimestamp": at},
        "spec": {"group": group, "names": {"plural": plural}, "scope": "Namespaced"},
        "status": {"conditions": [condition(at, "NamesAccepted", true, "NoConflicts", "no conflicts found"), condition(at, "Established", true, "InitialNamesAccepted", "the initial names have been accepted")]},
    })
}

fn gateway_classes(view: &View<'_>) -> Result<Vec<Value>, String> {
    if !view
        .definitions
        .iter()
        .any(|name| name.starts_with("gatewayclasses."))
    {
        return Err("error: the server doesn't have a resource type \"gatewayclasses\"".into());
    }
    if !view.has("GatewayClass", "cilium") {
        return Ok(Vec::new());
    }
    let accepted = if view.gateway {
        condition(
            &view.times.operator,
            "Accepted",
            true,
            "Accepted",
            "Valid GatewayClass",
        )
    } else {
        json!({"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z"})
    };
    Ok(vec![json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "cilium", "creationTimestamp": view.times.applied},
        "spec": {"controllerName": "io.cilium/gateway-controller"},
        "status": {"conditions": [accepted]},
    })])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::configure;
    use crate::machine_config::tests::sample;
    use crate::state::tests::world;

    #[test]
    fn objects_say_what_scripts_ask_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", false);
        state.tick(200_000);
        let view = state.view().unwrap();
        let nodes = list(&view, "Node", "").unwrap();
        assert_eq!(nodes[0]["spec"]["providerID"], "hcloud://7");
        assert_eq!(nodes[0]["status"]["nodeInfo"]["kubeletVersion"], "v1.33.4");
        assert_eq!(
            nodes[0]["status"]["addresses"][0],
            json!({"type": "InternalIP", "address": "127.42.0.11"})
        );
        assert_eq!(
            nodes[0].pointer("/status/conditions/1/status"),
            Some(&json!("True"))
        );
        let sets = list(&view, "DaemonSet", "kube-system").unwrap();
        assert_eq!(
            (sets.len(), &sets[0]["status"]["numberReady"]),
            (1, &json!(1))
        );
        // One node, two operators that never share a node.
        assert_eq!(
            list(&view, "Deployment", "kube-system").unwrap()[0]["status"]["readyReplicas"],
            1
        );
        assert_eq!(
            list(&view, "GatewayClass", "").unwrap()[0].pointer("/status/conditions/0/status"),
            Some(&json!("True"))
        );
        assert_eq!(list(&view, "Pod", "default").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn kinds_have_the_names_that_people_type() {
        assert_eq!(
            ["ds", "nodes", "deployments.apps", "CRD", "secret"].map(kind),
            [
                Some("DaemonSet"),
                Some("Node"),
                Some("Deployment"),
                Some("CustomResourceDefinition"),
                None
            ]
        );
    }
}
