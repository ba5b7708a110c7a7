//! Daemon sets, deployments and pods of the simulated cluster. Pure.

use serde_json::{Value, json};

use super::condition;
use crate::cluster::{Member, View};

pub(super) fn daemon_sets(view: &View<'_>) -> Vec<Value> {
    let wanted = view.members.len();
    let ready = view.members.iter().filter(|member| member.network).count();
    ["cilium", "cilium-envoy"]
        .iter()
        .filter(|name| view.has("DaemonSet", name))
        .map(|name| {
            json!({
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": name, "namespace": "kube-system", "generation": 1, "creationTimestamp": view.times.applied, "labels": {"k8s-app": name}},
                "spec": {"selector": {"matchLabels": {"k8s-app": name}}, "template": {"spec": {"containers": [{"name": name, "image": image(view, name)}]}}},
                "status": {
                    "observedGeneration": 1,
                    "currentNumberScheduled": wanted,
                    "desiredNumberScheduled": wanted,
                    "numberMisscheduled": 0,
                    "updatedNumberScheduled": wanted,
                    "numberReady": ready,
                    "numberAvailable": ready,
                    "numberUnavailable": wanted - ready,
                },
            })
        })
        .collect()
}

fn image(view: &View<'_>, name: &str) -> String {
    let found = view
        .config
        .manifests
        .iter()
        .find(|object| object.name == name && !object.image.is_empty());
    found.map(|object| object.image.clone()).unwrap_or_default()
}

pub(super) fn deployments(view: &View<'_>) -> Vec<Value> {
    let mut found = Vec::new();
    if view.has("Deployment", "cilium-operator") {
        let wanted = view.replicas("cilium-operator");
        // Two operators never share a node.
        let ready = if view.operator_ready {
            wanted.min(view.members.len() as u64)
        } else {
            0
        };
        found.push(deployment(
            view,
            "cilium-operator",
            wanted,
            ready,
            &image(view, "cilium-operator"),
        ));
    }
    let ready = if view.members.iter().any(|member| member.ready) {
        2
    } else {
        0
    };
    found.push(deployment(
        view,
        "coredns",
        2,
        ready,
        "registry.k8s.io/coredns/coredns:v1.12.3",
    ));
    found
}

fn deployment(view: &View<'_>, name: &str, wanted: u64, ready: u64, image: &str) -> Value {
    let label = if name == "coredns" {
        json!({"k8s-app": "kube-dns"})
    } else {
        json!({"io.cilium/app": "operator", "name": name})
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kube-system", "generation": 1, "creationTimestamp": view.times.applied, "labels": label},
        "spec": {"replicas": wanted, "selector": {"matchLabels": label}, "template": {"spec": {"containers": [{"name": name, "image": image}]}}},
        "status": {
            "observedGeneration": 1,
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": wanted - ready,
            "conditions": [condition(&view.times.applied, "Available", ready > 0, if ready > 0 { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" }, "")],
        },
    })
}

/// A pod before it is written.
struct Pod<'a> {
    name: String,
    labels: Value,
    member: Option<&'a Member<'a>>,
    number: usize,
    ready: bool,
    started: &'a str,
    host_network: bool,
}

pub(super) fn pods(view: &View<'_>) -> Vec<Value> {
    let mut found = Vec::new();
    for (number, member) in view.members.iter().enumerate() {
        let sets = ["cilium", "cilium-envoy"];
        found.extend(
            sets.iter()
                .filter(|name| view.has("DaemonSet", name))
                .map(|name| Pod {
                    name: format!("{name}-lab{number:02}"),
                    labels: json!({"k8s-app": name}),
                    member: Some(member),
                    number,
                    ready: member.network,
                    started: &view.times.applied,
                    host_network: true,
                }),
        );
    }
    if view.has("Deployment", "cilium-operator") {
        let members = view
            .members
            .iter()
            .take(usize::try_from(view.replicas("cilium-operator")).unwrap_or(usize::MAX));
        found.extend(members.enumerate().map(|(number, member)| Pod {
            name: format!("cilium-operator-lab{number:02}"),
            labels: json!({"io.cilium/app": "operator", "name": "cilium-operator", "app.kubernetes.io/name": "cilium-operator"}),
            member: Some(member),
            number,
            ready: view.operator_ready,
            started: &view.times.operator,
            host_network: true,
        }));
    }
    let ready = view.members.iter().find(|member| member.ready);
    found.extend((0..2).map(|number| Pod {
        name: format!("coredns-lab{number:02}"),
        labels: json!({"k8s-app": "kube-dns"}),
        member: ready,
        number,
        ready: ready.is_some(),
        started: &view.times.operator,
        host_network: false,
    }));
    found.iter().map(|pod| pod.to_json(view)).collect()
}

impl Pod<'_> {
    fn to_json(&self, view: &View<'_>) -> Value {
        let state = if self.ready {
            json!({"running": {"startedAt": self.started}})
        } else {
            json!({"waiting": {"reason": "ContainerCreating"}})
        };
        let mut status = json!({
            "phase": if self.ready { "Running" } else { "Pending" },
            "conditions": [
                condition(&view.times.applied, "PodScheduled", self.member.is_some(), if self.member.is_some() { "" } else { "Unschedulable" }, ""),
                condition(self.started, "Ready", self.ready, if self.ready { "" } else { "ContainersNotReady" }, ""),
            ],
            "containerStatuses": [{"name": self.name, "ready": self.ready, "restartCount": 0, "state": state}],
        });
        let mut spec = json!({"hostNetwork": self.host_network});
        if let Some(member) = self.member {
            spec["nodeName"] = member.config.host_name.clone().into();
            status["hostIP"] = member.node.ip.clone().into();
            status["startTime"] = view.times.applied.clone().into();
            if self.ready {
                let own = format!("10.244.0.{}", self.number + 10);
                status["podIP"] = if self.host_network {
                    member.node.ip.clone()
                } else {
                    own
                }
                .into();
            }
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": "kube-system", "labels": self.labels, "creationTimestamp": view.times.applied},
            "spec": spec,
            "status": status,
        })
    }
}
