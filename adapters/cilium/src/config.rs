//! The adapter's section of `platform.yaml`: its keys, their defaults and the JSON Schema that is made from them.
//!
//! What one key means for another is checked in `validate`, never here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::versions;

/// The adapter's section.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The Cilium release.
    pub(crate) version: String,
    /// Whether Cilium does what kube-proxy does. Needs KubePrism on every node (`localhost:7445`), which Talos has.
    #[serde(default = "yes")]
    pub(crate) kube_proxy_replacement: bool,
    /// Whether Cilium implements the Gateway API; the definitions of the paired release come with it.
    #[serde(default = "yes")]
    pub(crate) gateway_api: bool,
    /// How many operators run, each on a node of its own. Set 1 for a cluster of one node: a second one would stay pending.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 5))]
    pub(crate) operator_replicas: u8,
    /// Whether pods get IPv6 addresses too. The cluster's pod and service subnets must then have both families.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether BPF instead of iptables masquerades. DNS must then not be forwarded to the host; the system adapter is told.
    #[serde(default)]
    pub(crate) bpf_masquerade: bool,
    /// The MTU of the network between the nodes; left out: detected.
    #[serde(default)]
    #[schemars(range(min = 576, max = 65535))]
    pub(crate) mtu: Option<u16>,
    /// Address ranges from which services of type LoadBalancer and gateways get their addresses; empty: none.
    #[serde(default)]
    pub(crate) load_balancer_cidrs: Vec<String>,
    /// Whether nodes announce addresses to routers over BGP.
    #[serde(default)]
    pub(crate) bgp_enabled: bool,
    /// The nodes' autonomous system number; needed with `bgp_enabled`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(crate) bgp_asn: Option<u32>,
    /// The routers that every selected node connects to.
    #[serde(default)]
    pub(crate) bgp_peers: Vec<BgpPeer>,
    /// Labels of the nodes that speak BGP; empty: all nodes.
    #[serde(default)]
    pub(crate) bgp_node_selector: BTreeMap<String, String>,
    /// What is announced.
    #[serde(default = "load_balancer_addresses")]
    #[schemars(length(min = 1))]
    pub(crate) bgp_advertise: Vec<Advertise>,
}

/// A router.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BgpPeer {
    /// What it is called; left out: `peer-` and its address.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub(crate) name: Option<String>,
    /// Its IPv4 or IPv6 address.
    pub(crate) address: String,
    /// Its autonomous system number.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(crate) asn: u32,
}

impl BgpPeer {
    /// Returns the name that the peer has in the cluster.
    pub(crate) fn name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("peer-{}", self.address))
    }
}

/// A kind of address that is announced.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub(crate) enum Advertise {
    /// Addresses of services of type LoadBalancer, gateways included.
    LoadBalancerIP,
    /// External addresses of services.
    ExternalIP,
    /// Cluster addresses of services.
    ClusterIP,
    /// Each node's range of pod addresses.
    PodCIDR,
}

fn yes() -> bool {
    true
}

fn two() -> u8 {
    2
}

fn load_balancer_addresses() -> Vec<Advertise> {
    vec![Advertise::LoadBalancerIP]
}

/// Returns the section's JSON Schema; only supported releases satisfy it.
pub(crate) fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    schema["properties"]["version"]["enum"] = json!(versions::table().supported());
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: Value) -> Result<Config, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn a_version_is_enough() {
        let config = parse(json!({"version": "v1.18.5"})).unwrap();
        assert!(config.kube_proxy_replacement && config.gateway_api);
        assert!(!config.bgp_enabled && !config.ipv6 && !config.bpf_masquerade);
        assert_eq!(
            (config.operator_replicas, config.mtu, config.bgp_asn),
            (2, None, None)
        );
        assert_eq!(config.bgp_advertise, [Advertise::LoadBalancerIP]);
    }

    #[test]
    fn misspelt_keys_and_impossible_numbers_are_refused() {
        for wrong in [
            json!({"version": "v1.18.5", "bgp_enable": true}),
            json!({"version": "v1.18.5", "bgp_asn": 4_294_967_296_u64}),
            json!({"version": "v1.18.5", "bgp_peers": [{"address": "192.0.2.1", "asn": 1, "port": 179}]}),
            json!({"version": "v1.18.5", "bgp_advertise": ["EverythingIP"]}),
            json!({}),
        ] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_schema_says_what_the_type_takes() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["version"]));
        assert_eq!(schema["properties"]["version"]["enum"], json!(["v1.18.5"]));
        let asn = &schema["properties"]["bgp_asn"];
        assert_eq!(
            (&asn["minimum"], &asn["maximum"]),
            (&json!(1), &json!(4_294_967_295_u32))
        );
        let keys: Vec<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            [
                "version",
                "kube_proxy_replacement",
                "gateway_api",
                "operator_replicas",
                "ipv6",
                "bpf_masquerade",
                "mtu",
                "load_balancer_cidrs",
                "bgp_enabled",
                "bgp_asn",
                "bgp_peers",
                "bgp_node_selector",
                "bgp_advertise",
            ]
        );
    }
}
