//! The contracts of the four standard capabilities. Any other capability is named `vendor/name` and its provider ships the schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names of the standard capabilities with the version of their contract.
pub const STANDARD: [(&str, &str); 4] = [
    (CLOUD_INFRASTRUCTURE, "1.0"),
    (CNI, "1.0"),
    (GATEWAY_API, "1.0"),
    (KUBERNETES_API, "1.0"),
];

/// Machines to install on; data: [`CloudInfrastructure`].
pub const CLOUD_INFRASTRUCTURE: &str = "cloud-infrastructure";
/// The pod network; data: [`Cni`].
pub const CNI: &str = "cni";
/// The Gateway API; data: [`GatewayApi`].
pub const GATEWAY_API: &str = "gateway-api";
/// A Kubernetes API server; data: [`KubernetesApi`].
pub const KUBERNETES_API: &str = "kubernetes-api";

/// Barriers that the built-in adapters and their replacements agree on.
pub mod barrier {
    /// Every server runs its rescue system and accepts SSH.
    pub const RESCUE_READY: &str = "rescue_ready";
    /// The operating system is installed and configured on the control plane.
    pub const CLUSTER_INSTALLED: &str = "cluster_installed";
    /// The Kubernetes API answers and a kubeconfig exists.
    pub const CLUSTER_ACCESSIBLE: &str = "cluster_accessible";
    /// Pods get addresses.
    pub const CNI_READY: &str = "cni_ready";
}

/// Data of `cloud-infrastructure` 1.0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudInfrastructure {
    /// The provider, such as `hetzner`.
    pub provider: String,
    /// The machines by IP address.
    pub servers: BTreeMap<String, Server>,
    /// Whether the provider's stages boot the machines into a rescue system and reach the barrier `rescue_ready`.
    pub rescue_mode_enabled: bool,
    /// How stages log in to a machine in its rescue system.
    pub ssh: SshAccess,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// The provider's id.
    pub id: String,
    /// The provider's name for it.
    pub name: String,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// What kind of image it boots: `hcloud` or `metal`.
    pub platform: String,
    /// The disk that is installed on unless the operator says otherwise, such as `/dev/sda`.
    pub disk: String,
    /// The value of the node's `spec.providerID`, such as `hcloud://4711`; empty: none.
    pub provider_id: String,
}

/// How to log in over SSH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SshAccess {
    /// The user.
    pub user: String,
    /// The private key, relative to the stages' state directory (`$ZTC_STATE_DIR`); `{ip}` stands for the machine's address.
    pub identity_file: String,
    /// An OpenSSH client configuration (for a jump host, say), relative to the repository; empty: none.
    pub config_file: String,
}

impl Default for SshAccess {
    fn default() -> Self {
        Self {
            user: "root".into(),
            identity_file: String::new(),
            config_file: String::new(),
        }
    }
}

/// Data of `cni` 1.0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cni {
    /// The provider, such as `cilium`.
    pub provider: String,
    /// YAML documents that install it.
    pub manifests: String,
    /// Whether it does what kube-proxy does, so that kube-proxy is not installed.
    pub replaces_kube_proxy: bool,
    /// Whether it masquerades in BPF, which rules out forwarding DNS to the host.
    #[serde(default)]
    pub bpf_masquerade: bool,
    /// The Kubernetes minors that it was tested with; nothing: its provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesRange>,
    /// The families of which every pod gets an address, `ipv4` and `ipv6`: the cluster's pod networks must be of exactly these. Empty: its
    /// provider does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address_families: Vec<String>,
}

/// Kubernetes minors, both included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KubernetesRange {
    /// The oldest, such as `v1.30`.
    pub minimum: String,
    /// The newest.
    pub maximum: String,
}

/// Data of `gateway-api` 1.0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayApi {
    /// The release, such as `v1.3.0`.
    pub version: String,
    /// Where the definitions are fetched from when the cluster starts.
    #[serde(default)]
    pub crd_urls: Vec<String>,
    /// The definitions themselves, where they are embedded; empty: they are not.
    #[serde(default)]
    pub crds: String,
}

/// Data of `kubernetes-api` 1.0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KubernetesApi {
    /// `https://host:port`.
    #[schemars(regex(pattern = r"^https://.+:\d+$"))]
    pub cluster_endpoint: String,
    /// Where stages find the kubeconfig, relative to the repository; may hold `${ZTC_ENVIRONMENT}`, which contexts fill in.
    pub kubeconfig_path: String,
    /// The Kubernetes version, such as `v1.33.4`.
    pub version: String,
}

/// Returns the JSON Schema of a standard capability's data.
pub fn standard_schema(capability: &str) -> Option<Value> {
    let schema = match capability {
        CLOUD_INFRASTRUCTURE => schemars::schema_for!(CloudInfrastructure),
        CNI => schemars::schema_for!(Cni),
        GATEWAY_API => schemars::schema_for!(GatewayApi),
        KUBERNETES_API => schemars::schema_for!(KubernetesApi),
        _ => return None,
    };
    Some(schema.to_value())
}
