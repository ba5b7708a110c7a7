//! The scripts of the stages, what each of them needs, and the data they find. The texts are in `scripts/`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::manifest::Tool;
use ztc_adapter_sdk::protocol::stage::{Script, StageKind};
use ztc_adapter_sdk::script;

use crate::cluster::Cluster;
use crate::versions::{minor_text, with_v};
use crate::{KUBECONFIG, OUTPUT_DIR};

pub(crate) const REGISTER: &str = "register-schematics.sh";
pub(crate) const INSTALL: &str = "install-talos.sh";
pub(crate) const APPLY: &str = "apply-config.sh";
pub(crate) const BOOTSTRAP: &str = "bootstrap-talos.sh";
pub(crate) const ADD_WORKERS: &str = "add-worker-nodes.sh";
pub(crate) const VALIDATE: &str = "validate-cluster.sh";

/// The line with which a script takes the shared functions in.
const INCLUDE: &str = "# shellcheck source=lib.sh\n. lib.sh\n";
const LIBRARY: &str = include_str!("../scripts/lib.sh");

/// How long a machine may take from its reset until the Talos API answers; bare metal needs minutes for its self-test alone.
const BOOT_SECONDS: u32 = 900;
/// How long nodes may take to become ready after the pod network is there.
const READY_SECONDS: u32 = 300;

/// Makes all scripts, in the order of their stages.
pub(crate) fn scripts(cluster: &Cluster) -> Vec<Script> {
    let mut scripts: Vec<Script> = register(cluster).into_iter().collect();
    scripts.extend([
        install(cluster),
        apply(cluster),
        bootstrap(cluster),
        add_workers(cluster),
        validate(cluster),
    ]);
    scripts
}

/// The programs that the stages start. `minor`: of the Talos version, as `1.11`.
pub(crate) fn tools(minor: &str) -> Vec<Tool> {
    vec![talosctl(minor), kubectl(), ssh(), jq()]
}

/// Only where images are customized: the factory has the others already.
fn register(cluster: &Cluster) -> Option<Script> {
    let schematics: BTreeMap<&str, &str> = cluster
        .machines
        .iter()
        .filter_map(|machine| {
            let schematic = &machine.schematic;
            Some((schematic.id.as_str(), schematic.text.as_deref()?))
        })
        .collect();
    if schematics.is_empty() {
        return None;
    }
    let mut script = make(
        REGISTER,
        StageKind::PreWork,
        "Tell the image factory what the images are made from",
        include_str!("../scripts/register-schematics.sh"),
    );
    script.timeout_seconds = 600;
    script.tools = vec![curl(), jq()];
    script.context_data = object(json!({
        "factory_url": cluster.config.factory(),
        "schematics": schematics,
    }));
    Some(script)
}

fn install(cluster: &Cluster) -> Script {
    let ssh_access = &cluster.infrastructure.ssh;
    let mut script = make(
        INSTALL,
        StageKind::PreWork,
        "Write the Talos image to the disk and boot it",
        include_str!("../scripts/install-talos.sh"),
    );
    script.timeout_seconds = 1800;
    script.destructive = true;
    script.files = talosconfig();
    script.tools = vec![ssh(), talosctl(&minor(cluster)), jq()];
    script.context_data = object(json!({
        "ssh_user": ssh_access.user,
        "ssh_config_file": ssh_access.config_file,
    }));
    script
}

fn apply(cluster: &Cluster) -> Script {
    let mut script = make(
        APPLY,
        StageKind::PreWork,
        "Give each control plane its configuration",
        include_str!("../scripts/apply-config.sh"),
    );
    // Control planes of a living cluster wait for each other.
    script.timeout_seconds = 5400;
    script.files = talosconfig();
    script.tools = vec![talosctl(&minor(cluster))];
    script.context_data = object(json!({
        "boot_seconds": BOOT_SECONDS,
        "control_planes": control_planes(cluster),
        "kubernetes_version": cluster.kubernetes_version,
    }));
    script
}

fn bootstrap(cluster: &Cluster) -> Script {
    let mut script = make(
        BOOTSTRAP,
        StageKind::PreWork,
        "Start etcd once and wait for the Kubernetes API",
        include_str!("../scripts/bootstrap-talos.sh"),
    );
    script.timeout_seconds = 2700;
    script.files = talosconfig();
    script.tools = vec![talosctl(&minor(cluster)), kubectl()];
    let control_planes = control_planes(cluster);
    script.context_data = object(json!({
        "server_ip": control_planes.first(),
        "control_planes": control_planes,
        "kubeconfig": KUBECONFIG,
        "cluster_endpoint": cluster.endpoint.to_string(),
    }));
    script
}

fn control_planes(cluster: &Cluster) -> Vec<&str> {
    cluster
        .of_role(crate::config::Role::ControlPlane)
        .map(|machine| machine.ip.as_str())
        .collect()
}

fn add_workers(cluster: &Cluster) -> Script {
    let mut script = make(
        ADD_WORKERS,
        StageKind::PreWork,
        "Give each worker its configuration and wait until it joins",
        include_str!("../scripts/add-worker-nodes.sh"),
    );
    script.timeout_seconds = 2400;
    script.files = talosconfig();
    script.tools = vec![talosctl(&minor(cluster)), kubectl()];
    script.context_data = object(json!({ "boot_seconds": BOOT_SECONDS, "kubeconfig": KUBECONFIG }));
    script
}

fn validate(cluster: &Cluster) -> Script {
    let mut script = make(
        VALIDATE,
        StageKind::Validation,
        "Check that every node is ready and runs the right version",
        include_str!("../scripts/validate-cluster.sh"),
    );
    script.timeout_seconds = READY_SECONDS + 60;
    script.tools = vec![kubectl(), jq()];
    let nodes: Vec<&str> = cluster
        .machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    let installers: BTreeMap<&str, Value> = cluster
        .machines
        .iter()
        .map(|machine| {
            let upgrade = json!({ "ip": machine.ip, "image": machine.installer_image });
            (machine.name.as_str(), upgrade)
        })
        .collect();
    script.context_data = object(json!({
        "kubeconfig": KUBECONFIG,
        "kubernetes_version": cluster.kubernetes_version,
        "talos_version": with_v(&cluster.config.version),
        "nodes": nodes,
        "installers": installers,
        "ready_seconds": READY_SECONDS,
    }));
    script
}

fn make(name: &str, kind: StageKind, description: &str, text: &str) -> Script {
    script(name, kind, description, &text.replace(INCLUDE, LIBRARY))
}

fn talosconfig() -> BTreeMap<String, String> {
    [(
        "talosconfig".to_owned(),
        format!("{OUTPUT_DIR}/talosconfig"),
    )]
    .into()
}

fn minor(cluster: &Cluster) -> String {
    minor_text(&cluster.config.version)
}

fn talosctl(minor: &str) -> Tool {
    Tool {
        name: "talosctl".into(),
        minimum_version: minor.to_owned(),
        version_arguments: words("version --client --short"),
        install_hint: format!("https://www.talos.dev/v{minor}/talos-guides/install/talosctl/"),
    }
}

fn kubectl() -> Tool {
    Tool {
        name: "kubectl".into(),
        minimum_version: String::new(),
        version_arguments: words("version --client -o json"),
        install_hint: "https://kubernetes.io/docs/tasks/tools/#kubectl".into(),
    }
}

fn ssh() -> Tool {
    Tool {
        name: "ssh".into(),
        version_arguments: words("-V"),
        install_hint: "install the OpenSSH client: `apt install openssh-client`, `dnf install openssh-clients`".into(),
        ..Tool::default()
    }
}

fn curl() -> Tool {
    Tool {
        name: "curl".into(),
        version_arguments: words("--version"),
        install_hint: "install the package `curl`, or see https://curl.se/download.html".into(),
        ..Tool::default()
    }
}

fn jq() -> Tool {
    Tool {
        name: "jq".into(),
        version_arguments: words("--version"),
        install_hint: "ztc brings one along; to have your own: `apt install jq`, `brew install jq`"
            .into(),
        ..Tool::default()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Takes the map out of a literal.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::cluster;

    #[test]
    fn scripts_are_whole() {
        for script in scripts(&cluster()) {
            assert!(
                script.content.starts_with("#!/usr/bin/env bash\n#"),
                "{}",
                script.name
            );
            assert!(script.content.contains(
                "\nset -euo pipefail\n# shellcheck source=/dev/null\n. \"$ZTC_CONTEXT_SH\"\n"
            ));
            assert_eq!(
                script.content.matches("\nnode_state() {").count(),
                1,
                "{}",
                script.name
            );
            assert!(!script.content.contains(". lib.sh"), "{}", script.name);
        }
    }

    #[test]
    fn only_the_installation_destroys() {
        let destructive: Vec<_> = scripts(&cluster())
            .into_iter()
            .filter(|script| script.destructive)
            .collect();
        assert_eq!(
            destructive
                .iter()
                .map(|script| script.name.as_str())
                .collect::<Vec<_>>(),
            [INSTALL]
        );
    }

    /// Every `$CTX_...` that a script reads is in its context or in that of its stage's items: an unset one would end the script.
    #[test]
    fn every_variable_has_a_value() {
        let cluster = cluster();
        let stages = crate::stages::stages(&cluster);
        for script in scripts(&cluster) {
            let stage = stages
                .iter()
                .find(|stage| stage.script.ends_with(&format!("/{}", script.name)))
                .unwrap();
            let mut known: Vec<String> = script.context_data.keys().cloned().collect();
            if let Some(for_each) = &stage.for_each {
                known.extend(for_each.items[0].context.keys().cloned());
                known.extend(["item_key".to_owned(), "item_name".to_owned()]);
            }
            let body = script.content.replace(LIBRARY, "");
            let uses_boot = body.contains("configure_node ");
            for (_, rest) in body
                .match_indices("CTX_")
                .map(|(at, _)| body.split_at(at + 4))
            {
                let end = rest
                    .find(|c: char| !c.is_ascii_uppercase() && c != '_')
                    .unwrap_or(rest.len());
                assert!(
                    known.contains(&rest[..end].to_lowercase()),
                    "{}: CTX_{}",
                    script.name,
                    &rest[..end]
                );
            }
            assert!(
                !uses_boot || known.contains(&"boot_seconds".to_owned()),
                "{}",
                script.name
            );
        }
    }
}
