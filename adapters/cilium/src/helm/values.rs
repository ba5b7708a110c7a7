//! The chart's values: those that the section's keys make, and the operator's over them. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::Config;

/// Values that only keys of the section set, because other adapters and stages rely on them: their place and the key.
const OWNED: [(&str, &str); 7] = [
    ("/kubeProxyReplacement", "kube_proxy_replacement"),
    ("/gatewayAPI/enabled", "gateway_api"),
    ("/operator/replicas", "operator_replicas"),
    ("/ipv6/enabled", "ipv6"),
    ("/bpf/masquerade", "bpf_masquerade"),
    ("/MTU", "mtu"),
    ("/bgpControlPlane/enabled", "bgp_enabled"),
];

/// Returns the values among the operator's that keys of the section set.
pub(crate) fn owned(values: &Map<String, Value>) -> Vec<(&'static str, &'static str)> {
    let values = Value::Object(values.clone());
    let given = |(pointer, _): &(&str, &str)| values.pointer(pointer).is_some();
    OWNED.into_iter().filter(given).collect()
}

/// Returns the values for a cluster with these machines.
pub(crate) fn of(config: &Config, roles: &BTreeMap<String, usize>) -> Value {
    // Talos has the control groups mounted, and loads kernel modules itself: no SYS_MODULE.
    let mut values = json!({
        "ipam": {"mode": "kubernetes"},
        "kubeProxyReplacement": config.kube_proxy_replacement,
        "securityContext": {"capabilities": {
            "ciliumAgent": ["CHOWN", "KILL", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "SYS_ADMIN", "SYS_RESOURCE", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
            "cleanCiliumState": ["NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE"],
        }},
        "cgroup": {"autoMount": {"enabled": false}, "hostRoot": "/sys/fs/cgroup"},
        "operator": {"replicas": config.operators(roles)},
        // Its certificates would be new each time.
        "hubble": {"enabled": false},
    });
    let mut add = |more: Value| merge(&mut values, more);
    if config.kube_proxy_replacement {
        add(json!({"k8sServiceHost": "localhost", "k8sServicePort": 7445}));
    }
    if config.gateway_api.is_on() {
        // Whether the cluster has the definitions cannot be asked here, so that the class is wanted outright.
        add(json!({"gatewayAPI": {
            "enabled": true, "enableAlpn": true, "enableAppProtocol": true, "gatewayClass": {"create": "true"},
        }}));
    }
    if config.ipv6 {
        add(json!({"ipv6": {"enabled": true}}));
    }
    if config.bpf_masquerade {
        add(json!({"bpf": {"masquerade": true}}));
    }
    if let Some(mtu) = config.mtu {
        add(json!({"MTU": mtu}));
    }
    if config.bgp_enabled {
        add(json!({"bgpControlPlane": {"enabled": true}}));
    }
    add(Value::Object(config.helm_values.clone()));
    values
}

/// Merges as helm does: maps by key, anything else is replaced.
fn merge(values: &mut Value, more: Value) {
    match (values, more) {
        (Value::Object(values), Value::Object(more)) => {
            for (key, value) in more {
                merge(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (values, more) => *values = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(section: Value) -> Value {
        let mut whole = json!({"version": "v1.18.9", "source": "helm"});
        merge(&mut whole, section);
        of(&serde_json::from_value(whole).unwrap(), &BTreeMap::new())
    }

    #[test]
    fn keys_make_values() {
        let plain = values(json!({}));
        assert_eq!(plain["k8sServicePort"], 7445);
        assert_eq!(plain["gatewayAPI"]["gatewayClass"]["create"], "true");
        assert_eq!(plain["operator"]["replicas"], 2);
        assert_eq!(plain.pointer("/bpf"), None);
        let other = values(json!({
            "kube_proxy_replacement": false, "gateway_api": false, "ipv6": true, "mtu": 1400, "bgp_enabled": true,
            "helm_values": {"hubble": {"relay": {"enabled": false}}, "cgroup": null},
        }));
        let expected = json!({
            "ipam": {"mode": "kubernetes"},
            "kubeProxyReplacement": false,
            "securityContext": plain["securityContext"],
            "cgroup": null,
            "operator": {"replicas": 2},
            "hubble": {"enabled": false, "relay": {"enabled": false}},
            "ipv6": {"enabled": true},
            "MTU": 1400,
            "bgpControlPlane": {"enabled": true},
        });
        assert_eq!(other, expected);
    }

    #[test]
    fn what_others_rely_on_is_set_by_keys_only() {
        let values = json!({"gatewayAPI": {"enabled": false, "xffNumTrustedHops": 1}, "MTU": 1, "debug": {"enabled": true}});
        let owned = owned(values.as_object().unwrap());
        assert_eq!(
            owned,
            [("/gatewayAPI/enabled", "gateway_api"), ("/MTU", "mtu")]
        );
    }
}
