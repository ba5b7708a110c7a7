//! What each key of the section changes in the manifests, and what the adapter answers around them.

mod common;

use common::{Objects, manifests, objects, params, render, variants};
use serde_json::{Value, json};
use ztc_adapter_cilium::Cilium;
use ztc_adapter_sdk::protocol::capability::{Cni, GatewayApi, KubernetesRange};
use ztc_adapter_sdk::protocol::{ErrorCode, sha256_hex};
use ztc_adapter_sdk::{Adapter, CallContext};

const CONFIG: &str = "ConfigMap kube-system/cilium-config";

/// Lists what a section changes against the defaults: `+ object`, `- object`, `~ object`.
fn changes(section: &Value) -> Vec<String> {
    let (before, after) = (
        objects(&manifests(&json!({}))),
        objects(&manifests(section)),
    );
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| format!("- {key}"));
    let new = after
        .keys()
        .filter(|key| !before.contains_key(*key))
        .map(|key| format!("+ {key}"));
    let changed = |key: &&String| {
        after
            .get(*key)
            .is_some_and(|object| *object != before[*key])
    };
    gone.chain(new)
        .chain(before.keys().filter(changed).map(|key| format!("~ {key}")))
        .collect()
}

/// Lists what a section changes in Cilium's settings: key, value before, value after.
fn settings(section: &Value) -> Vec<(String, Value, Value)> {
    let data = |section: &Value| {
        objects(&manifests(section))[CONFIG]["data"]
            .as_object()
            .expect("settings are an object")
            .clone()
    };
    let (before, after) = (data(&json!({})), data(section));
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let value =
        |map: &serde_json::Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    keys.into_iter()
        .map(|key| (value(&before, &key), value(&after, &key), key))
        .filter(|(before, after, _)| before != after)
        .map(|(before, after, key)| (key, before, after))
        .collect()
}

fn added(entries: &[(&str, &str)]) -> Vec<(String, Value, Value)> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::Null, json!(value)))
        .collect()
}

fn bgp() -> Value {
    json!({
        "bgp_enabled": true,
        "bgp_asn": 64512,
        "bgp_peers": [{"name": "tor: a", "address": "192.0.2.1", "asn": 64513}, {"address": "2001:db8::1", "asn": 64514}],
        "bgp_node_selector": {"example.com/edge": "yes"},
        "bgp_advertise": ["LoadBalancerIP", "PodCIDR"],
    })
}

#[test]
fn the_same_section_gives_the_same_bytes() {
    let first = serde_json::to_string(&render(&bgp()).unwrap()).unwrap();
    let second = serde_json::to_string(&render(&bgp()).unwrap()).unwrap();
    assert_eq!(first, second);
}

/// Artifacts are compared across machines and releases of this adapter, so a change of their bytes is always on purpose. Whoever makes one
/// lets `tests/reference.rs` compare the objects first, then writes the new digest down here.
#[test]
fn the_bytes_of_a_release_change_only_on_purpose() {
    assert_eq!(
        sha256_hex(manifests(&json!({})).as_bytes()),
        "bf13d3e0644d114eb92326925e2967b7dbdae0a42589d4fe2ea808203e729412"
    );
}

#[test]
fn twenty_five_objects_install_cilium() {
    let rendered: Objects = objects(&manifests(&json!({})));
    let mut kinds = std::collections::BTreeMap::new();
    for key in rendered.keys() {
        *kinds.entry(key.split(' ').next().unwrap()).or_insert(0) += 1;
    }
    let expected = [
        ("ClusterRole", 2),
        ("ClusterRoleBinding", 2),
        ("ConfigMap", 2),
        ("DaemonSet", 2),
        ("Deployment", 1),
        ("GatewayClass", 1),
        ("Namespace", 1),
        ("Role", 5),
        ("RoleBinding", 5),
        ("Service", 1),
        ("ServiceAccount", 3),
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn no_line_is_blank_or_ends_in_spaces_outside_the_hook() {
    let text = manifests(&bgp());
    let odd: Vec<_> = text
        .lines()
        .filter(|line| line.ends_with(' ') && !line.trim().is_empty())
        .collect();
    assert_eq!(odd, Vec::<&str>::new());
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
    assert!(!text.contains("{{"), "a template's markup is left");
}

#[test]
fn kube_proxy_stays_where_it_is_wanted() {
    let section = json!({"kube_proxy_replacement": false, "gateway_api": false});
    let changed: Vec<_> = settings(&section)
        .into_iter()
        .filter(|(key, ..)| !key.contains("gateway-api"))
        .collect();
    let text = |value: &str| json!(value);
    assert_eq!(
        changed,
        [
            ("enable-envoy-config".into(), text("true"), Value::Null),
            ("enable-node-port".into(), Value::Null, text("false")),
            (
                "envoy-config-retry-interval".into(),
                text("15s"),
                Value::Null
            ),
            ("kube-proxy-replacement".into(), text("true"), text("false")),
            (
                "kube-proxy-replacement-healthz-bind-address".into(),
                text(""),
                Value::Null
            ),
        ]
    );
    let whole = manifests(&section);
    assert!(
        !whole.contains("KUBERNETES_SERVICE_HOST") && !whole.contains("7445"),
        "the API is asked for by its service"
    );
    let with_gateways = settings(&json!({"kube_proxy_replacement": false}));
    assert!(with_gateways.contains(&("enable-node-port".into(), Value::Null, text("true"))));
}

#[test]
fn without_the_gateway_api_nothing_of_it_is_left() {
    assert_eq!(
        changes(&json!({"gateway_api": false})),
        [
            "- GatewayClass /cilium",
            "- Role cilium-secrets/cilium-gateway-secrets",
            "- Role cilium-secrets/cilium-operator-gateway-secrets",
            "- RoleBinding cilium-secrets/cilium-gateway-secrets",
            "- RoleBinding cilium-secrets/cilium-operator-gateway-secrets",
            "~ ClusterRole /cilium-operator",
            "~ ConfigMap kube-system/cilium-config",
        ]
    );
    let text = manifests(&json!({"gateway_api": false}));
    assert!(!text.contains("gateway-api") && !text.contains("gateway.networking.k8s.io"));
}

#[test]
fn bgp_adds_its_settings_and_objects() {
    assert_eq!(
        settings(&bgp()),
        added(&[
            ("bgp-router-id-allocation-ip-pool", ""),
            ("bgp-router-id-allocation-mode", "default"),
            ("bgp-secrets-namespace", "kube-system"),
            ("enable-bgp-control-plane", "true"),
            ("enable-bgp-control-plane-status-report", "true"),
            ("enable-bgp-legacy-origin-attribute", "false"),
        ])
    );
    assert_eq!(
        changes(&bgp()),
        [
            "+ CiliumBGPAdvertisement /ztc",
            "+ CiliumBGPClusterConfig /ztc",
            "+ CiliumBGPPeerConfig /ztc",
            "+ Role kube-system/cilium-bgp-control-plane-secrets",
            "+ RoleBinding kube-system/cilium-bgp-control-plane-secrets",
            "~ ConfigMap kube-system/cilium-config",
        ]
    );
}

#[test]
fn bgp_objects_say_what_the_section_says() {
    let rendered = objects(&manifests(&bgp()));
    assert_eq!(
        rendered["CiliumBGPClusterConfig /ztc"]["spec"],
        json!({
            "nodeSelector": {"matchLabels": {"example.com/edge": "yes"}},
            "bgpInstances": [{
                "name": "instance-64512",
                "localASN": 64512,
                "peers": [
                    {"name": "tor: a", "peerAddress": "192.0.2.1", "peerASN": 64513, "peerConfigRef": {"name": "ztc"}},
                    {
                        "name": "peer-2001:db8::1",
                        "peerAddress": "2001:db8::1",
                        "peerASN": 64514,
                        "peerConfigRef": {"name": "ztc"},
                    },
                ],
            }],
        })
    );
    let families = &rendered["CiliumBGPPeerConfig /ztc"]["spec"]["families"];
    let label = &rendered["CiliumBGPAdvertisement /ztc"]["metadata"]["labels"];
    assert_eq!(
        families,
        &json!([{"afi": "ipv4", "safi": "unicast", "advertisements": {"matchLabels": label}}])
    );
    assert_eq!(
        rendered["CiliumBGPAdvertisement /ztc"]["spec"]["advertisements"],
        json!([
            {
                "advertisementType": "Service",
                "service": {"addresses": ["LoadBalancerIP"]},
                "selector": {"matchExpressions": [{"key": "announced-by", "operator": "NotIn", "values": ["nobody"]}]},
            },
            {"advertisementType": "PodCIDR"},
        ])
    );
}

#[test]
fn every_key_of_bgp_reaches_its_resource() {
    let section = json!({
        "bgp_enabled": true,
        "bgp_asn": 64512,
        "bgp_local_port": 1790,
        "bgp_peers": [
            {"default_gateway": "ipv4", "asn": 64513},
            {"address": "192.0.2.1", "asn": 64514, "port": 1179, "multihop": 4, "auth_secret": "tor-1"},
        ],
        "bgp_service_selector": {"announce": "yes"},
        "bgp_families": ["ipv4"],
        "bgp_timers": {"connect_retry": 5, "hold": 9, "keep_alive": 3},
        "bgp_multihop": 2,
        "bgp_graceful_restart_seconds": 0,
        "bgp_auth_secret": "routers",
        "load_balancer_cidrs": ["198.51.100.0/28"],
    });
    let rendered = objects(&manifests(&section));
    assert_eq!(
        rendered["CiliumBGPClusterConfig /ztc"]["spec"],
        json!({"bgpInstances": [{
            "name": "instance-64512",
            "localASN": 64512,
            "localPort": 1790,
            "peers": [
                {
                    "name": "gateway-ipv4",
                    "peerASN": 64513,
                    "autoDiscovery": {"mode": "DefaultGateway", "defaultGateway": {"addressFamily": "ipv4"}},
                    "peerConfigRef": {"name": "ztc"},
                },
                {"name": "peer-192.0.2.1", "peerASN": 64514, "peerAddress": "192.0.2.1", "peerConfigRef": {"name": "ztc-2"}},
            ],
        }]})
    );
    let label = json!({"announced-by": "ztc"});
    let spec = |hops: u8, secret: &str| {
        json!({
            "families": [{"afi": "ipv4", "safi": "unicast", "advertisements": {"matchLabels": label}}],
            "gracefulRestart": {"enabled": false},
            "timers": {"connectRetryTimeSeconds": 5, "holdTimeSeconds": 9, "keepAliveTimeSeconds": 3},
            "ebgpMultihop": hops,
            "authSecretRef": secret,
        })
    };
    let mut second = spec(4, "tor-1");
    second["transport"] = json!({"peerPort": 1179});
    assert_eq!(
        rendered["CiliumBGPPeerConfig /ztc"]["spec"],
        spec(2, "routers")
    );
    assert_eq!(rendered["CiliumBGPPeerConfig /ztc-2"]["spec"], second);
    assert_eq!(
        rendered["CiliumBGPAdvertisement /ztc"]["metadata"]["labels"],
        label
    );
    assert_eq!(
        rendered["CiliumBGPAdvertisement /ztc"]["spec"],
        json!({"advertisements": [{
            "advertisementType": "Service",
            "service": {"addresses": ["LoadBalancerIP"]},
            "selector": {"matchLabels": {"announce": "yes"}},
        }]})
    );
    assert_eq!(
        rendered["CiliumLoadBalancerIPPool /default"]["spec"],
        json!({"blocks": [{"cidr": "198.51.100.0/28"}]})
    );
}

#[test]
fn a_single_control_plane_has_a_single_operator() {
    let replicas = |control_planes: usize| {
        let mut params = params(&json!({}));
        params.platform.roles = [
            ("controlplane".to_owned(), control_planes),
            ("worker".to_owned(), 2),
        ]
        .into();
        let result = Cilium.render(params, &CallContext::detached()).unwrap();
        let deployment =
            &objects(&result.artifacts[0].content)["Deployment kube-system/cilium-operator"];
        (
            deployment["spec"]["replicas"].clone(),
            result.data["operator_replicas"].clone(),
        )
    };
    assert_eq!(replicas(1), (json!(1), json!(1)));
    assert_eq!(replicas(3), (json!(2), json!(2)));
}

#[test]
fn no_rendering_has_a_job_or_a_secret() {
    for section in variants() {
        let kinds: Vec<_> = objects(&manifests(&section)).into_keys().collect();
        let odd = kinds
            .iter()
            .find(|key| key.contains("Job ") || key.starts_with("Secret "));
        assert_eq!(odd, None);
        assert_eq!(manifests(&section), manifests(&section));
    }
}

#[test]
fn small_keys_change_what_they_say() {
    assert_eq!(
        settings(&json!({"bpf_masquerade": true})),
        added(&[("enable-bpf-masquerade", "true")])
    );
    assert_eq!(settings(&json!({"mtu": 1450})), added(&[("mtu", "1450")]));
    assert_eq!(
        settings(&json!({"ipv6": true})),
        [("enable-ipv6".to_owned(), json!("false"), json!("true"))]
    );
    let ipv6 = [
        "~ ConfigMap kube-system/cilium-config",
        "~ ConfigMap kube-system/cilium-envoy-config",
    ];
    assert_eq!(changes(&json!({"ipv6": true})), ipv6);
    let single = json!({"operator_replicas": 1});
    assert_eq!(
        changes(&single),
        ["~ Deployment kube-system/cilium-operator"]
    );
    let operator = &objects(&manifests(&single))["Deployment kube-system/cilium-operator"]["spec"];
    assert_eq!(
        (
            &operator["replicas"],
            &operator["strategy"]["rollingUpdate"]["maxUnavailable"]
        ),
        (&json!(1), &json!("100%"))
    );
}

#[test]
fn capabilities_and_output_go_with_the_manifests() {
    let result = render(&json!({"bpf_masquerade": true})).unwrap();
    let cni: Cni = serde_json::from_value(result.capabilities["cni"].clone()).unwrap();
    let expected = Cni {
        provider: "cilium".into(),
        manifests: result.artifacts[0].content.clone(),
        replaces_kube_proxy: true,
        bpf_masquerade: true,
        kubernetes: Some(KubernetesRange {
            minimum: "v1.30".into(),
            maximum: "v1.33".into(),
        }),
        address_families: vec!["ipv4".into()],
    };
    assert_eq!(cni, expected);
    let both = render(&json!({"ipv6": true})).unwrap();
    assert_eq!(
        both.capabilities["cni"]["address_families"],
        json!(["ipv4", "ipv6"])
    );
    assert_eq!(result.artifacts[0].path, "manifests.yaml");
    assert_eq!(
        result.env_vars.into_iter().collect::<Vec<_>>(),
        [("CILIUM_VERSION".to_owned(), "v1.18.5".to_owned())]
    );
    assert_eq!(
        result.data["kubernetes"],
        json!({"minimum": "v1.30", "maximum": "v1.33"})
    );

    let gateway = |section: &Value| -> GatewayApi {
        serde_json::from_value(render(section).unwrap().capabilities["gateway-api"].clone())
            .unwrap()
    };
    let on = gateway(&json!({}));
    assert_eq!(
        (on.version.as_str(), on.crd_urls.len(), on.crds.as_str()),
        ("v1.3.0", 5, "")
    );
    assert_eq!(
        gateway(&json!({"gateway_api": false})),
        GatewayApi::default()
    );
}

#[test]
fn an_invalid_section_is_not_rendered() {
    let section = json!({"bgp_enabled": true});
    for error in [
        render(&section).unwrap_err(),
        Cilium
            .scripts(params(&section), &CallContext::detached())
            .unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::InvalidInputs);
        let pointers: Vec<_> = error
            .data
            .diagnostics
            .iter()
            .map(|found| found.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/bgp_asn", "/bgp_peers"]);
    }
}

#[test]
fn every_stage_has_its_script() {
    let section = json!({});
    let scripts = Cilium
        .scripts(params(&section), &CallContext::detached())
        .unwrap()
        .scripts;
    let named: Vec<_> = scripts
        .iter()
        .map(|script| format!("cilium://{}", script.name))
        .collect();
    let stages: Vec<_> = render(&section)
        .unwrap()
        .stages
        .into_iter()
        .map(|stage| stage.script)
        .collect();
    assert_eq!(stages, named);
}

#[test]
fn the_manifest_promises_what_render_gives() {
    let manifest = Cilium.manifest();
    let promised: Vec<_> = manifest
        .provides
        .iter()
        .map(|given| given.capability.clone())
        .collect();
    assert_eq!(
        promised,
        render(&json!({"gateway_api": false}))
            .unwrap()
            .capabilities
            .into_keys()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        (
            manifest.default_version.as_str(),
            manifest.output_dir.as_str()
        ),
        ("v1.18.5", "network/cilium")
    );
    assert!(
        manifest.requires.is_empty(),
        "the adapter that provides the cluster requires this one"
    );
}
