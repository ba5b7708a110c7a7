//! What a section means beyond its schema: keys that need one another, addresses, names. Each finding points at the key to change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ztc_adapter_sdk::protocol::message::{Diagnostic, Severity};

use crate::config::{Advertise, Config};
use crate::versions;

/// Returns everything that is wrong or worth knowing.
pub(crate) fn check(config: &Config) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    version(config, &mut findings);
    network(config, &mut findings);
    if config.bgp_enabled {
        bgp(config, &mut findings);
    } else {
        unused_bgp(config, &mut findings);
    }
    findings
}

fn version(config: &Config, findings: &mut Vec<Diagnostic>) {
    let table = versions::table();
    if !table.releases.contains_key(&config.version) {
        let supported = table.supported().join("`, `");
        findings.push(error(
            "/version",
            format!(
                "Cilium `{}` is not supported by this adapter",
                config.version
            ),
            format!("use `{supported}`"),
        ));
    }
}

fn network(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.bpf_masquerade && !config.kube_proxy_replacement && !config.gateway_api {
        findings.push(error(
            "/bpf_masquerade",
            "masquerading in BPF needs Cilium's node ports, which are off",
            "set `kube_proxy_replacement: true`",
        ));
    }
    if let Some(mtu) = config.mtu.filter(|mtu| config.ipv6 && *mtu < 1280) {
        findings.push(error(
            "/mtu",
            format!("an MTU of `{mtu}` cannot carry IPv6, which needs 1280"),
            "raise `mtu` or set `ipv6: false`",
        ));
    }
    for (index, cidr) in config.load_balancer_cidrs.iter().enumerate() {
        let pointer = format!("/load_balancer_cidrs/{index}");
        match parse_cidr(cidr) {
            None => findings.push(error(
                &pointer,
                format!("`{cidr}` is not an address range"),
                "write a network and its length, such as `198.51.100.0/28`",
            )),
            Some(IpAddr::V6(_)) if !config.ipv6 => findings.push(error(
                &pointer,
                format!("`{cidr}` is an IPv6 range, but IPv6 is off"),
                "set `ipv6: true` or remove the range",
            )),
            Some(_) => {}
        }
    }
}

fn bgp(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.bgp_asn.is_none() {
        findings.push(error(
            "/bgp_asn",
            "`bgp_asn` is missing, but `bgp_enabled` is true",
            "give the nodes' autonomous system number, such as `bgp_asn: 64512`",
        ));
    }
    if config.bgp_asn == Some(0) {
        findings.push(error(
            "/bgp_asn",
            "`0` is not an autonomous system number",
            "use 1 to 4294967295",
        ));
    }
    if config.bgp_peers.is_empty() {
        findings.push(warning(
            "/bgp_peers",
            "`bgp_peers` names no router, so that nothing is announced",
            "add one, such as `bgp_peers: [{address: 192.0.2.1, asn: 64513}]`",
        ));
    }
    peers(config, findings);
    for (key, value) in &config.bgp_node_selector {
        if !is_label_key(key) || !is_label_value(value) {
            findings.push(error(
                &format!("/bgp_node_selector/{}", escape(key)),
                format!("`{key}: {value}` is not a Kubernetes label"),
                "use letters, digits, `-`, `_` and `.`, at most 63 of them, after an optional `domain/`",
            ));
        }
    }
    let services_only = !config.bgp_advertise.contains(&Advertise::PodCIDR);
    if services_only
        && config.bgp_advertise == [Advertise::LoadBalancerIP]
        && config.load_balancer_cidrs.is_empty()
    {
        findings.push(warning(
            "/load_balancer_cidrs",
            "services of type LoadBalancer get no address to announce",
            "give `load_balancer_cidrs`, or create a CiliumLoadBalancerIPPool later",
        ));
    }
}

fn peers(config: &Config, findings: &mut Vec<Diagnostic>) {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (index, peer) in config.bgp_peers.iter().enumerate() {
        let pointer = format!("/bgp_peers/{index}");
        let mut listed_twice = false;
        match peer.address.parse::<IpAddr>() {
            Err(_) => findings.push(error(
                &format!("{pointer}/address"),
                format!("`{}` is not an IP address", peer.address),
                "write the router's address without length or port, such as `192.0.2.1`",
            )),
            Ok(address) => listed_twice = !addresses.insert(address),
        }
        if listed_twice {
            let message = format!("the router `{}` is listed twice", peer.address);
            findings.push(error(
                &format!("{pointer}/address"),
                message,
                "remove one of them",
            ));
        }
        if peer.asn == 0 {
            let message = "`0` is not an autonomous system number";
            findings.push(error(
                &format!("{pointer}/asn"),
                message,
                "use 1 to 4294967295",
            ));
        }
        if !names.insert(peer.name()) && !listed_twice {
            findings.push(error(
                &format!("{pointer}/name"),
                format!("the name `{}` is used twice", peer.name()),
                "give each router a name of its own",
            ));
        }
    }
}

/// Keys that have no effect are said, because the operator meant something by them.
fn unused_bgp(config: &Config, findings: &mut Vec<Diagnostic>) {
    let given = [
        ("bgp_asn", config.bgp_asn.is_some()),
        ("bgp_peers", !config.bgp_peers.is_empty()),
        ("bgp_node_selector", !config.bgp_node_selector.is_empty()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        findings.push(warning(
            &format!("/{key}"),
            format!("`{key}` has no effect while `bgp_enabled` is false"),
            "set `bgp_enabled: true` or remove the key",
        ));
    }
}

fn parse_cidr(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    (length.parse::<u8>().ok()? <= bits).then_some(address)
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => {
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            !domain.is_empty()
                && domain.len() <= 253
                && domain.chars().all(plain)
                && is_label_name(name)
        }
        None => is_label_name(key),
    }
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_name(value)
}

fn is_label_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 63
        && name.chars().all(inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Escapes a key for a JSON Pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn error(pointer: &str, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    finding(Severity::Error, pointer, message.into(), help.into())
}

fn warning(pointer: &str, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    finding(Severity::Warning, pointer, message.into(), help.into())
}

fn finding(severity: Severity, pointer: &str, message: String, help: String) -> Diagnostic {
    Diagnostic {
        pointer: pointer.to_owned(),
        severity,
        message,
        help: Some(help),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn expect(section: Value, expected: &[(Severity, &str, &str)]) {
        let mut whole = json!({"version": "v1.18.5"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(section.as_object().unwrap().clone());
        let findings = check(&serde_json::from_value(whole).unwrap());
        let found: Vec<_> = findings
            .iter()
            .map(|found| {
                (
                    found.severity,
                    found.pointer.as_str(),
                    found.message.as_str(),
                )
            })
            .collect();
        assert_eq!(found, expected);
        assert!(findings.iter().all(|found| found.help.is_some()));
    }

    #[test]
    fn a_plain_section_is_fine() {
        expect(json!({}), &[]);
        expect(
            json!({"ipv6": true, "mtu": 1450, "load_balancer_cidrs": ["198.51.100.0/28", "2001:db8::/64"]}),
            &[],
        );
        let peers = json!([{"address": "192.0.2.1", "asn": 64513}, {"address": "2001:db8::1", "asn": 64513}]);
        expect(
            json!({
                "bgp_enabled": true, "bgp_asn": 64512, "bgp_peers": peers,
                "bgp_node_selector": {"example.com/edge": "yes", "rack": ""},
                "load_balancer_cidrs": ["198.51.100.0/28"],
            }),
            &[],
        );
    }

    #[test]
    fn an_unknown_version_is_an_error() {
        let found = (
            Severity::Error,
            "/version",
            "Cilium `v1.17.0` is not supported by this adapter",
        );
        expect(json!({"version": "v1.17.0"}), &[found]);
    }

    #[test]
    fn bgp_says_what_is_missing() {
        expect(
            json!({"bgp_enabled": true, "bgp_advertise": ["PodCIDR"]}),
            &[
                (
                    Severity::Error,
                    "/bgp_asn",
                    "`bgp_asn` is missing, but `bgp_enabled` is true",
                ),
                (
                    Severity::Warning,
                    "/bgp_peers",
                    "`bgp_peers` names no router, so that nothing is announced",
                ),
            ],
        );
        expect(
            json!({"bgp_enabled": true, "bgp_asn": 64512, "bgp_peers": [{"address": "192.0.2.1", "asn": 1}]}),
            &[(
                Severity::Warning,
                "/load_balancer_cidrs",
                "services of type LoadBalancer get no address to announce",
            )],
        );
    }

    #[test]
    fn routers_are_distinct_and_have_addresses() {
        expect(
            json!({
                "bgp_enabled": true, "bgp_asn": 64512, "bgp_advertise": ["PodCIDR"],
                "bgp_peers": [
                    {"name": "tor", "address": "192.0.2.1", "asn": 64513},
                    {"name": "tor", "address": "192.0.2.2", "asn": 64513},
                    {"address": "192.0.2.2", "asn": 0},
                    {"address": "192.0.2.0/24", "asn": 64513},
                ],
                "bgp_node_selector": {"a/b~c": "x"},
            }),
            &[
                (
                    Severity::Error,
                    "/bgp_peers/1/name",
                    "the name `tor` is used twice",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/2/address",
                    "the router `192.0.2.2` is listed twice",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/2/asn",
                    "`0` is not an autonomous system number",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/3/address",
                    "`192.0.2.0/24` is not an IP address",
                ),
                (
                    Severity::Error,
                    "/bgp_node_selector/a~1b~0c",
                    "`a/b~c: x` is not a Kubernetes label",
                ),
            ],
        );
    }

    #[test]
    fn keys_without_effect_are_warnings() {
        expect(
            json!({"bgp_asn": 64512, "bgp_peers": [{"address": "192.0.2.1", "asn": 1}]}),
            &[
                (
                    Severity::Warning,
                    "/bgp_asn",
                    "`bgp_asn` has no effect while `bgp_enabled` is false",
                ),
                (
                    Severity::Warning,
                    "/bgp_peers",
                    "`bgp_peers` has no effect while `bgp_enabled` is false",
                ),
            ],
        );
    }

    #[test]
    fn settings_that_exclude_each_other_are_errors() {
        expect(
            json!({"bpf_masquerade": true, "kube_proxy_replacement": false, "gateway_api": false}),
            &[(
                Severity::Error,
                "/bpf_masquerade",
                "masquerading in BPF needs Cilium's node ports, which are off",
            )],
        );
        expect(
            json!({"ipv6": true, "mtu": 1200}),
            &[(
                Severity::Error,
                "/mtu",
                "an MTU of `1200` cannot carry IPv6, which needs 1280",
            )],
        );
        expect(
            json!({"load_balancer_cidrs": ["2001:db8::/64", "198.51.100.1", "198.51.100.0/33"]}),
            &[
                (
                    Severity::Error,
                    "/load_balancer_cidrs/0",
                    "`2001:db8::/64` is an IPv6 range, but IPv6 is off",
                ),
                (
                    Severity::Error,
                    "/load_balancer_cidrs/1",
                    "`198.51.100.1` is not an address range",
                ),
                (
                    Severity::Error,
                    "/load_balancer_cidrs/2",
                    "`198.51.100.0/33` is not an address range",
                ),
            ],
        );
    }
}
