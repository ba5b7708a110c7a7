//! The adapter's section of `platform.yaml`: its keys, their defaults and the JSON Schema that is made from them.
//!
//! What one key means for another is checked in `validate`, never here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gateway::Gateway;

/// The adapter's section.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The Cilium release.
    pub(crate) version: String,
    /// What the manifests are made from: the adapter's own templates, or the project's chart with the operator's `helm`.
    #[serde(default)]
    pub(crate) source: Source,
    /// Where the chart is, with `source: helm`: `oci://...` names the chart, `https://...` a repository that has it.
    #[serde(default = "chart_repository")]
    #[schemars(regex(pattern = r"^(oci|https)://[^ ]+$"))]
    pub(crate) chart_repository: String,
    /// A copy of the chart in the repository (`helm pull` makes it), so that nothing is fetched.
    #[serde(default)]
    #[schemars(extend("x-ztc-file" = true))]
    pub(crate) chart: Option<String>,
    /// The only digest that the chart may have; left out: the one that the lock has pinned.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(crate) chart_sha256: Option<String>,
    /// Values of the chart that go over those that the other keys of this section make.
    #[serde(default)]
    pub(crate) helm_values: Map<String, Value>,
    /// Whether Cilium does what kube-proxy does. Needs KubePrism on every node (`localhost:7445`), which Talos has.
    #[serde(default = "yes")]
    pub(crate) kube_proxy_replacement: bool,
    /// Whether Cilium implements the Gateway API. The cluster fetches the definitions of the paired release, or `manifest` names a copy.
    #[serde(default = "published")]
    pub(crate) gateway_api: Gateway,
    /// How many operators run, each on a node of its own; left out: 1 where there is one control plane, else 2.
    #[serde(default)]
    #[schemars(range(min = 1, max = 5))]
    pub(crate) operator_replicas: Option<u8>,
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
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) bgp_advertise: Vec<Advertise>,
    /// Labels of the services whose addresses are announced; empty: all services.
    #[serde(default)]
    pub(crate) bgp_service_selector: BTreeMap<String, String>,
    /// The address families that are announced; left out: IPv4, and IPv6 where `ipv6` is on.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) bgp_families: Vec<Family>,
    /// The port on which nodes accept sessions; left out: none, nodes call their routers.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) bgp_local_port: Option<u16>,
    /// The timers of sessions.
    #[serde(default)]
    pub(crate) bgp_timers: Option<BgpTimers>,
    /// How many hops away routers of another autonomous system may be; left out: 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 255))]
    pub(crate) bgp_multihop: Option<u8>,
    /// How long routers keep the routes of an agent that restarts, in seconds; 0: not at all.
    #[serde(default = "restart_time")]
    #[schemars(range(min = 0, max = 4095))]
    pub(crate) bgp_graceful_restart_seconds: u16,
    /// The Secret in the namespace `kube-system` whose key `password` authenticates sessions (TCP MD5).
    #[serde(default)]
    pub(crate) bgp_auth_secret: Option<String>,
}

/// What the manifests are made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The adapter's own templates, for the releases that it knows.
    #[default]
    Templates,
    /// The project's chart, for any release.
    Helm,
}

/// The timers of BGP sessions, in seconds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BgpTimers {
    /// How long to wait before calling again; left out: 120.
    #[serde(default)]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub(crate) connect_retry: Option<u32>,
    /// After how long without a word a session is over; left out: 90.
    #[serde(default)]
    #[schemars(range(min = 3, max = 65535))]
    pub(crate) hold: Option<u16>,
    /// How often a word is sent; left out: 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) keep_alive: Option<u16>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A router.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BgpPeer {
    /// What it is called; left out: `peer-` and its address or `gateway-` and the family.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub(crate) name: Option<String>,
    /// Its IPv4 or IPv6 address.
    #[serde(default)]
    pub(crate) address: Option<String>,
    /// Instead of an address: the router is the default gateway that each node has for this family.
    #[serde(default)]
    pub(crate) default_gateway: Option<Family>,
    /// Its autonomous system number.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(crate) asn: u32,
    /// The port on which it listens; left out: 179.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<u16>,
    /// How many hops away it may be; left out: `bgp_multihop`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 255))]
    pub(crate) multihop: Option<u8>,
    /// Its Secret; left out: `bgp_auth_secret`.
    #[serde(default)]
    pub(crate) auth_secret: Option<String>,
}

impl BgpPeer {
    /// Returns the name that the peer has in the cluster.
    pub(crate) fn name(&self) -> String {
        let family = |family: &Family| format!("gateway-{}", family.word());
        let made = || match (&self.address, &self.default_gateway) {
            (Some(address), _) => format!("peer-{address}"),
            (None, gateway) => gateway.as_ref().map(family).unwrap_or_default(),
        };
        self.name.clone().unwrap_or_else(made)
    }
}

impl Family {
    /// Returns its name in Cilium's resources.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl Config {
    /// Says how many operators run in a cluster with these machines: a second one helps only where a second control plane does.
    pub(crate) fn operators(&self, roles: &BTreeMap<String, usize>) -> u8 {
        let single = roles.get("controlplane") == Some(&1);
        self.operator_replicas.unwrap_or(if single { 1 } else { 2 })
    }

    /// Returns the families of which pods get addresses. IPv4 is always one of them: agents ask for a range of each that is on.
    pub(crate) fn address_families(&self) -> Vec<String> {
        let families = [(Family::Ipv4, true), (Family::Ipv6, self.ipv6)];
        let on = families.iter().filter(|(_, on)| *on);
        on.map(|(family, _)| family.word().to_owned()).collect()
    }

    /// Returns the address families that are announced.
    pub(crate) fn families(&self) -> Vec<Family> {
        match (self.bgp_families.is_empty(), self.ipv6) {
            (false, _) => self.bgp_families.clone(),
            (true, true) => vec![Family::Ipv4, Family::Ipv6],
            (true, false) => vec![Family::Ipv4],
        }
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

fn published() -> Gateway {
    Gateway::Published
}

fn restart_time() -> u16 {
    120
}

fn chart_repository() -> String {
    "https://helm.cilium.io".into()
}

fn load_balancer_addresses() -> Vec<Advertise> {
    vec![Advertise::LoadBalancerIP]
}

/// Returns the section's JSON Schema. Which versions there are depends on `source`, so that `validate` checks them.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Config, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn a_version_is_enough() {
        let config = parse(json!({"version": "v1.18.5"})).unwrap();
        assert!(config.kube_proxy_replacement && config.gateway_api == Gateway::Published);
        assert!(!config.bgp_enabled && !config.ipv6 && !config.bpf_masquerade);
        assert_eq!(
            (config.source, config.mtu, config.bgp_asn),
            (Source::Templates, None, None)
        );
        assert_eq!(config.bgp_advertise, [Advertise::LoadBalancerIP]);
        assert_eq!(config.chart_repository, "https://helm.cilium.io");
    }

    #[test]
    fn operators_follow_the_control_planes() {
        let operators = |section: Value, control_planes: usize| {
            let roles = BTreeMap::from([("controlplane".to_owned(), control_planes)]);
            parse(section).unwrap().operators(&roles)
        };
        let section = || json!({"version": "v1.18.5"});
        assert_eq!(
            [1, 2, 3, 5].map(|count| operators(section(), count)),
            [1, 2, 2, 2]
        );
        let three = json!({"version": "v1.18.5", "operator_replicas": 3});
        assert_eq!(operators(three, 1), 3);
        assert_eq!(parse(section()).unwrap().operators(&BTreeMap::new()), 2);
    }

    #[test]
    fn the_gateway_api_is_off_on_or_a_copy() {
        let gateway = |value: Value| {
            parse(json!({"version": "v1.18.5", "gateway_api": value}))
                .map(|config| config.gateway_api)
        };
        assert_eq!(gateway(json!(false)).unwrap(), Gateway::Off);
        assert_eq!(
            gateway(json!({"manifest": "a.yaml"})).unwrap(),
            Gateway::Copy("a.yaml".into())
        );
        for wrong in [
            json!("yes"),
            json!({}),
            json!({"manifest": "a", "release": "b"}),
        ] {
            assert!(gateway(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn misspelt_keys_and_impossible_numbers_are_refused() {
        for wrong in [
            json!({"version": "v1.18.5", "bgp_enable": true}),
            json!({"version": "v1.18.5", "bgp_asn": 4_294_967_296_u64}),
            json!({"version": "v1.18.5", "bgp_peers": [{"address": "192.0.2.1", "asn": 1, "ports": 179}]}),
            json!({"version": "v1.18.5", "bgp_advertise": ["EverythingIP"]}),
            json!({"version": "v1.18.5", "source": "kustomize"}),
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
        let asn = &schema["properties"]["bgp_asn"];
        assert_eq!(
            (&asn["minimum"], &asn["maximum"]),
            (&json!(1), &json!(4_294_967_295_u32))
        );
        for pointer in ["/chart", "/gateway_api/properties/manifest"] {
            let schema = schema["properties"].pointer(pointer).unwrap();
            assert_eq!(schema["x-ztc-file"], true, "{pointer}");
        }
    }
}
