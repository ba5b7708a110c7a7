//! Machine configurations against those that Talos itself made of the same inputs, where these are at hand: `ZTC_REFERENCE_DIR`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::{Adapter, CallContext};

use super::tests::{VANILLA, artifact, capabilities, params};
use crate::{TalosAdapter, yaml};

/// Compares with what Talos v1.11.5 made of the same inputs, byte by byte. Needs `ZTC_REFERENCE_DIR`.
#[test]
fn configurations_equal_those_of_talos() {
    let Some(directory) =
        std::env::var_os("ZTC_REFERENCE_DIR").map(|path| PathBuf::from(path).join("talos"))
    else {
        let by_inputs = variants()
            .iter()
            .filter(|(_, inputs)| inputs.is_some())
            .count();
        let skipped = 2 + variants().len() + by_inputs;
        writeln!(
            std::io::stderr(),
            "skipped {skipped} comparisons with Talos: ZTC_REFERENCE_DIR is not set"
        )
        .unwrap();
        return;
    };
    let secrets = yaml::parse(&read(&directory.join("secrets.yaml"))).unwrap();
    let installer = "ghcr.io/siderolabs/installer:v1.11.5";
    let ours = format!("factory.talos.dev/hcloud-installer/{VANILLA}:v1.11.5");
    let base = json!({
        "kubernetes_version": "v1.34.1",
        "nodes": [
            {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane", "provider_id": ""},
            {"name": "worker01", "ip": "203.0.113.11", "role": "worker", "provider_id": ""},
        ],
    });
    for (file, node) in [("controlplane", "cp01"), ("worker", "worker01")] {
        let cni = json!({"provider": "", "manifests": "", "replaces_kube_proxy": false});
        let made = made(base.clone(), cni, node, &secrets);
        let theirs =
            read(&directory.join(format!("default-v1.11.5/{file}.yaml"))).replace(installer, &ours);
        assert_eq!(made, named(&theirs, node), "{file}");
    }
    for (variant, inputs) in variants() {
        let theirs = named(
            &read(&directory.join(format!("variants/{variant}/controlplane.yaml"))),
            "cp01",
        );
        let cni = json!({"provider": "none", "manifests": "", "replaces_kube_proxy": true, "bpf_masquerade": variant == "hostdns-off"});
        if let Some(inputs) = inputs {
            let mut changed = base.clone();
            changed.as_object_mut().unwrap().extend(inputs);
            assert_eq!(
                made(changed, cni.clone(), "cp01", &secrets),
                theirs,
                "{variant} by inputs"
            );
        }
        let patches: Vec<Value> = read(&directory.join(format!("variants/{variant}.patch.yaml")))
            .replace(VIP_TOKEN, "ztc-secret:store/vip-token")
            .split("\n---\n")
            .map(|patch| json!({"target": "controlplane", "patch": yaml::parse(patch).unwrap()}))
            .collect();
        let mut patched = base.clone();
        patched["patches"] = patches.into();
        let parse = |text: &str| {
            text.split("\n---\n")
                .map(|text| yaml::parse(text).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            parse(&made(patched, cni, "cp01", &secrets)),
            parse(&theirs),
            "{variant} by patch"
        );
    }
}

/// The variants of the reference, with the inputs that say the same where there are such inputs.
fn variants() -> Vec<(&'static str, Option<Map<String, Value>>)> {
    let inputs = |value: Value| value.as_object().cloned();
    let nodes = json!([{
        "name": "cp01",
        "ip": "203.0.113.10",
        "role": "controlplane",
        "provider_id": "hcloud://4711",
        "labels": {"rack": "rack0"},
        "taints": {"dedicated": "gpu:NoSchedule"},
    }, {"name": "worker01", "ip": "203.0.113.11", "role": "worker"}]);
    vec![
        (
            "disk-selector",
            inputs(json!({"disk_selector": {"size": ">= 100GB", "type": "ssd"}})),
        ),
        (
            "dualstack",
            inputs(json!({
                "pod_subnets": ["10.244.0.0/16", "fd00:10:244::/56"],
                "service_subnets": ["10.96.0.0/12", "fd00:10:96::/112"],
            })),
        ),
        ("extra-manifests", None),
        ("hcloud-vip", None),
        ("hostdns-off", inputs(json!({}))),
        ("multidoc-firewall", None),
        (
            "provider-id",
            inputs(json!({"nodes": nodes, "node_ip_subnets": ["10.0.0.0/8"]})),
        ),
        (
            "schedule-on-cp",
            inputs(json!({"allow_scheduling_on_control_planes": true})),
        ),
    ]
}

/// The shared address of Hetzner Cloud by its input; the other interface of the variant by a patch, which stands behind it.
#[test]
fn the_token_of_a_shared_address_is_an_input() {
    let vip = json!({"ip": "10.0.1.100", "interface": "eth1", "hcloud_token": {"from": "store", "name": "vip-token"}});
    let cni = json!({"provider": "none", "manifests": "", "replaces_kube_proxy": true});
    let patch = json!({"target": "controlplane", "patch": {"machine": {"network": {"interfaces": [{"interface": "eth0", "dhcp": true}]}}}});
    let changes = json!({"vip": vip, "patches": [patch]});
    let result = TalosAdapter
        .render(
            params(changes.clone(), capabilities(cni.clone())),
            &CallContext::detached(),
        )
        .unwrap();
    let text = artifact(&result, "nodes/cp01/config.yaml");
    assert!(
        text.contains("hcloud:\n                    apiToken: 'ztc-secret:store/vip-token'\n"),
        "{text}"
    );
    let worker = artifact(&result, "nodes/worker01/config.yaml");
    assert!(!worker.contains("store/"));
    let Some(directory) = std::env::var_os("ZTC_REFERENCE_DIR") else {
        return;
    };
    let directory = PathBuf::from(directory).join("talos");
    let interfaces = |text: &str| {
        let mut config = yaml::parse(text).unwrap();
        let list = config
            .pointer_mut("/machine/network/interfaces")
            .unwrap()
            .as_array_mut()
            .unwrap();
        list.sort_by_key(|interface| interface["interface"].to_string());
        list.clone()
    };
    let theirs = read(&directory.join("variants/hcloud-vip/controlplane.yaml"));
    let ours = text.replace("'ztc-secret:store/vip-token'", VIP_TOKEN);
    assert_eq!(interfaces(&ours), interfaces(&theirs));
}

/// What stands for a token in the reference; patches hold no tokens here.
const VIP_TOKEN: &str = "REPLACE-ME";

/// Renders a node and fills its secrets in.
fn made(changes: Value, cni: Value, node: &str, secrets: &Value) -> String {
    let result = TalosAdapter
        .render(params(changes, capabilities(cni)), &CallContext::detached())
        .unwrap();
    let text = artifact(&result, &format!("nodes/{node}/config.yaml"));
    let fill = |line: &str| match line.split_once("ztc-secret:talos") {
        Some((before, pointer)) => format!(
            "{before}{}\n",
            secrets.pointer(pointer).unwrap().as_str().unwrap()
        ),
        None => format!("{line}\n"),
    };
    let text = text.replace("'ztc-secret:store/vip-token'", VIP_TOKEN);
    text.lines().map(fill).collect()
}

/// The reference has no host names; ours always have.
fn named(text: &str, node: &str) -> String {
    text.replacen("    network: {}\n", "    network:\n", 1)
        .replacen(
            "    network:\n",
            &format!("    network:\n        hostname: {node}\n"),
            1,
        )
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
