//! A render: artifacts, stages, environment, capability and data from a resolved cluster. Pure.

use serde_json::{Value, json};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::capability::{KUBERNETES_API, KubernetesApi};
use ztc_adapter_sdk::protocol::message::{Artifact, RenderResult};

use crate::KUBECONFIG;
use crate::cluster::Cluster;
use crate::config::Role;
use crate::machine_config::MachineConfigs;
use crate::stages::{WORKER_NODES, stages};

/// Renders a cluster; `go_on` is asked before each node, so that a cancelled call of a large cluster ends soon.
pub(crate) fn render(
    cluster: &Cluster,
    mut go_on: impl FnMut() -> Result<(), AdapterError>,
) -> Result<RenderResult, AdapterError> {
    let configs = MachineConfigs::new(cluster)?;
    let mut artifacts = Vec::with_capacity(cluster.machines.len() + 1);
    for machine in &cluster.machines {
        go_on()?;
        artifacts.push(artifact(
            format!("nodes/{}/config.yaml", machine.name),
            configs.machine(machine)?,
        ));
    }
    artifacts.push(artifact("talosconfig".into(), configs.talosconfig()?));
    let workers: Vec<&str> = cluster
        .of_role(Role::Worker)
        .map(|machine| machine.name.as_str())
        .collect();
    let kubernetes_api = KubernetesApi {
        cluster_endpoint: cluster.endpoint.to_string(),
        kubeconfig_path: KUBECONFIG.into(),
        version: cluster.kubernetes_version.clone(),
    };
    Ok(RenderResult {
        artifacts,
        stages: stages(cluster),
        env_vars: [
            ("TALOS_VERSION".to_owned(), cluster.config.version.clone()),
            (WORKER_NODES.to_owned(), workers.join(",")),
        ]
        .into(),
        capabilities: [(KUBERNETES_API.to_owned(), json!(kubernetes_api))].into(),
        data: data(cluster),
        ..RenderResult::default()
    })
}

/// The JSON Schema of `data`.
pub(crate) fn output_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["cluster_name", "cluster_endpoint", "talos_version", "kubernetes_version", "nodes"],
        "properties": {
            "cluster_name": text,
            "cluster_endpoint": text,
            "talos_version": text,
            "kubernetes_version": text,
            "nodes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "ip", "role", "disk", "image_url", "installer_image"],
                    "properties": {
                        "name": text,
                        "ip": text,
                        "role": { "enum": ["controlplane", "worker"] },
                        "disk": text,
                        "image_url": text,
                        "installer_image": text,
                    },
                },
            },
        },
    })
}

fn data(cluster: &Cluster) -> Value {
    let node = |machine: &crate::cluster::Machine| {
        json!({
            "name": machine.name,
            "ip": machine.ip,
            "role": machine.role.word(),
            "disk": machine.disk,
            "image_url": machine.image_url,
            "installer_image": machine.installer_image,
        })
    };
    json!({
        "cluster_name": cluster.config.cluster_name,
        "cluster_endpoint": cluster.endpoint.to_string(),
        "talos_version": cluster.config.version,
        "kubernetes_version": cluster.kubernetes_version,
        "nodes": cluster.machines.iter().map(node).collect::<Vec<_>>(),
    })
}

fn artifact(path: String, content: String) -> Artifact {
    Artifact {
        path,
        content,
        ..Artifact::default()
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
pub(crate) mod tests;
