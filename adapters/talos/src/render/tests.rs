//! Renders through the adapter's own methods, compared as a whole.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::stage::Stage;
use ztc_adapter_sdk::{Adapter, CallContext};

use crate::cluster::Cluster;
use crate::validate::tests::section;
use crate::{TalosAdapter, yaml};

/// What the adapters before this one say.
pub(crate) fn capabilities(cni: Value) -> BTreeMap<String, Value> {
    let server = |id: &str, architecture: &str| {
        json!({
            "id": id,
            "name": "server",
            "architecture": architecture,
            "platform": "hcloud",
            "disk": "/dev/sda",
            "provider_id": format!("hcloud://{id}"),
        })
    };
    let infrastructure = json!({
        "provider": "hetzner",
        "servers": {"203.0.113.10": server("4711", "amd64"), "203.0.113.11": server("4712", "arm64")},
        "rescue_mode_enabled": true,
        "ssh": {"user": "root", "identity_file": "rescue/{ip}/id_ed25519", "config_file": ""},
    });
    [
        ("cloud-infrastructure".to_owned(), infrastructure),
        ("cni".to_owned(), cni),
    ]
    .into()
}

pub(crate) fn cilium() -> Value {
    json!({
        "provider": "cilium",
        "manifests": "kind: Namespace\nmetadata:\n  name: cilium-secrets\n",
        "replaces_kube_proxy": true,
        "bpf_masquerade": false,
    })
}

pub(crate) fn params(changes: Value, capabilities: BTreeMap<String, Value>) -> RenderParams {
    RenderParams {
        config: section(changes),
        capabilities,
        ..RenderParams::default()
    }
}

fn rendered(changes: Value) -> RenderResult {
    TalosAdapter
        .render(
            params(changes, capabilities(cilium())),
            &CallContext::detached(),
        )
        .unwrap()
}

pub(super) fn artifact<'a>(result: &'a RenderResult, path: &str) -> &'a str {
    &result
        .artifacts
        .iter()
        .find(|artifact| artifact.path == path)
        .unwrap()
        .content
}

pub(crate) fn cluster() -> Cluster {
    let config = serde_json::from_value(Value::Object(section(json!({})))).unwrap();
    Cluster::resolve(config, &capabilities(cilium())).unwrap()
}

#[test]
fn artifacts_are_as_written_down() {
    let result = rendered(json!({}));
    let paths: Vec<&str> = result
        .artifacts
        .iter()
        .map(|artifact| artifact.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "nodes/cp01/config.yaml",
            "nodes/worker01/config.yaml",
            "talosconfig"
        ]
    );
    assert_eq!(
        artifact(&result, "nodes/cp01/config.yaml"),
        include_str!("expected/controlplane.yaml")
    );
    assert_eq!(
        artifact(&result, "nodes/worker01/config.yaml"),
        include_str!("expected/worker.yaml")
    );
    assert_eq!(
        artifact(&result, "talosconfig"),
        include_str!("expected/talosconfig")
    );
}

#[test]
fn everything_else_is_as_written_down() {
    let result = rendered(json!({}));
    assert_eq!(
        result.env_vars,
        [
            ("TALOS_VERSION".to_owned(), "v1.11.5".to_owned()),
            ("WORKER_NODES".to_owned(), "worker01".to_owned())
        ]
        .into()
    );
    assert_eq!(
        json!(result.capabilities),
        json!({"kubernetes-api": {
            "cluster_endpoint": "https://203.0.113.10:6443",
            "kubeconfig_path": "secrets/${ZTC_ENVIRONMENT}/kubeconfig",
            "version": "v1.33.4",
        }})
    );
    assert_eq!(
        result.data["nodes"][1]["installer_image"],
        format!("factory.talos.dev/hcloud-installer/{VANILLA}:v1.11.5")
    );
    assert_eq!(
        result.data["nodes"][1]["image_url"],
        format!("https://factory.talos.dev/image/{VANILLA}/v1.11.5/hcloud-arm64.raw.xz")
    );
}

pub(super) const VANILLA: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

#[test]
fn stages_are_joined_to_those_of_other_adapters() {
    let line = |stage: &Stage| {
        let items = stage
            .for_each
            .iter()
            .flat_map(|each| &each.items)
            .map(|item| format!("{}={}", item.name, item.key));
        format!(
            "{} {} cache={} after={} reaches={} skip={} [{}]",
            stage.name,
            stage.script,
            stage.cache_key.as_deref().unwrap_or("-"),
            stage.barrier.as_deref().unwrap_or("-"),
            stage.reaches.join(","),
            stage.skip_if_empty.as_deref().unwrap_or("-"),
            items.collect::<Vec<_>>().join(" ")
        )
    };
    assert_eq!(
        rendered(json!({}))
            .stages
            .iter()
            .map(line)
            .collect::<Vec<_>>(),
        [
            "install_talos talos://install-talos.sh cache=install_talos after=rescue_ready reaches= skip=- [cp01=203.0.113.10 worker01=203.0.113.11]",
            "apply_control_plane talos://apply-config.sh cache=apply_control_plane after=- reaches=cluster_installed skip=- [cp01=203.0.113.10]",
            "bootstrap_talos talos://bootstrap-talos.sh cache=bootstrap_talos after=cluster_installed reaches=cluster_accessible skip=- []",
            "add_worker_nodes talos://add-worker-nodes.sh cache=add_worker_nodes after=cluster_accessible reaches= skip=WORKER_NODES [worker01=203.0.113.11]",
            "validate_cluster talos://validate-cluster.sh cache=- after=cluster_accessible reaches= skip=- []",
        ]
    );
}

#[test]
fn items_carry_what_their_scripts_need() {
    let stages =
        rendered(json!({"install_disk": "/dev/nvme0n1", "factory_url": "http://127.0.0.1:8080/"}))
            .stages;
    let item = &stages[0].for_each.as_ref().unwrap().items[1];
    assert_eq!(
        json!(item.context),
        json!({
            "server_ip": "203.0.113.11",
            "role": "worker",
            "disk": "/dev/nvme0n1",
            "image_url": format!("http://127.0.0.1:8080/image/{VANILLA}/v1.11.5/hcloud-arm64.raw.xz"),
            "ssh_identity_file": "rescue/203.0.113.11/id_ed25519",
        })
    );
    let item = &stages[1].for_each.as_ref().unwrap().items[0];
    assert_eq!(
        item.files,
        [(
            "config.yaml".to_owned(),
            "os/talos/nodes/cp01/config.yaml".to_owned()
        )]
        .into()
    );
}

#[test]
fn a_cluster_without_rescue_mode_and_workers_waits_for_neither() {
    let mut capabilities = capabilities(cilium());
    capabilities.get_mut("cloud-infrastructure").unwrap()["rescue_mode_enabled"] = false.into();
    let nodes = json!({"nodes": [{"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"}]});
    let result = TalosAdapter
        .render(params(nodes, capabilities), &CallContext::detached())
        .unwrap();
    assert_eq!(result.stages[0].barrier, None);
    assert_eq!(result.env_vars["WORKER_NODES"], "");
}

#[test]
fn manifests_are_embedded_in_control_planes_only() {
    let mut capabilities = capabilities(cilium());
    capabilities.insert(
        "gateway-api".into(),
        json!({"version": "v1.3.0", "crd_urls": ["https://example.com/crds.yaml"], "crds": "a: 1"}),
    );
    let embedded = TalosAdapter
        .render(
            params(json!({}), capabilities.clone()),
            &CallContext::detached(),
        )
        .unwrap();
    let config = yaml::parse(artifact(&embedded, "nodes/cp01/config.yaml")).unwrap();
    assert_eq!(
        config["cluster"]["inlineManifests"],
        json!([
            {"name": "gateway-api", "contents": "a: 1"},
            {"name": "cilium", "contents": "kind: Namespace\nmetadata:\n  name: cilium-secrets\n"},
        ])
    );
    assert_eq!(config["cluster"].get("extraManifests"), None);
    let worker = yaml::parse(artifact(&embedded, "nodes/worker01/config.yaml")).unwrap();
    assert_eq!(worker["cluster"].get("inlineManifests"), None);

    capabilities.get_mut("gateway-api").unwrap()["crds"] = "".into();
    let remote = params(
        json!({"extra_manifests": ["https://example.com/a.yaml"]}),
        capabilities,
    );
    let remote = TalosAdapter
        .render(remote, &CallContext::detached())
        .unwrap();
    let config = yaml::parse(artifact(&remote, "nodes/cp01/config.yaml")).unwrap();
    assert_eq!(
        config["cluster"]["extraManifests"],
        json!([
            "https://example.com/crds.yaml",
            "https://example.com/a.yaml"
        ])
    );
}

#[test]
fn workers_are_tainted_when_they_register() {
    let taints = json!({"dedicated": "gpu:NoSchedule", "example.com/slow": "NoExecute"});
    let nodes = json!([
        {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane", "taints": taints},
        {"name": "worker01", "ip": "203.0.113.11", "role": "worker", "taints": taints},
    ]);
    let result = rendered(json!({ "nodes": nodes }));
    let machine = |name: &str| {
        let path = format!("nodes/{name}/config.yaml");
        yaml::parse(artifact(&result, &path)).unwrap()["machine"].clone()
    };
    let (control_plane, worker) = (machine("cp01"), machine("worker01"));
    assert_eq!(control_plane["nodeTaints"], taints);
    assert_eq!(control_plane["kubelet"].get("extraConfig"), None);
    assert_eq!(worker.get("nodeTaints"), None);
    assert_eq!(
        worker["kubelet"]["extraConfig"],
        json!({"registerWithTaints": [
            {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"},
            {"key": "example.com/slow", "effect": "NoExecute"},
        ]})
    );
}

#[test]
fn dns_stays_off_the_host_where_the_network_masquerades() {
    let mut cni = cilium();
    cni["bpf_masquerade"] = true.into();
    let result = TalosAdapter
        .render(
            params(json!({}), capabilities(cni)),
            &CallContext::detached(),
        )
        .unwrap();
    let config = yaml::parse(artifact(&result, "nodes/worker01/config.yaml")).unwrap();
    assert_eq!(
        config["machine"]["features"]["hostDNS"],
        json!({"enabled": true, "forwardKubeDNSToHost": false})
    );
}

/// A patch that changes nothing must not change a byte: the writer and the templates have one form.
#[test]
fn templates_are_in_the_form_of_the_writer() {
    let everything = json!({
        "cert_sans": ["api.example.com", "2001:db8::10"],
        "disk_selector": {"size": ">= 100GB", "type": "ssd"},
        "install_disk": "/dev/sda",
        "vip": {"ip": "203.0.113.99", "interface": "eth1"},
        "node_ip_subnets": ["203.0.113.0/24"],
        "etcd_advertised_subnets": ["203.0.113.0/24"],
        "extra_manifests": ["https://example.com/a.yaml"],
        "registry_mirrors": {"*": {"endpoints": ["https://mirror.example.com"], "skip_fallback": true}, "docker.io": {"endpoints": ["https://a", "https://b"], "override_path": true}},
        "allow_scheduling_on_control_planes": true,
        "nodes": [
            {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane", "labels": {"rack": "0", "on": "yes"}, "taints": {"dedicated": "gpu:NoSchedule"}},
            {"name": "worker01", "ip": "203.0.113.11", "role": "worker", "labels": {"example.com/rack": ""}, "taints": {"dedicated": "gpu:NoSchedule", "slow": "NoExecute"}},
        ],
    });
    let mut touched = everything.clone();
    touched["patches"] = json!([{"patch": {"machine": {}}}]);
    assert_eq!(
        rendered(everything.clone()).artifacts,
        rendered(touched).artifacts
    );
    assert_eq!(
        rendered(everything.clone()).artifacts,
        rendered(everything).artifacts
    );
}

#[test]
fn patches_reach_their_targets_in_order() {
    let result = rendered(json!({"patches": [
        {"patch": {"machine": {"sysctls": {"a": "1", "b": "1"}}}},
        {"target": "worker", "patch": {"machine": {"sysctls": {"b": "2"}}}},
        {"target": "cp01", "patch": {"cluster": {"apiServer": {"admissionControl": {"$patch": "delete"}}}}},
    ]}));
    let config = |path| yaml::parse(artifact(&result, path)).unwrap();
    let (control_plane, worker) = (
        config("nodes/cp01/config.yaml"),
        config("nodes/worker01/config.yaml"),
    );
    assert_eq!(
        control_plane["machine"]["sysctls"],
        json!({"a": "1", "b": "1"})
    );
    assert_eq!(worker["machine"]["sysctls"], json!({"a": "1", "b": "2"}));
    assert_eq!(
        control_plane["cluster"]["apiServer"].get("admissionControl"),
        None
    );
}

#[test]
fn a_section_with_errors_renders_nothing() {
    let error = TalosAdapter.render(
        params(json!({"version": "v1.9.0"}), capabilities(cilium())),
        &CallContext::detached(),
    );
    let error = error.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInputs);
    assert_eq!(error.data.diagnostics[0].pointer, "/version");
    let error = TalosAdapter
        .render(params(json!({}), BTreeMap::new()), &CallContext::detached())
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::CapabilityMissing);
}

#[test]
fn an_address_is_written_as_the_infrastructure_writes_it() {
    let mut capabilities = capabilities(cilium());
    let servers = &mut capabilities.get_mut("cloud-infrastructure").unwrap()["servers"];
    *servers = json!({"2001:db8::1": {"architecture": "arm64"}});
    let changes = json!({
        "cluster_endpoint": "https://[2001:DB8:0::1]:6443",
        "nodes": [{"name": "cp01", "ip": "2001:DB8:0::1", "role": "controlplane"}],
        "pod_subnets": ["fd00:10:244::/56"],
        "service_subnets": ["fd00:10:96::/112"],
    });
    let result = TalosAdapter
        .render(params(changes, capabilities), &CallContext::detached())
        .unwrap();
    assert_eq!(
        result.stages[0].for_each.as_ref().unwrap().items[0].key,
        "2001:db8::1"
    );
    assert_eq!(
        json!(result.data["nodes"]),
        json!([{
            "name": "cp01",
            "ip": "2001:db8::1",
            "role": "controlplane",
            "disk": "/dev/sda",
            "image_url": format!("https://factory.talos.dev/image/{VANILLA}/v1.11.5/metal-arm64.raw.xz"),
            "installer_image": format!("factory.talos.dev/metal-installer/{VANILLA}:v1.11.5"),
        }])
    );
    assert!(artifact(&result, "talosconfig").contains("            - 2001:db8::1\n"));
}

/// What patches break together is found in the whole, and the patch that broke it is named.
#[test]
fn a_patch_that_breaks_a_configuration_is_named() {
    let patches = json!([
        {"patch": {"machine": {"sysctls": {"a": "1"}}}},
        {"target": "controlplane", "patch": {"machine": {"install": {"disk": {"$patch": "delete"}}}}},
        {"target": "cp01", "patch": "machine: {nodeLabels: {a: b}}\n---\napiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0\ntimeout: 5s\n"},
        {"target": "cp01", "patch": {"cluster": {"inlineManifests": [{"name": "cilium", "contents": "a: 1"}]}}},
    ]);
    let mut metal = capabilities(cilium());
    metal.get_mut("cloud-infrastructure").unwrap()["servers"]["203.0.113.10"]["platform"] =
        "metal".into();
    let error = TalosAdapter
        .render(
            params(json!({ "patches": patches }), metal),
            &CallContext::detached(),
        )
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInputs);
    let found: Vec<String> = error
        .data
        .diagnostics
        .iter()
        .map(|one| format!("{}: {}", one.pointer, one.message))
        .collect();
    assert_eq!(
        found,
        [
            "/patches/1/patch/machine/install/disk: on `cp01`, .machine.install.disk: neither a disk nor a disk selector (`.machine.install.diskSelector`) says where to install",
            "/patches/3/patch/cluster/inlineManifests/0/name: on `cp01`, .cluster.inlineManifests[1].name: two inline manifests have the name `cilium`",
            "/patches/2/patch: line 6, column 1 of the text: on `cp01`, .timeout: `5s` is too short for a watchdog",
        ]
    );
}
