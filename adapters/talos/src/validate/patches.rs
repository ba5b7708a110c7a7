//! Checks patches for what would surely fail on the machine: a target that is not there, a part that no configuration has, secrets in the clear.

use serde_json::{Map, Value};

use crate::config::{Config, Patch, Role};
use crate::machine_config::is_document;
use crate::problem::Findings;

/// The keys at the top of a machine configuration.
const TOP: [&str; 5] = ["version", "debug", "persist", "machine", "cluster"];

/// The keys below `machine` and `cluster` in Talos 1.10 and 1.11.
const PARTS: [(&str, &[&str]); 2] = [("machine", &MACHINE), ("cluster", &CLUSTER)];

const MACHINE: [&str; 25] = [
    "type",
    "token",
    "ca",
    "acceptedCAs",
    "certSANs",
    "controlPlane",
    "kubelet",
    "pods",
    "network",
    "install",
    "files",
    "env",
    "time",
    "sysctls",
    "sysfs",
    "registries",
    "features",
    "udev",
    "logging",
    "kernel",
    "seccompProfiles",
    "baseRuntimeSpecOverrides",
    "nodeLabels",
    "nodeAnnotations",
    "nodeTaints",
];

const CLUSTER: [&str; 25] = [
    "id",
    "secret",
    "controlPlane",
    "clusterName",
    "network",
    "token",
    "aescbcEncryptionSecret",
    "secretboxEncryptionSecret",
    "ca",
    "acceptedCAs",
    "aggregatorCA",
    "serviceAccount",
    "apiServer",
    "controllerManager",
    "proxy",
    "scheduler",
    "discovery",
    "etcd",
    "coreDNS",
    "externalCloudProvider",
    "extraManifests",
    "extraManifestHeaders",
    "inlineManifests",
    "adminKubeconfig",
    "allowSchedulingOnControlPlanes",
];

/// Where Talos' own secrets stand; a patch there would put a secret into git and cut the node off from the cluster.
const SECRETS: [&str; 11] = [
    "/machine/token",
    "/machine/ca",
    "/cluster/id",
    "/cluster/secret",
    "/cluster/token",
    "/cluster/secretboxEncryptionSecret",
    "/cluster/aescbcEncryptionSecret",
    "/cluster/ca",
    "/cluster/aggregatorCA",
    "/cluster/serviceAccount",
    "/cluster/etcd/ca",
];

/// Kinds of documents that come only with Talos 1.12.
const LATER_KINDS: [&str; 4] = [
    "HostnameConfig",
    "LinkConfig",
    "HCloudVIPConfig",
    "ResolverConfig",
];

pub(super) fn check(config: &Config, findings: &mut Findings) {
    for (index, patch) in config.patches.iter().enumerate() {
        let place = format!("/patches/{index}");
        target(config, patch, &place, findings);
        let place = format!("{place}/patch");
        if patch.patch.is_empty() {
            findings.error(
                place,
                "the patch is empty",
                "say what to change, such as `machine: {sysctls: {...}}`",
            );
        } else if is_document(&patch.patch) {
            document(&patch.patch, &place, findings);
        } else {
            part(config, patch, &place, findings);
        }
    }
}

fn target(config: &Config, patch: &Patch, place: &str, findings: &mut Findings) {
    let target = &patch.target;
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    if !["all", "controlplane", "worker"].contains(&target.as_str())
        && !names.contains(&target.as_str())
    {
        let message = format!("`{target}` is neither a group nor a node");
        let help = format!(
            "use `all`, `controlplane`, `worker` or a node: {}",
            names.join(", ")
        );
        findings.error(format!("{place}/target"), message, help);
    }
}

fn document(patch: &Map<String, Value>, place: &str, findings: &mut Findings) {
    if !patch.get("apiVersion").is_some_and(Value::is_string) {
        findings.error(
            place,
            "a document of its own needs `apiVersion`",
            "add `apiVersion: v1alpha1`",
        );
    }
    match patch.get("kind") {
        Some(Value::String(kind)) if LATER_KINDS.contains(&kind.as_str()) => {
            let message = format!("documents of kind `{kind}` come with Talos 1.12");
            findings.error(
                format!("{place}/kind"),
                message,
                "use `machine.network` instead",
            );
        }
        Some(Value::String(_)) => {}
        _ => findings.error(
            format!("{place}/kind"),
            "the kind is not a text",
            "write it as `kind: NetworkRuleConfig`",
        ),
    }
}

fn part(config: &Config, patch: &Patch, place: &str, findings: &mut Findings) {
    for key in patch
        .patch
        .keys()
        .filter(|key| !TOP.contains(&key.as_str()))
    {
        let message = format!("`{key}` is not a part of a machine configuration");
        let help = "put the change below `machine` or `cluster`, or give `apiVersion` and `kind` for a document of its own";
        findings.error(format!("{place}/{}", super::escaped(key)), message, help);
    }
    for (part, known) in PARTS {
        let keys = patch
            .patch
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys);
        for key in keys.filter(|key| !known.contains(&key.as_str()) && *key != "$patch") {
            let message = format!("`{part}` of a machine configuration has no `{key}`");
            let help = format!("the keys there are {}", known.join(", "));
            findings.error(
                format!("{place}/{part}/{}", super::escaped(key)),
                message,
                help,
            );
        }
    }
    let whole = Value::Object(patch.patch.clone());
    for pointer in SECRETS
        .iter()
        .filter(|pointer| whole.pointer(pointer).is_some())
    {
        let help = "take it out: `ztc secrets import` is the way to bring the secrets of a cluster";
        findings.error(
            format!("{place}{pointer}"),
            "a patch cannot change the secrets of the cluster",
            help,
        );
    }
    if whole.pointer("/persist") == Some(&Value::Bool(false)) {
        findings.error(
            format!("{place}/persist"),
            "Talos refuses `persist: false`",
            "take it out",
        );
    }
    if let Some(kind) = whole.pointer("/machine/type") {
        let message = format!("a patch cannot make a machine a {kind}");
        findings.error(
            format!("{place}/machine/type"),
            message,
            "change the node's `role` instead",
        );
    }
    if reaches_workers(config, patch) {
        worker_part(&whole, place, findings);
    }
}

fn reaches_workers(config: &Config, patch: &Patch) -> bool {
    config
        .nodes
        .iter()
        .filter(|node| node.role == Role::Worker)
        .any(|node| patch.target == "all" || patch.target == "worker" || patch.target == node.name)
}

fn worker_part(patch: &Value, place: &str, findings: &mut Findings) {
    let help = "give the patch the target `controlplane`";
    if patch.pointer("/cluster/etcd").is_some() {
        findings.error(
            format!("{place}/cluster/etcd"),
            "workers do not run etcd",
            help,
        );
    }
    let interfaces = patch
        .pointer("/machine/network/interfaces")
        .and_then(Value::as_array);
    for (index, _) in interfaces
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, one)| one.get("vip").is_some())
    {
        let place = format!("{place}/machine/network/interfaces/{index}/vip");
        findings.error(place, "workers cannot have a shared address", help);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::found;

    fn patches(patches: Value) -> Vec<String> {
        found(json!({ "patches": patches }))
    }

    #[test]
    fn good_patches_have_no_findings() {
        assert_eq!(
            patches(json!([
                {"patch": {"machine": {"sysctls": {"vm.max_map_count": "262144"}}}},
                {"target": "controlplane", "patch": {"cluster": {"etcd": {"extraArgs": {"a": "b"}}}}},
                {"target": "worker01", "patch": {"apiVersion": "v1alpha1", "kind": "NetworkDefaultActionConfig", "ingress": "block"}},
            ])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn bad_patches_are_found_before_a_machine_refuses_them() {
        assert_eq!(
            patches(json!([
                {"target": "cp02", "patch": {"machin": {}, "machine": {"hostname": "x"}}},
                {"target": "cp01", "patch": {}},
                {"target": "worker", "patch": {"cluster": {"etcd": {}}, "machine": {"network": {"interfaces": [{"vip": {}}]}}}},
                {"patch": {"cluster": {"secret": "x"}, "persist": false, "machine": {"type": "worker"}}},
                {"patch": {"kind": "HostnameConfig"}},
            ])),
            [
                "error /patches/0/target: `cp02` is neither a group nor a node",
                "error /patches/0/patch/machin: `machin` is not a part of a machine configuration",
                "error /patches/0/patch/machine/hostname: `machine` of a machine configuration has no `hostname`",
                "error /patches/1/patch: the patch is empty",
                "error /patches/2/patch/cluster/etcd: workers do not run etcd",
                "error /patches/2/patch/machine/network/interfaces/0/vip: workers cannot have a shared address",
                "error /patches/3/patch/cluster/secret: a patch cannot change the secrets of the cluster",
                "error /patches/3/patch/persist: Talos refuses `persist: false`",
                "error /patches/3/patch/machine/type: a patch cannot make a machine a \"worker\"",
                "error /patches/4/patch: a document of its own needs `apiVersion`",
                "error /patches/4/patch/kind: documents of kind `HostnameConfig` come with Talos 1.12",
            ]
        );
    }
}
