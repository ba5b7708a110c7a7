//! Small data for the standard capabilities, so that an adapter that requires some can render alone. Pure.

use serde_json::{Value, json};
use ztc_protocol::capability::{CLOUD_INFRASTRUCTURE, CNI, GATEWAY_API, KUBERNETES_API};

/// Returns the sample of a standard capability.
pub(super) fn capability(name: &str) -> Option<Value> {
    Some(match name {
        CLOUD_INFRASTRUCTURE => json!({
            "provider": "sample",
            "servers": {
                "203.0.113.10": machine("1", "cp01"),
                "203.0.113.11": machine("2", "worker01"),
            },
            "rescue_mode_enabled": true,
            "ssh": { "user": "root", "identity_file": "sample/{ip}/id_ed25519", "config_file": "" },
        }),
        CNI => json!({
            "provider": "sample",
            "manifests": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: sample-network\n",
            "replaces_kube_proxy": true,
            "bpf_masquerade": false,
        }),
        GATEWAY_API => json!({ "version": "v1.3.0", "crd_urls": [], "crds": "" }),
        KUBERNETES_API => json!({
            "cluster_endpoint": "https://203.0.113.10:6443",
            "kubeconfig_path": "secrets/kubeconfig",
            "version": "v1.33.4",
        }),
        _ => return None,
    })
}

fn machine(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "architecture": "amd64", "platform": "metal", "disk": "/dev/sda", "provider_id": format!("sample://{id}"),
    })
}

#[cfg(test)]
mod tests {
    use ztc_protocol::capability::{STANDARD, standard_schema};

    use super::*;

    #[test]
    fn samples_keep_their_contracts() {
        for (name, _) in STANDARD {
            let schema = jsonschema::validator_for(&standard_schema(name).unwrap()).unwrap();
            let sample = capability(name).unwrap();
            assert!(schema.is_valid(&sample), "{name}");
        }
        assert_eq!(capability("example.com/other"), None);
    }
}
