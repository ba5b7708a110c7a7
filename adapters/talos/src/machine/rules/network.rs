//! Network interfaces, shared addresses, and the network between nodes that Talos itself makes (KubeSpan).

use std::collections::BTreeMap;

use super::super::at::At;
use super::super::finding::Findings;
use super::super::forms::{self, PLACEHOLDER};
use super::super::url::split_host_port;
use super::{Role, bond};

/// The smallest packets that IPv6 allows.
const MIN_MTU: i128 = 1280;

const ADDRESS: &str = "write it as `10.0.0.5/24`";

pub(super) fn check(network: &At<'_>, cluster: &At<'_>, role: Role, findings: &mut Findings) {
    let interfaces = network.get("interfaces").items();
    let parts = parts(&interfaces, findings);
    for interface in &interfaces {
        if role == Role::Worker {
            shared_addresses(interface, findings);
        }
        if !interface.get("ignore").is_on() {
            device(interface, &parts, findings);
        }
    }
    kubespan(&network.get("kubespan"), cluster, findings);
}

fn shared_addresses(interface: &At<'_>, findings: &mut Findings) {
    let mut places = vec![interface.get("vip")];
    places.extend(
        interface
            .get("vlans")
            .items()
            .iter()
            .map(|vlan| vlan.get("vip")),
    );
    for vip in places.iter().filter(|vip| vip.is_set()) {
        vip.error(
            findings,
            "an address that machines share is for control planes only",
            "take `vip` out",
        );
    }
}

/// Finds which interfaces are parts of which bonds and bridges, by name.
fn parts(interfaces: &[At<'_>], findings: &mut Findings) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    for interface in interfaces {
        let (bond, bridge) = (interface.get("bond"), interface.get("bridge"));
        let name = interface.get("interface").text();
        if bond.is_set() && bridge.is_set() {
            let message =
                format!("`{name}` is a bond and a bridge at once, and can be one of the two");
            bridge.error(findings, message, "take `bond` or `bridge` out");
        }
        let (members, selectors) = (bond.get("interfaces"), bond.get("deviceSelectors"));
        if members.has_items() && selectors.has_items() {
            let message = format!(
                "the bond `{name}` has both interfaces and selectors, and can have one of the two"
            );
            selectors.error(
                findings,
                message,
                "take `interfaces` or `deviceSelectors` out",
            );
        }
        let members = if bridge.is_set() {
            bridge.get("interfaces")
        } else {
            members
        };
        for member in members.items() {
            let other = parts.insert(member.text().to_owned(), name.to_owned());
            if let Some(other) = other.filter(|other| other != name) {
                let message = format!("`{}` is a part of `{other}` and of `{name}`", member.text());
                member.error(findings, message, "let it be a part of one of them");
            }
        }
    }
    parts
}

fn device(interface: &At<'_>, parts: &BTreeMap<String, String>, findings: &mut Findings) {
    let (name, selector) = (interface.get("interface"), interface.get("deviceSelector"));
    match (name.has_text(), selector.is_set()) {
        (false, false) => interface.error(
            findings,
            "neither `interface` nor `deviceSelector` says which interface this is",
            "give one of the two",
        ),
        (true, true) => selector.error(
            findings,
            "`interface` and `deviceSelector` exclude each other",
            "take one of the two out",
        ),
        _ => {}
    }
    if selector.is_set() && !chooses_something(&selector) {
        selector.error(
            findings,
            "the selector has no condition",
            "give a condition such as `hardwareAddr: '00:11:22:*'`",
        );
    }
    bond::check(&interface.get("bond"), findings);
    wireguard(&interface.get("wireguard"), findings);
    for vlan in interface.get("vlans").items() {
        addresses(&vlan, findings);
    }
    addressing(interface, parts, findings);
    for route in interface.get("routes").items() {
        check_route(&route, findings);
    }
}

fn chooses_something(selector: &At<'_>) -> bool {
    selector.entries().iter().any(|(_, at)| at.has_text())
}

fn addressing(interface: &At<'_>, parts: &BTreeMap<String, String>, findings: &mut Findings) {
    let name = interface.get("interface").text();
    if let Some(whole) = parts.get(name) {
        let has_addresses = interface.get("dhcp").is_on()
            || interface.get("cidr").has_text()
            || interface.get("addresses").has_items()
            || interface.get("vip").is_set();
        if has_addresses {
            let message =
                format!("`{name}` is a part of `{whole}` and cannot have addresses of its own");
            interface.error(
                findings,
                message,
                format!("give the addresses to `{whole}`"),
            );
        }
    }
    let old = interface.get("cidr");
    if old.has_text() {
        old.warn(findings, "`cidr` is outdated", "use `addresses`");
    }
    addresses(interface, findings);
    let vip = interface.get("vip");
    if vip.is_set() && !forms::is_address(vip.get("ip").text()) {
        let message = format!(
            "`{}` is not an address that machines can share",
            vip.get("ip").text()
        );
        vip.get("ip")
            .error(findings, message, "write it as `10.0.1.100`");
    }
}

/// Checks the addresses of an interface or a VLAN.
fn addresses(owner: &At<'_>, findings: &mut Findings) {
    let (old, list) = (owner.get("cidr"), owner.get("addresses"));
    if old.has_text() && list.has_items() {
        old.error(
            findings,
            "`cidr` must not stand beside `addresses`",
            "use `addresses` alone",
        );
    }
    let good = |text: &str| forms::is_address(text) || forms::is_lenient_network(text);
    if old.has_text() && !good(old.text()) {
        let message = format!("`{}` is not an address or a network", old.text());
        old.error(findings, message, ADDRESS);
    }
    super::each(&list, good, "an address or a network", ADDRESS, findings);
}

fn check_route(route: &At<'_>, findings: &mut Findings) {
    let (network, gateway, source) = (
        route.get("network"),
        route.get("gateway"),
        route.get("source"),
    );
    if network.has_text() && !forms::is_lenient_network(network.text()) {
        let message = format!("`{}` is not a network", network.text());
        network.error(findings, message, "write it as `0.0.0.0/0`");
    }
    for address in [&gateway, &source] {
        if address.has_text() && !forms::is_address(address.text()) {
            let message = format!("`{}` is not an address", address.text());
            address.error(findings, message, "write it as `10.0.0.1`");
        }
    }
    if !gateway.has_text() && !network.has_text() {
        route.error(
            findings,
            "the route has neither a network nor a gateway",
            "write it as `{network: 0.0.0.0/0, gateway: 10.0.0.1}`",
        );
    }
}

fn wireguard(wireguard: &At<'_>, findings: &mut Findings) {
    if !wireguard.is_set() {
        return;
    }
    key(&wireguard.get("privateKey"), "private", findings);
    for peer in wireguard.get("peers").items() {
        key(&peer.get("publicKey"), "public", findings);
        let endpoint = peer.get("endpoint");
        if endpoint.has_text()
            && let Err(why) = split_host_port(endpoint.text())
        {
            let message = format!("the endpoint `{}` is wrong: {why}", endpoint.text());
            endpoint.error(findings, message, "write it as `203.0.113.10:51820`");
        }
        let networks = peer.get("allowedIPs");
        super::each(
            &networks,
            forms::is_lenient_network,
            "a network",
            "write it as `10.0.0.0/8`",
            findings,
        );
    }
}

fn key(at: &At<'_>, what: &str, findings: &mut Findings) {
    if at.text().starts_with(PLACEHOLDER) {
        return;
    }
    let why = match forms::base64(at.text()) {
        Ok(bytes) if bytes.len() == 32 => return,
        Ok(bytes) => format!("has {} bytes and must have 32", bytes.len()),
        Err(why) => why,
    };
    at.error(
        findings,
        format!("the {what} key {why}"),
        "make one with `wg genkey` and `wg pubkey`",
    );
}

fn kubespan(kubespan: &At<'_>, cluster: &At<'_>, findings: &mut Findings) {
    let enabled = kubespan.get("enabled");
    if !enabled.is_on() {
        return;
    }
    let mtu = kubespan.get("mtu");
    if mtu.number() != 0 && mtu.number() < MIN_MTU {
        let message = format!(
            "packets of `{}` bytes are too small for KubeSpan",
            mtu.text()
        );
        mtu.error(findings, message, format!("take at least {MIN_MTU}"));
    }
    if !cluster.walk(&["discovery", "enabled"]).is_on() {
        cluster.walk(&["discovery", "enabled"]).error(
            findings,
            "KubeSpan (`.machine.network.kubespan`) finds its peers through discovery, which is not enabled",
            "set `.cluster.discovery.enabled` to true",
        );
    }
    for key in ["id", "secret"] {
        if !cluster.get(key).has_text() {
            cluster.get(key).error(
                findings,
                format!("KubeSpan (`.machine.network.kubespan`) needs `.cluster.{key}`"),
                "take it from the cluster's secrets",
            );
        }
    }
    super::subnet_filters(&kubespan.walk(&["filters", "endpoints"]), findings);
}
