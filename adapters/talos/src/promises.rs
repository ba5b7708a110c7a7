//! What a configuration must keep whatever patches say, because other adapters and the stages rely on it. Looks at a configuration with its
//! patches; knows nothing about Talos' own rules.

use serde_json::Value;
use ztc_adapter_sdk::protocol::message::Severity;

use crate::cluster::{Cluster, Machine};
use crate::config::Role;
use crate::machine::Finding;
use crate::machine_config::embedded;
use crate::yaml;

/// The port at which the pod network's agents find the API server on every node.
const KUBE_PRISM_PORT: u64 = 7445;

/// Names that tell a cloud controller manager.
const CONTROLLERS: [&str; 2] = ["cloud-controller", "ccm"];

/// Says whether one of these texts names a cloud controller manager.
pub(crate) fn names_controller<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    texts
        .into_iter()
        .any(|text| CONTROLLERS.iter().any(|name| text.contains(name)))
}

/// Finds every promise that a configuration does not keep.
pub(crate) fn check(cluster: &Cluster, machine: &Machine, made: &str) -> Vec<Finding> {
    let documents = yaml::parse_all(made).unwrap_or_default();
    let Some(main) = documents.first() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    hostname(machine, main, &mut found);
    pod_network(cluster, main, &mut found);
    families(cluster, main, &mut found);
    if machine.role == Role::ControlPlane {
        manifests(cluster, main, &mut found);
    }
    cloud_provider(cluster, main, &mut found);
    found
}

fn hostname(machine: &Machine, main: &Value, found: &mut Vec<Finding>) {
    let name = main.pointer("/machine/network/hostname");
    if name.and_then(Value::as_str) != Some(&machine.name) {
        found.push(broken(
            ".machine.network.hostname",
            format!(
                "the stages wait for a node with the name `{}`",
                machine.name
            ),
            "change the node's `name` instead",
        ));
    }
}

fn pod_network(cluster: &Cluster, main: &Value, found: &mut Vec<Finding>) {
    let cni = &cluster.cni;
    let provider = &cni.provider;
    let name = main
        .pointer("/cluster/network/cni/name")
        .and_then(Value::as_str);
    if !provider.is_empty() && name != Some("none") {
        found.push(broken(
            ".cluster.network.cni.name",
            format!(
                "Talos would install `{}` beside `{provider}`, and a cluster has one pod network",
                name.unwrap_or("flannel")
            ),
            "take it out of the patch",
        ));
    }
    let feature = |pointer: &str| main.pointer(&format!("/machine/features/{pointer}"));
    if cni.bpf_masquerade && feature("hostDNS/forwardKubeDNSToHost") == Some(&true.into()) {
        found.push(broken(
            ".machine.features.hostDNS.forwardKubeDNSToHost",
            format!("`{provider}` masquerades in BPF, so that DNS which is forwarded to the host gets no answer"),
            "take it out of the patch",
        ));
    }
    if !cni.replaces_kube_proxy {
        return;
    }
    if feature("kubePrism/enabled") != Some(&true.into()) {
        found.push(broken(
            ".machine.features.kubePrism.enabled",
            format!("`{provider}` reaches the API server through KubePrism, at `localhost:{KUBE_PRISM_PORT}`"),
            "take it out of the patch",
        ));
    } else if feature("kubePrism/port").is_some_and(|port| *port != KUBE_PRISM_PORT) {
        found.push(broken(
            ".machine.features.kubePrism.port",
            format!("`{provider}` reaches the API server through KubePrism, at `localhost:{KUBE_PRISM_PORT}`"),
            "take it out of the patch",
        ));
    }
    if main.pointer("/cluster/proxy/disabled") != Some(&true.into()) {
        found.push(broken(
            ".cluster.proxy.disabled",
            format!("kube-proxy would run beside `{provider}`, which does the same work"),
            "take it out of the patch, or let the pod network leave kube-proxy its work",
        ));
    }
}

/// Pods get addresses of the families that the pod network gives them, whatever patches say of the networks.
fn families(cluster: &Cluster, main: &Value, found: &mut Vec<Finding>) {
    let (given, provider) = (&cluster.cni.address_families, &cluster.cni.provider);
    let of = |key: &str| -> Option<Vec<&str>> {
        let list = main
            .pointer(&format!("/cluster/network/{key}"))?
            .as_array()?;
        let texts = list.iter().filter_map(Value::as_str);
        let mut families: Vec<_> = texts
            .map(|text| if text.contains(':') { "ipv6" } else { "ipv4" })
            .collect();
        families.sort_unstable();
        Some(families)
    };
    let (Some(pods), Some(services)) = (of("podSubnets"), of("serviceSubnets")) else {
        return;
    };
    let mut wanted: Vec<_> = given.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    for (key, families) in [("podSubnets", &pods), ("serviceSubnets", &services)] {
        // A family too many is not used, which is a warning of the section; without one that pods need, nothing starts.
        if !wanted.iter().all(|family| families.contains(family)) {
            found.push(broken(
                &format!(".cluster.network.{key}"),
                format!(
                    "they are of {}, and `{provider}` gives pods addresses of {}",
                    words(families),
                    words(&wanted)
                ),
                "give one network of each family that the pod network has, in `pod_subnets` and in `service_subnets`, instead of a patch",
            ));
        }
    }
}

fn words(families: &[&str]) -> String {
    let names: Vec<_> = families
        .iter()
        .map(|family| if *family == "ipv4" { "IPv4" } else { "IPv6" })
        .collect();
    match names.as_slice() {
        [] => "no family".to_owned(),
        names => names.join(" and "),
    }
}

/// What is embedded is what the waits of other adapters' stages are for.
fn manifests(cluster: &Cluster, main: &Value, found: &mut Vec<Finding>) {
    let made = main
        .pointer("/cluster/inlineManifests")
        .and_then(Value::as_array);
    for (name, contents) in embedded(cluster) {
        let is_there = made.into_iter().flatten().any(|manifest| {
            manifest["name"] == name && manifest["contents"].as_str() == Some(contents)
        });
        if !is_there {
            found.push(broken(
                ".cluster.inlineManifests",
                format!("the manifests `{name}` are gone or changed, and the cluster needs them as they were rendered"),
                "take the deletion or change out of the patch; what the manifests hold is up to the adapter that renders them",
            ));
        }
    }
}

fn cloud_provider(cluster: &Cluster, main: &Value, found: &mut Vec<Finding>) {
    let external = &main["cluster"]["externalCloudProvider"];
    let brings = external["manifests"]
        .as_array()
        .is_some_and(|manifests| !manifests.is_empty());
    if external["enabled"] == true && !brings && !cluster.has_cloud_controller {
        found.push(broken(
            ".cluster.externalCloudProvider.enabled",
            "every node would wait for a cloud controller manager, and nothing installs one".into(),
            "name its manifests in `cluster.externalCloudProvider.manifests` or `extra_manifests`, add an adapter for it, or take this out of the patch",
        ));
    }
}

fn broken(path: &str, message: String, help: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        document: 1,
        path: path.into(),
        place: Default::default(),
        message,
        help: help.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ztc_adapter_sdk::{Adapter, CallContext};

    use crate::TalosAdapter;
    use crate::render::tests::{capabilities, cilium, params};

    #[track_caller]
    fn check(bpf_masquerade: bool, changes: Value, expected: &[&str]) {
        let mut cni = cilium();
        cni["bpf_masquerade"] = bpf_masquerade.into();
        let params = params(changes, capabilities(cni));
        let found: Vec<String> = match TalosAdapter.render(params, &CallContext::detached()) {
            Ok(_) => Vec::new(),
            Err(error) => error
                .data
                .diagnostics
                .iter()
                .map(|one| format!("{}: {}", one.pointer, one.message))
                .collect(),
        };
        assert_eq!(found, expected);
    }

    fn patch(target: &str, patch: Value) -> Value {
        json!({"patches": [{"target": target, "patch": patch}]})
    }

    #[test]
    fn networks_by_patch_have_the_families_of_the_pod_network() {
        let check = |families: &[&str], network: Value| -> Vec<String> {
            let mut cni = cilium();
            cni["address_families"] = json!(families);
            let changes = patch("all", json!({"cluster": {"network": network}}));
            match TalosAdapter.render(params(changes, capabilities(cni)), &CallContext::detached())
            {
                Ok(_) => Vec::new(),
                Err(error) => error
                    .data
                    .diagnostics
                    .iter()
                    .filter(|one| one.message.contains("`cp01`"))
                    .map(|one| one.message.clone())
                    .collect(),
            }
        };
        let dual = json!({"podSubnets": ["10.0.0.0/16", "fd00:10::/56"], "serviceSubnets": ["10.96.0.0/12", "fd00:20::/112"]});
        let six = json!({"podSubnets": ["fd00:10::/56"], "serviceSubnets": ["fd00:20::/112"]});
        assert_eq!(check(&["ipv4"], dual.clone()), Vec::<String>::new());
        assert_eq!(check(&["ipv4", "ipv6"], dual.clone()), Vec::<String>::new());
        assert_eq!(
            check(&["ipv4"], json!({"podSubnets": ["10.0.0.0/16"]})),
            Vec::<String>::new()
        );
        assert_eq!(
            check(&["ipv4"], six),
            [
                "on `cp01`, .cluster.network.podSubnets: they are of IPv6, and `cilium` gives pods addresses of IPv4",
                "on `cp01`, .cluster.network.serviceSubnets: they are of IPv6, and `cilium` gives pods addresses of IPv4",
            ]
        );
        assert_eq!(check(&[], dual), Vec::<String>::new());
    }

    #[test]
    fn what_patches_must_not_undo() {
        let features =
            |features: Value| patch("worker01", json!({"machine": {"features": features}}));
        check(
            false,
            patch(
                "cp01",
                json!({"cluster": {"inlineManifests": [{"name": "cilium", "$patch": "delete"}]}}),
            ),
            &[
                "/patches/0/patch/cluster/inlineManifests: on `cp01`, .cluster.inlineManifests: the manifests `cilium` are gone or changed, and the cluster needs them as they were rendered",
            ],
        );
        let dns = features(json!({"hostDNS": {"forwardKubeDNSToHost": true}}));
        check(false, dns.clone(), &[]);
        check(
            true,
            dns,
            &[
                "/patches/0/patch/machine/features/hostDNS/forwardKubeDNSToHost: on `worker01`, .machine.features.hostDNS.forwardKubeDNSToHost: `cilium` masquerades in BPF, so that DNS which is forwarded to the host gets no answer",
            ],
        );
        check(
            false,
            patch(
                "controlplane",
                json!({"cluster": {"network": {"cni": {"name": "flannel"}}}}),
            ),
            &[
                "/patches/0/patch/cluster/network/cni/name: on `cp01`, .cluster.network.cni.name: Talos would install `flannel` beside `cilium`, and a cluster has one pod network",
            ],
        );
        check(
            false,
            features(json!({"kubePrism": {"enabled": false}})),
            &[
                "/patches/0/patch/machine/features/kubePrism/enabled: on `worker01`, .machine.features.kubePrism.enabled: `cilium` reaches the API server through KubePrism, at `localhost:7445`",
            ],
        );
        check(
            false,
            features(json!({"kubePrism": {"port": 7446}})),
            &[
                "/patches/0/patch/machine/features/kubePrism/port: on `worker01`, .machine.features.kubePrism.port: `cilium` reaches the API server through KubePrism, at `localhost:7445`",
            ],
        );
        check(
            false,
            patch(
                "controlplane",
                json!({"cluster": {"proxy": {"disabled": false}}}),
            ),
            &[
                "/patches/0/patch/cluster/proxy/disabled: on `cp01`, .cluster.proxy.disabled: kube-proxy would run beside `cilium`, which does the same work",
            ],
        );
        check(
            false,
            patch(
                "worker01",
                json!({"machine": {"network": {"hostname": "other"}}}),
            ),
            &[
                "/patches/0/patch/machine/network/hostname: on `worker01`, .machine.network.hostname: the stages wait for a node with the name `worker01`",
            ],
        );
    }

    #[test]
    fn nodes_wait_for_a_cloud_controller_only_where_one_comes() {
        let enabled = || json!({"cluster": {"externalCloudProvider": {"enabled": true}}});
        check(
            false,
            patch("controlplane", enabled()),
            &[
                "/patches/0/patch/cluster/externalCloudProvider/enabled: on `cp01`, .cluster.externalCloudProvider.enabled: every node would wait for a cloud controller manager, and nothing installs one",
            ],
        );
        let mut own = enabled();
        own["cluster"]["externalCloudProvider"]["manifests"] =
            json!(["https://example.com/a.yaml"]);
        check(false, patch("controlplane", own), &[]);
        let mut listed = patch("all", enabled());
        listed["extra_manifests"] =
            json!(["https://example.com/hcloud-cloud-controller-manager.yaml"]);
        check(false, listed, &[]);
        let mut params = params(patch("all", enabled()), capabilities(cilium()));
        params.platform.adapters = [("ccm".to_owned(), "hetzner-ccm".to_owned())].into();
        TalosAdapter
            .render(params, &CallContext::detached())
            .unwrap();
    }

    #[test]
    fn control_planes_have_the_same_manifests() {
        let nodes = json!([
            {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
            {"name": "cp02", "ip": "203.0.113.11", "role": "controlplane"},
            {"name": "cp03", "ip": "203.0.113.12", "role": "controlplane"},
        ]);
        let mut capabilities = capabilities(cilium());
        let servers = &mut capabilities.get_mut("cloud-infrastructure").unwrap()["servers"];
        servers["203.0.113.12"] = servers["203.0.113.11"].clone();
        let found = |target: &str| {
            let mut changes = patch(
                target,
                json!({"cluster": {"inlineManifests": [{"name": "own", "contents": "a: 1"}]}}),
            );
            changes["nodes"] = nodes.clone();
            let result = TalosAdapter.render(
                params(changes, capabilities.clone()),
                &CallContext::detached(),
            );
            result.err().map(|error| error.message)
        };
        assert_eq!(found("controlplane"), None);
        assert_eq!(
            found("cp02").as_deref(),
            Some(
                "/patches/0/patch/cluster/inlineManifests: inline manifests are the same on all control planes, and this patch is for one of them"
            )
        );
    }
}
