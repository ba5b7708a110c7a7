//! Checks addresses of the cluster as a whole: the endpoint, the shared address, networks and certificate names.

use std::net::IpAddr;

use serde_json::Value;
use ztc_adapter_sdk::protocol::capability::Cni;

use crate::config::{Config, Patch, Role};
use crate::endpoint::Endpoint;
use crate::patch::documents;
use crate::problem::Findings;
use crate::syntax::{Network, is_dns_name};

pub(super) fn check(config: &Config, cni: Option<&Cni>, findings: &mut Findings) {
    let vip = vip(config, findings);
    endpoint(config, vip, findings);
    let pods = networks("/pod_subnets", &config.pod_subnets, findings);
    let services = networks("/service_subnets", &config.service_subnets, findings);
    families(&pods, &services, findings);
    ranges(config, &pods, findings);
    if let Some(cni) = cni
        && !patched(config, cni, findings)
    {
        agreed(cni, &pods, findings);
    }
    overlaps(config, &pods, &services, findings);
    filters("/node_ip_subnets", &config.node_ip_subnets, findings);
    filters(
        "/etcd_advertised_subnets",
        &config.etcd_advertised_subnets,
        findings,
    );
    if !is_dns_name(&config.dns_domain) {
        let message = format!("`{}` is not a DNS name", config.dns_domain);
        findings.error("/dns_domain", message, "write it as `cluster.local`");
    }
    for (index, san) in config.cert_sans.iter().enumerate() {
        if san.parse::<IpAddr>().is_err() && !is_dns_name(san) {
            let message = format!("`{san}` is neither an address nor a DNS name");
            findings.error(
                format!("/cert_sans/{index}"),
                message,
                "write it as `203.0.113.10` or `api.example.com`",
            );
        }
    }
}

fn vip(config: &Config, findings: &mut Findings) -> Option<IpAddr> {
    let vip = config.vip.as_ref()?;
    let Ok(address) = vip.ip.parse::<IpAddr>() else {
        findings.error(
            "/vip/ip",
            format!("`{}` is not an IP address", vip.ip),
            "write it as `10.0.1.100`",
        );
        return None;
    };
    if let Some(node) = config
        .nodes
        .iter()
        .find(|node| node.ip.parse() == Ok(address))
    {
        let message = format!(
            "`{}` is the address of node `{}` and cannot move between control planes",
            vip.ip, node.name
        );
        findings.error("/vip/ip", message, "take an address that no machine has");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if let Some(reference) = &vip.hcloud_token {
        token(reference, findings);
    }
    if vip.interface.is_empty() || !vip.interface.chars().all(plain) {
        let message = format!("`{}` is not the name of a network interface", vip.interface);
        findings.error("/vip/interface", message, "write it as `eth0`");
    }
    Some(address)
}

/// A token that becomes part of a configuration is read whenever one is applied, so it has to lie where every command finds it.
fn token(reference: &Value, findings: &mut Findings) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (from, name) = (&reference["from"], reference["name"].as_str());
    let stored = from == "store" && name.is_some_and(|name| name.chars().all(plain));
    if !stored {
        findings.error(
            "/vip/hcloud_token",
            "the token stands in machine configurations, so it must be in the store, where whoever applies one has it",
            "write `{from: store, name: hcloud-vip-token}`, and put the token there: `install -d -m 700 secrets; (umask 077; cat > secrets/hcloud-vip-token)`",
        );
    }
}

fn endpoint(config: &Config, vip: Option<IpAddr>, findings: &mut Findings) {
    let Some(endpoint) = findings.check(
        "/cluster_endpoint",
        Endpoint::parse(&config.cluster_endpoint),
    ) else {
        return;
    };
    let Some(address) = endpoint.address() else {
        return;
    };
    let place = "/cluster_endpoint";
    let Some(node) = config
        .nodes
        .iter()
        .find(|node| node.ip.parse() == Ok(address))
    else {
        if vip != Some(address) {
            let message = format!(
                "`{address}` is neither a control plane nor the `vip`, so something else must pass connections on"
            );
            findings.warn(
                place,
                message,
                "use the address of a control plane, unless a load balancer has this one",
            );
        }
        return;
    };
    if node.role == Role::Worker {
        let message = format!(
            "`{address}` is the worker `{}`, and workers do not run the Kubernetes API",
            node.name
        );
        findings.error(place, message, "use the address of a control plane");
    }
}

/// Networks in which addresses are looked for; a `!` before one leaves its addresses out.
fn filters(place: &str, texts: &[String], findings: &mut Findings) {
    let plain: Vec<String> = texts
        .iter()
        .map(|text| text.strip_prefix('!').unwrap_or(text).to_owned())
        .collect();
    networks(place, &plain, findings);
}

fn networks(place: &str, texts: &[String], findings: &mut Findings) -> Vec<(usize, Network)> {
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Network::parse(text) {
            Some(network) => networks.push((index, network)),
            None => {
                let message = format!("`{text}` is not a network");
                findings.error(
                    format!("{place}/{index}"),
                    message,
                    "write it as `10.244.0.0/16` or `fd00:10:244::/56`",
                );
            }
        }
    }
    networks
}

fn families(pods: &[(usize, Network)], services: &[(usize, Network)], findings: &mut Findings) {
    let families = |networks: &[(usize, Network)]| {
        networks
            .iter()
            .map(|(_, network)| network.is_ipv4())
            .collect::<Vec<_>>()
    };
    let (pods, services) = (families(pods), families(services));
    for (place, families) in [("/pod_subnets", &pods), ("/service_subnets", &services)] {
        if families.len() == 2 && families[0] == families[1] {
            let help = "give one network, or one IPv4 and one IPv6 network";
            findings.error(place, "two networks of the same family", help);
            return;
        }
    }
    let sorted = |mut families: Vec<bool>| {
        families.sort_unstable();
        families
    };
    if !pods.is_empty() && !services.is_empty() && sorted(pods) != sorted(services) {
        let message = "the service networks are not of the same families as the pod networks";
        findings.error(
            "/service_subnets",
            message,
            "give an IPv4 network in both, or an IPv6 network in both, or one of each in both",
        );
    }
}

/// Every node gets a part of each pod network, as large as Kubernetes cuts them unless it is told otherwise: /24 and /64, and of IPv6 at most 2^16 parts
/// (`clusterSubnetMaxDiff` of its controller manager).
fn ranges(config: &Config, pods: &[(usize, Network)], findings: &mut Findings) {
    let is_told = |patch: &Patch| patch.patch.to_string().contains("node-cidr-mask-size");
    if config.patches.iter().any(is_told) {
        return;
    }
    for (index, network) in pods {
        let (part, most) = if network.is_ipv4() {
            (24_u8, 24)
        } else {
            (64, 16)
        };
        let text = &config.pod_subnets[*index];
        let place = format!("/pod_subnets/{index}");
        let nodes = config.nodes.len();
        let parts = match part.checked_sub(network.bits()) {
            None => 0,
            Some(bits) => 1_usize << bits.min(32),
        };
        if parts < nodes {
            let widest = part - u8::try_from(nodes.next_power_of_two().ilog2()).unwrap_or(part);
            findings.error(
                place,
                format!("`{text}` has room for {parts} nodes, of {nodes}: each gets a network of /{part}"),
                format!("take a network of /{widest} or wider, and some bits more for nodes to come"),
            );
        } else if part - network.bits() > most {
            findings.error(
                place,
                format!("`{text}` is too wide: Kubernetes cuts networks of /{part} out of one of /{} at most", part - most),
                format!("take a network of /{} or narrower", part - most),
            );
        }
    }
}

/// Pods get addresses from the node's part of the pod networks, so these and the pod network's families are the same.
fn agreed(cni: &Cni, pods: &[(usize, Network)], findings: &mut Findings) {
    let provider = &cni.provider;
    let ours = [("ipv4", true), ("ipv6", false)].map(|(family, is_ipv4)| {
        let wanted = cni.address_families.iter().any(|given| given == family);
        let given = pods.iter().any(|(_, network)| network.is_ipv4() == is_ipv4);
        (family, wanted, given)
    });
    if cni.address_families.is_empty() || pods.is_empty() {
        return;
    }
    for (family, wanted, given) in ours {
        let name = if family == "ipv4" { "IPv4" } else { "IPv6" };
        let place = "/pod_subnets";
        match (wanted, given) {
            (true, false) => findings.error(
                place,
                format!(
                    "`{provider}` gives every pod an {name} address, and no pod network is of {name}: its agents would never start"
                ),
                format!(
                    "add an {name} network to `pod_subnets` and to `service_subnets`{}",
                    turned(family, provider, "false")
                ),
            ),
            // The cluster works; what is of this family is not used.
            (false, true) => findings.warn(
                place,
                format!(
                    "there is an {name} network, but `{provider}` gives pods no {name} addresses"
                ),
                format!(
                    "take the {name} networks out of `pod_subnets` and `service_subnets`{}",
                    turned(family, provider, "true")
                ),
            ),
            _ => {}
        }
    }
}

/// Whether a patch says the pod networks; the rendered configurations are judged then. What pods do not get is said here.
fn patched(config: &Config, cni: &Cni, findings: &mut Findings) -> bool {
    const PLACE: &str = "/cluster/network/podSubnets";
    let provider = &cni.provider;
    let gets_six = cni.address_families.iter().any(|family| family == "ipv6");
    let has_six = |network: &Value| network.as_str().is_some_and(|text| text.contains(':'));
    let mut is_patched = false;
    for (index, patch) in config.patches.iter().enumerate() {
        for one in documents(patch, index).unwrap_or_default() {
            let content = Value::Object(one.content.clone());
            let Some(networks) = content.pointer(PLACE).and_then(Value::as_array) else {
                continue;
            };
            is_patched = true;
            if networks.iter().any(has_six) && !gets_six && !cni.address_families.is_empty() {
                let message = format!(
                    "there is an IPv6 network, but `{provider}` gives pods no IPv6 addresses"
                );
                let help = format!("take it out{}", turned("ipv6", provider, "true"));
                findings.warn(one.at(PLACE), one.name(PLACE, &message), help);
            }
        }
    }
    is_patched
}

/// IPv4 cannot be chosen everywhere; IPv6 can.
fn turned(family: &str, provider: &str, value: &str) -> String {
    match family {
        "ipv6" => format!(", or set `ipv6: {value}` in the section of `{provider}`"),
        _ => String::new(),
    }
}

fn overlaps(
    config: &Config,
    pods: &[(usize, Network)],
    services: &[(usize, Network)],
    findings: &mut Findings,
) {
    for (index, service) in services {
        if let Some((pod, _)) = pods.iter().find(|(_, pod)| pod.overlaps(service)) {
            let message = format!(
                "`{}` overlaps the pod network `{}`",
                config.service_subnets[*index], config.pod_subnets[*pod]
            );
            findings.error(
                format!("/service_subnets/{index}"),
                message,
                "take networks without common addresses",
            );
        }
    }
    for (place, texts, networks) in [
        ("/pod_subnets", &config.pod_subnets, pods),
        ("/service_subnets", &config.service_subnets, services),
    ] {
        for (index, network) in networks {
            let inside = |ip: &str| ip.parse().is_ok_and(|address| network.contains(address));
            if let Some(node) = config.nodes.iter().find(|node| inside(&node.ip)) {
                let message = format!(
                    "`{}` contains the address `{}` of node `{}`",
                    texts[*index], node.ip, node.name
                );
                findings.error(
                    format!("{place}/{index}"),
                    message,
                    "take a network that is used nowhere else",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{found, found_with};

    #[test]
    fn every_node_gets_a_part_of_the_pod_network() {
        let check = |pods: &str, services: &str, patches: Value| {
            found(json!({"pod_subnets": [pods], "service_subnets": [services], "patches": patches}))
        };
        let (four, six) = ("10.96.0.0/12", "fd00:10:96::/112");
        assert_eq!(
            check("10.244.0.0/23", four, json!([])),
            Vec::<String>::new()
        );
        assert_eq!(
            check("fd00:10:244::/48", six, json!([])),
            Vec::<String>::new()
        );
        assert_eq!(
            check("10.244.0.0/26", four, json!([])),
            [
                "error /pod_subnets/0: `10.244.0.0/26` has room for 0 nodes, of 2: each gets a network of /24"
            ]
        );
        assert_eq!(
            check("10.244.0.0/24", four, json!([])),
            [
                "error /pod_subnets/0: `10.244.0.0/24` has room for 1 nodes, of 2: each gets a network of /24"
            ]
        );
        assert_eq!(
            check("fd00:10:244::/64", six, json!([])),
            [
                "error /pod_subnets/0: `fd00:10:244::/64` has room for 1 nodes, of 2: each gets a network of /64"
            ]
        );
        assert_eq!(
            check("fd00:20::/40", six, json!([])),
            [
                "error /pod_subnets/0: `fd00:20::/40` is too wide: Kubernetes cuts networks of /64 out of one of /48 at most"
            ]
        );
        let told = json!([{"target": "controlplane", "patch": {"cluster": {"controllerManager": {"extraArgs": {"node-cidr-mask-size": "27"}}}}}]);
        assert_eq!(check("10.244.0.0/26", four, told), Vec::<String>::new());
    }

    #[test]
    fn pod_networks_have_the_families_of_the_pod_network() {
        let check = |families: Value, pods: Value, services: Value| {
            let cni = json!({"provider": "cilium", "manifests": "", "replaces_kube_proxy": true, "address_families": families});
            let subnets = json!({"pod_subnets": pods, "service_subnets": services});
            found_with(subnets, &[("cni".to_owned(), cni)].into())
        };
        let (four, six) = ("10.244.0.0/16", "fd00:10:244::/56");
        let (four_services, six_services) = ("10.96.0.0/12", "fd00:10:96::/112");
        let both = || (json!([six, four]), json!([six_services, four_services]));
        let no_four = "error /pod_subnets: `cilium` gives every pod an IPv4 address, and no pod network is of IPv4: its agents would never start";
        let no_six = "error /pod_subnets: `cilium` gives every pod an IPv6 address, and no pod network is of IPv6: its agents would never start";
        let six_unused = "warning /pod_subnets: there is an IPv6 network, but `cilium` gives pods no IPv6 addresses";
        for (families, (pods, services), expected) in [
            (
                json!(["ipv4"]),
                (json!([four]), json!([four_services])),
                vec![],
            ),
            (json!(["ipv4", "ipv6"]), both(), vec![]),
            (json!([]), both(), vec![]),
            (
                json!(["ipv4", "ipv6"]),
                (json!([four]), json!([four_services])),
                vec![no_six],
            ),
            (
                json!(["ipv4"]),
                (json!([six]), json!([six_services])),
                vec![no_four, six_unused],
            ),
            (
                json!(["ipv4", "ipv6"]),
                (json!([six]), json!([six_services])),
                vec![no_four],
            ),
            (json!(["ipv4"]), both(), vec![six_unused]),
        ] {
            assert_eq!(check(families, pods, services), expected);
        }
    }

    #[test]
    fn pod_networks_of_patches_are_judged_where_they_are_rendered() {
        let dual = json!({"cluster": {"network": {"podSubnets": ["10.0.0.0/16", "fd00:10::/56"]}}});
        let check = |families: Value| {
            let cni = json!({"provider": "cilium", "manifests": "", "replaces_kube_proxy": true, "address_families": families});
            let section = json!({"patches": [{"patch": dual}]});
            found_with(section, &[("cni".to_owned(), cni)].into())
        };
        assert_eq!(check(json!(["ipv4", "ipv6"])), Vec::<String>::new());
        assert_eq!(check(json!([])), Vec::<String>::new());
        assert_eq!(
            check(json!(["ipv4"])),
            [
                "warning /patches/0/patch/cluster/network/podSubnets: there is an IPv6 network, but `cilium` gives pods no IPv6 addresses"
            ]
        );
    }

    #[test]
    fn endpoints() {
        assert_eq!(
            found(json!({"cluster_endpoint": "203.0.113.10:6443"})),
            Vec::<String>::new()
        );
        assert_eq!(
            found(json!({"cluster_endpoint": "http://203.0.113.10:6443"})),
            [
                "error /cluster_endpoint: `http://203.0.113.10:6443` is not an endpoint: its scheme is `http` and must be `https`"
            ]
        );
        assert_eq!(
            found(json!({"cluster_endpoint": "https://203.0.113.11:6443"})),
            [
                "error /cluster_endpoint: `203.0.113.11` is the worker `worker01`, and workers do not run the Kubernetes API"
            ]
        );
        assert_eq!(
            found(json!({"cluster_endpoint": "https://203.0.113.99:6443"})),
            [
                "warning /cluster_endpoint: `203.0.113.99` is neither a control plane nor the `vip`, so something else must pass connections on"
            ]
        );
        assert_eq!(
            found(
                json!({"cluster_endpoint": "https://10.0.1.100:6443", "vip": {"ip": "10.0.1.100", "interface": "eth1"}})
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn shared_addresses() {
        assert_eq!(
            found(json!({"vip": {"ip": "203.0.113.11", "interface": "eth 1"}})),
            [
                "error /vip/ip: `203.0.113.11` is the address of node `worker01` and cannot move between control planes",
                "error /vip/interface: `eth 1` is not the name of a network interface",
            ]
        );
        assert_eq!(
            found(
                json!({"vip": {"ip": "10.0.1.100", "hcloud_token": {"from": "env", "name": "HCLOUD_TOKEN"}}})
            ),
            [
                "error /vip/hcloud_token: the token stands in machine configurations, so it must be in the store, where whoever applies one has it"
            ]
        );
        let stored = json!({"from": "store", "name": "hcloud-vip-token"});
        assert_eq!(
            found(json!({"vip": {"ip": "10.0.1.100", "hcloud_token": stored}})),
            Vec::<String>::new()
        );
        assert_eq!(
            found(
                json!({"node_ip_subnets": ["10.0.0.0/8", "!10.0.0.1/32"], "etcd_advertised_subnets": ["!ten"]})
            ),
            ["error /etcd_advertised_subnets/0: `ten` is not a network"]
        );
        assert_eq!(
            found(json!({"vip": {"ip": "ten"}})),
            ["error /vip/ip: `ten` is not an IP address"]
        );
    }

    #[test]
    fn networks_are_networks_of_both_families_and_do_not_overlap() {
        let dual_stack = json!({
            "pod_subnets": ["10.244.0.0/16", "fd00:10:244::/56"],
            "service_subnets": ["10.96.0.0/12", "fd00:10:96::/112"],
        });
        assert_eq!(found(dual_stack), Vec::<String>::new());
        assert_eq!(
            found(
                json!({"pod_subnets": ["10.0.0.0/33"], "node_ip_subnets": ["ten"], "dns_domain": "bad domain", "cert_sans": ["a b"]})
            ),
            [
                "error /pod_subnets/0: `10.0.0.0/33` is not a network",
                "error /node_ip_subnets/0: `ten` is not a network",
                "error /dns_domain: `bad domain` is not a DNS name",
                "error /cert_sans/0: `a b` is neither an address nor a DNS name",
            ]
        );
        assert_eq!(
            found(
                json!({"pod_subnets": ["203.0.112.0/22"], "service_subnets": ["203.0.112.0/23"]})
            ),
            [
                "error /service_subnets/0: `203.0.112.0/23` overlaps the pod network `203.0.112.0/22`",
                "error /pod_subnets/0: `203.0.112.0/22` contains the address `203.0.113.10` of node `cp01`",
                "error /service_subnets/0: `203.0.112.0/23` contains the address `203.0.113.10` of node `cp01`",
            ]
        );
        assert_eq!(
            found(json!({"pod_subnets": ["fd00::/56"]})),
            [
                "error /service_subnets: the service networks are not of the same families as the pod networks"
            ]
        );
        assert_eq!(
            found(json!({"pod_subnets": ["10.1.0.0/16", "10.2.0.0/16"]})),
            ["error /pod_subnets: two networks of the same family"]
        );
    }
}
