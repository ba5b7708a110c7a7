//! The adapter's section of `platform.yaml`: its keys, their defaults and its JSON Schema. What the schema cannot say is in `validate`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::versions;

/// The section.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The Talos version, such as `v1.11.5`.
    #[serde(default = "default_version")]
    #[schemars(regex(pattern = r"^v\d+\.\d+\.\d+$"))]
    pub(crate) version: String,
    /// The Kubernetes version, such as `v1.33.4`.
    #[serde(default = "default_kubernetes")]
    #[schemars(regex(pattern = r"^v?\d+\.\d+\.\d+$"))]
    pub(crate) kubernetes_version: String,
    /// The cluster's name: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), length(max = 63))]
    pub(crate) cluster_name: String,
    /// Where the Kubernetes API answers: `https://host:port`, with an IPv4 address, an IPv6 address in brackets or a DNS name.
    pub(crate) cluster_endpoint: String,
    /// The machines.
    #[schemars(length(min = 1))]
    pub(crate) nodes: Vec<Node>,
    /// Schedules ordinary pods on control planes too.
    #[serde(default)]
    pub(crate) allow_scheduling_on_control_planes: bool,
    /// The disk that Talos is written to, unless a node names its own. Default: the disk that the provider of the machines names, else `/dev/sda`.
    #[serde(default)]
    pub(crate) install_disk: Option<String>,
    /// Finds the disk that Talos keeps itself on in later upgrades; it wins over the disk's path there.
    #[serde(default)]
    pub(crate) disk_selector: Option<DiskSelector>,
    /// System extensions in the image, such as `siderolabs/qemu-guest-agent`, unless a node names its own.
    #[serde(default)]
    pub(crate) extensions: Vec<String>,
    /// Further arguments of the kernel in the image, unless a node names its own.
    #[serde(default)]
    pub(crate) kernel_args: Vec<String>,
    /// The image factory's schematic, 64 hexadecimal digits, instead of `extensions` and `kernel_args`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub(crate) schematic_id: Option<String>,
    /// The image factory.
    #[serde(default = "default_factory")]
    pub(crate) factory_url: String,
    /// Further names and addresses in the certificates of the Talos and the Kubernetes API.
    #[serde(default)]
    pub(crate) cert_sans: Vec<String>,
    /// Pod networks: one, or one IPv4 and one IPv6.
    #[serde(default = "default_pods")]
    #[schemars(length(min = 1, max = 2))]
    pub(crate) pod_subnets: Vec<String>,
    /// Service networks, of the same families as the pod networks.
    #[serde(default = "default_services")]
    #[schemars(length(min = 1, max = 2))]
    pub(crate) service_subnets: Vec<String>,
    /// The cluster's DNS domain.
    #[serde(default = "default_domain")]
    pub(crate) dns_domain: String,
    /// The networks in which kubelets look for their node's address.
    #[serde(default)]
    pub(crate) node_ip_subnets: Vec<String>,
    /// The networks in which etcd looks for the address that it tells its peers.
    #[serde(default)]
    pub(crate) etcd_advertised_subnets: Vec<String>,
    /// An address that the control planes share.
    #[serde(default)]
    pub(crate) vip: Option<Vip>,
    /// URLs of manifests that Talos applies when the cluster starts.
    #[serde(default)]
    pub(crate) extra_manifests: Vec<String>,
    /// Mirrors of container registries, by registry (`*` for all others).
    #[serde(default)]
    pub(crate) registry_mirrors: BTreeMap<String, Mirror>,
    /// Changes to the machine configurations, merged in this order.
    #[serde(default)]
    pub(crate) patches: Vec<Patch>,
}

impl Config {
    /// The image factory's URL, without a slash at its end.
    pub(crate) fn factory(&self) -> &str {
        self.factory_url.trim_end_matches('/')
    }
}

/// A machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Its host name: a DNS label.
    pub(crate) name: String,
    /// Its address, one of the machines that the cloud adapter knows.
    pub(crate) ip: String,
    /// What it does.
    #[schemars(extend("x-ztc-role" = true))]
    pub(crate) role: Role,
    /// The disk that Talos is written to.
    #[serde(default)]
    pub(crate) install_disk: Option<String>,
    /// Finds the disk that Talos keeps itself on in later upgrades.
    #[serde(default)]
    pub(crate) disk_selector: Option<DiskSelector>,
    /// System extensions in the image of this machine.
    #[serde(default)]
    pub(crate) extensions: Option<Vec<String>>,
    /// Further arguments of the kernel in the image of this machine.
    #[serde(default)]
    pub(crate) kernel_args: Option<Vec<String>>,
    /// The image factory's schematic for this machine.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub(crate) schematic_id: Option<String>,
    /// The node's `spec.providerID`. Default: what the provider of the machines says.
    #[serde(default)]
    pub(crate) provider_id: Option<String>,
    /// Labels of the Kubernetes node.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Taints of the Kubernetes node: key → `value:Effect`.
    #[serde(default)]
    pub(crate) taints: BTreeMap<String, String>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Runs etcd and the Kubernetes API.
    ControlPlane,
    /// Runs pods.
    Worker,
}

impl Role {
    /// The word in Talos' configuration and in `platform.yaml`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ControlPlane => "controlplane",
            Self::Worker => "worker",
        }
    }
}

/// Conditions that a disk has to meet, all of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskSelector {
    /// Its size, such as `>= 100GB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<String>,
    /// Its name in sysfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    /// Its modalias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modalias: Option<String>,
    /// Its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uuid: Option<String>,
    /// Its world-wide id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wwid: Option<String>,
    /// Its type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<DiskType>,
    /// Its bus path; `*` stands for anything.
    #[serde(
        rename = "busPath",
        alias = "bus_path",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(rename = "bus_path")]
    pub(crate) bus_path: Option<String>,
}

/// What a disk is made of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DiskType {
    /// Solid state.
    Ssd,
    /// Rotating.
    Hdd,
    /// NVMe.
    Nvme,
    /// SD card.
    Sd,
}

/// An address that the control planes share: one of them has it at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vip {
    /// The address.
    pub(crate) ip: String,
    /// The network interface that carries it.
    #[serde(default = "default_interface")]
    pub(crate) interface: String,
    /// The API token with which Talos gives the address, a floating or alias IP of Hetzner Cloud, to the control plane that has it.
    #[serde(default)]
    #[schemars(schema_with = "token_schema")]
    pub(crate) hcloud_token: Option<Value>,
}

impl Vip {
    /// What stands for the token in a machine configuration.
    pub(crate) fn token_placeholder(&self) -> Option<String> {
        let name = self.hcloud_token.as_ref()?["name"].as_str()?;
        Some(format!("ztc-secret:store/{name}"))
    }
}

/// Where images of a registry are fetched from instead.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// URLs, tried in this order.
    #[schemars(length(min = 1))]
    pub(crate) endpoints: Vec<String>,
    /// Takes the path of the endpoints as it is, instead of adding `/v2`.
    #[serde(default)]
    pub(crate) override_path: bool,
    /// Never falls back to the registry itself.
    #[serde(default)]
    pub(crate) skip_fallback: bool,
}

/// A change to machine configurations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// `all`, `controlplane`, `worker` or the name of one node.
    #[serde(default = "default_target")]
    pub(crate) target: String,
    /// What is merged: a part of the machine configuration (`$patch: delete` removes the key that holds it) or a whole further document
    /// with `apiVersion` and `kind`; several of them as a list, or as a text with `---` between them.
    #[serde(default)]
    #[schemars(schema_with = "patch_schema")]
    pub(crate) patch: Value,
    /// The file that holds what is merged, relative to the repository, instead of `patch`.
    #[serde(default)]
    #[schemars(extend("x-ztc-file" = true))]
    pub(crate) file: Option<String>,
}

fn token_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-ztc-secret": true,
        "description": "A reference to the API token for a floating or alias IP of Hetzner Cloud: `{from: store, name: hcloud-vip-token}`, the file below `secrets/`; never the token itself. It becomes part of the machine configuration, so it must be there for whoever applies one.",
        "properties": {
            "from": { "type": "string", "enum": ["store", "env", "file", "command"] },
            "name": { "type": "string", "minLength": 1, "description": "The entry of the store." },
            "path": { "type": "string", "minLength": 1 },
            "command": { "type": "array", "items": { "type": "string" }, "minItems": 1 }
        },
        "required": ["from"],
        "additionalProperties": false
    })
}

fn patch_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [
            { "type": "object" },
            { "type": "array", "items": { "type": "object" } },
            { "type": "string" },
        ],
    })
}

fn default_version() -> String {
    versions::table().default.clone()
}

fn default_kubernetes() -> String {
    versions::table().kubernetes_default.clone()
}

fn default_factory() -> String {
    versions::table().factory_url.clone()
}

fn default_pods() -> Vec<String> {
    vec!["10.244.0.0/16".into()]
}

fn default_services() -> Vec<String> {
    vec!["10.96.0.0/12".into()]
}

fn default_domain() -> String {
    "cluster.local".into()
}

fn default_interface() -> String {
    "eth0".into()
}

fn default_target() -> String {
    "all".into()
}

/// The section's JSON Schema.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_minimal_section_has_the_documented_defaults() {
        let config: Config = serde_json::from_value(json!({
            "cluster_name": "demo",
            "cluster_endpoint": "https://203.0.113.10:6443",
            "nodes": [{"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"}],
        }))
        .unwrap();
        assert_eq!(config.version, "v1.11.5");
        assert_eq!(config.kubernetes_version, "v1.33.4");
        assert_eq!(config.schematic_id, None);
        assert_eq!(config.factory_url, "https://factory.talos.dev");
        assert_eq!(config.pod_subnets, ["10.244.0.0/16"]);
        assert_eq!(config.service_subnets, ["10.96.0.0/12"]);
        assert_eq!(config.dns_domain, "cluster.local");
        assert!(
            config.patches.is_empty()
                && config.vip.is_none()
                && !config.allow_scheduling_on_control_planes
        );
    }

    #[test]
    fn the_schema_names_every_key_and_refuses_others() {
        let schema = schema();
        let keys: Vec<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys.len(), 22);
        assert_eq!(
            schema["required"],
            json!(["cluster_name", "cluster_endpoint", "nodes"])
        );
        assert_eq!(schema["additionalProperties"], false);
        for name in ["Node", "DiskSelector", "Vip", "Mirror", "Patch"] {
            assert_eq!(
                schema["$defs"][name]["additionalProperties"], false,
                "{name}"
            );
        }
        assert_eq!(schema["properties"]["version"]["default"], "v1.11.5");
        assert_eq!(
            schema["$defs"]["DiskSelector"]["properties"]["bus_path"]["type"],
            json!(["string", "null"])
        );
    }
}
