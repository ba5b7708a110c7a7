//! Renders through the adapter's own methods and reads the manifests back as Kubernetes objects.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use ztc_adapter_cilium::Cilium;
use ztc_adapter_sdk::protocol::message::{RenderParams, RenderResult};
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext};

/// Objects by `kind namespace/name`.
pub(crate) type Objects = BTreeMap<String, Value>;

/// Makes a section of `platform.yaml` from what differs from the defaults.
pub(crate) fn params(section: &Value) -> RenderParams {
    let mut config = Map::from_iter([("version".to_owned(), json!("v1.18.5"))]);
    config.extend(section.as_object().expect("a section is an object").clone());
    RenderParams {
        config,
        ..RenderParams::default()
    }
}

/// Renders a section.
pub(crate) fn render(section: &Value) -> Result<RenderResult, AdapterError> {
    Cilium.render(params(section), &CallContext::detached())
}

/// Returns the one file that is rendered.
pub(crate) fn manifests(section: &Value) -> String {
    let mut result = render(section).expect("the section is valid");
    assert_eq!(result.artifacts.len(), 1);
    result.artifacts.remove(0).content
}

/// Sections that reach every template.
pub(crate) fn variants() -> Vec<Value> {
    let bgp = json!({
        "bgp_enabled": true, "bgp_asn": 64512, "bgp_advertise": ["LoadBalancerIP", "ExternalIP", "ClusterIP", "PodCIDR"],
        "bgp_local_port": 1790, "bgp_node_selector": {"edge": "yes"}, "bgp_families": ["ipv4"],
        "bgp_timers": {"connect_retry": 5, "hold": 9, "keep_alive": 3}, "bgp_multihop": 4, "bgp_auth_secret": "routers",
        "bgp_service_selector": {"announce": "yes"}, "bgp_graceful_restart_seconds": 15,
        "bgp_peers": [
            {"address": "192.0.2.1", "asn": 64513}, {"default_gateway": "ipv6", "asn": 64513},
            {"address": "2001:db8::1", "asn": 64514, "port": 1179, "auth_secret": "other"},
        ],
        "load_balancer_cidrs": ["198.51.100.0/28"],
    });
    vec![
        json!({}),
        json!({"kube_proxy_replacement": false}),
        json!({"kube_proxy_replacement": false, "gateway_api": false}),
        json!({"bgp_enabled": true, "bgp_asn": 64512, "bgp_peers": [{"address": "192.0.2.1", "asn": 64513}]}),
        bgp,
        json!({"ipv6": true, "bpf_masquerade": true, "mtu": 1400, "operator_replicas": 1, "load_balancer_cidrs": ["198.51.100.0/28", "2001:db8::/64"]}),
    ]
}

/// Reads YAML documents as Kubernetes does: `0400` is octal, and a key without a value is no key.
pub(crate) fn objects(text: &str) -> Objects {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).expect("it is YAML");
    let mut objects = Objects::new();
    for mut document in documents.into_iter().filter(|document| !document.is_null()) {
        drop_nulls(&mut document);
        let metadata = &document["metadata"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = format!(
            "{} {}/{}",
            word(&document["kind"]),
            word(&metadata["namespace"]),
            word(&metadata["name"])
        );
        assert!(
            objects.insert(key.clone(), document).is_none(),
            "{key} is there twice"
        );
    }
    objects
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
