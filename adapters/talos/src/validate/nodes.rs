//! Checks the machines: names, addresses, roles, labels and taints, and that the provider knows each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ztc_adapter_sdk::protocol::capability::CloudInfrastructure;

use super::restricted::is_restricted;
use super::{disk, escaped, schematic};
use crate::cluster::{image, server};
use crate::config::{Config, Node, Role};
use crate::problem::Findings;
use crate::syntax::{is_dns_label, is_label_value, is_qualified_name, is_taint};

/// Names that patches use for groups of machines.
const RESERVED: [&str; 3] = ["all", "controlplane", "worker"];

pub(super) fn check(
    config: &Config,
    infrastructure: Option<&CloudInfrastructure>,
    findings: &mut Findings,
) {
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (index, node) in config.nodes.iter().enumerate() {
        let place = format!("/nodes/{index}");
        name(node, &place, &mut names, index, findings);
        if let Some(address) = address(node, &place, findings) {
            let first = *addresses.entry(address).or_insert(index);
            if first != index {
                let message = format!(
                    "`{}` is the address of `{}` already",
                    node.ip, config.nodes[first].name
                );
                findings.error(
                    format!("{place}/ip"),
                    message,
                    "give every node the address of its own machine",
                );
            }
            known(node, infrastructure, &place, findings);
        }
        disk(
            node.install_disk.as_deref(),
            node.disk_selector.as_ref(),
            &place,
            findings,
        );
        schematic(
            node.schematic_id.as_deref(),
            node.extensions.as_deref().unwrap_or_default(),
            node.kernel_args.as_deref().unwrap_or_default(),
            &place,
            findings,
        );
        labels_and_taints(node, &place, findings);
    }
    loopback(addresses.keys(), findings);
    if let Some(infrastructure) = infrastructure {
        idle(config, infrastructure, findings);
    }
    roles(config, findings);
}

/// Machines that are no nodes: the provider's stages would switch them off and boot them into the rescue system, and nothing would follow.
fn idle(config: &Config, infrastructure: &CloudInfrastructure, findings: &mut Findings) {
    let used: BTreeSet<&String> = config
        .nodes
        .iter()
        .filter_map(|node| Some(server(infrastructure, &node.ip)?.0))
        .collect();
    let provider = &infrastructure.provider;
    for (ip, server) in &infrastructure.servers {
        if !infrastructure.rescue_mode_enabled || used.contains(ip) {
            continue;
        }
        let machine = match server.name.as_str() {
            "" => format!("`{ip}`"),
            name => format!("`{name}` (`{ip}`)"),
        };
        findings.error(
            "/nodes",
            format!("the machine {machine} of `{provider}` is no node, and would still be switched off and booted into its rescue system"),
            format!("take `{ip}` out of the section of `{provider}`, or make the machine a node"),
        );
    }
}

/// Loopback addresses are said once, however many there are.
fn loopback<'a>(mut addresses: impl Iterator<Item = &'a IpAddr>, findings: &mut Findings) {
    if let Some(address) = addresses.find(|address| address.is_loopback()) {
        let message = format!(
            "`{address}` is an address of this machine itself, which is right only for a simulation"
        );
        let help = "give the address at which each machine is reached";
        findings.warn("/nodes".to_owned(), message, help);
    }
}

fn name<'a>(
    node: &'a Node,
    place: &str,
    names: &mut BTreeMap<&'a str, usize>,
    index: usize,
    findings: &mut Findings,
) {
    let place = format!("{place}/name");
    let name = node.name.as_str();
    if !is_dns_label(name) {
        let help = "use lower-case letters, digits and hyphens, at most 63, such as `cp01`";
        findings.error(place, format!("`{name}` is not a host name"), help);
    } else if RESERVED.contains(&name) {
        let message = format!(
            "`{name}` stands for a group of nodes in `patches`, so no node can have this name"
        );
        findings.error(place, message, "choose another name, such as `worker01`");
    } else if let Some(first) = names.insert(name, index) {
        let message = format!("`{name}` is the name of node {} already", first + 1);
        findings.error(place, message, "give every node a name of its own");
    }
}

fn address(node: &Node, place: &str, findings: &mut Findings) -> Option<IpAddr> {
    let place = format!("{place}/ip");
    let ip = &node.ip;
    let Ok(address) = ip.parse::<IpAddr>() else {
        let message = format!("`{ip}` is not an IP address");
        findings.error(
            place,
            message,
            "write it as `203.0.113.10` or `2001:db8::10`, without a port or a network",
        );
        return None;
    };
    let unusable = match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local()
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    if unusable {
        findings.error(
            place,
            format!("`{ip}` cannot be the address of a machine"),
            "give the address that the machine is reached at",
        );
        return None;
    }
    Some(address)
}

fn known(
    node: &Node,
    infrastructure: Option<&CloudInfrastructure>,
    place: &str,
    findings: &mut Findings,
) {
    let Some(infrastructure) = infrastructure else {
        return;
    };
    if let Some((_, server)) = server(infrastructure, &node.ip) {
        findings.check(format!("{place}/ip"), image(server).map(drop));
        return;
    }
    let provider = &infrastructure.provider;
    let message = format!(
        "`{}` is not one of the machines that `{provider}` knows",
        node.ip
    );
    let machines: Vec<&str> = infrastructure.servers.keys().map(String::as_str).collect();
    let help = if machines.is_empty() {
        format!("it knows none: give `{provider}` the addresses of the machines first")
    } else {
        format!(
            "it knows {}; use one of them, or add `{}` there",
            machines.join(", "),
            node.ip
        )
    };
    findings.error(format!("{place}/ip"), message, help);
}

fn labels_and_taints(node: &Node, place: &str, findings: &mut Findings) {
    for (key, value) in &node.labels {
        let place = format!("{place}/labels/{}", escaped(key));
        if !is_qualified_name(key) {
            findings.error(
                place,
                format!("`{key}` is not the key of a label"),
                "write it as `rack` or `example.com/rack`",
            );
        } else if !is_label_value(value) {
            let help = "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
            findings.error(
                place,
                format!("`{value}` is not the value of a label"),
                help,
            );
        } else if node.role == Role::Worker && is_restricted(key) {
            findings.error(
                place,
                format!("Kubernetes does not let a worker set the label `{key}` on itself, and Talos would set none of its labels"),
                format!("take a label of your own, or set it once the node is there: `kubectl label node {} {key}={value}`", node.name),
            );
        }
    }
    for (key, value) in &node.taints {
        let place = format!("{place}/taints/{}", escaped(key));
        if !is_qualified_name(key) {
            findings.error(
                place,
                format!("`{key}` is not the key of a taint"),
                "write it as `dedicated` or `example.com/dedicated`",
            );
        } else if !is_taint(value) {
            let help = "write it as `value:Effect`, with the effect `NoSchedule`, `PreferNoSchedule` or `NoExecute`";
            findings.error(place, format!("`{value}` is not a taint"), help);
        }
    }
}

fn roles(config: &Config, findings: &mut Findings) {
    let control_planes = config
        .nodes
        .iter()
        .filter(|node| node.role == Role::ControlPlane)
        .count();
    if control_planes == 0 {
        let help = "give one node, or three for a cluster that survives the loss of one, the role `controlplane`";
        findings.error(
            "/nodes",
            "no node has the role `controlplane`, so nothing would run the Kubernetes API",
            help,
        );
    } else if control_planes % 2 == 0 {
        let message = format!(
            "{control_planes} control planes survive the loss of no more nodes than {} would, and one node more can fail: etcd needs more than half of them",
            control_planes - 1
        );
        findings.error(
            "/nodes",
            message,
            format!(
                "use {} or {} control planes",
                control_planes - 1,
                control_planes + 1
            ),
        );
    }
    let has_worker = config.nodes.iter().any(|node| node.role == Role::Worker);
    if control_planes > 0 && !has_worker && !config.allow_scheduling_on_control_planes {
        let message =
            "there is no worker and control planes take no ordinary pods, so none will run";
        findings.warn(
            "/allow_scheduling_on_control_planes",
            message,
            "set it to `true`, or add a worker",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{found, found_with};

    fn nodes(nodes: Value) -> Vec<String> {
        found(json!({ "nodes": nodes, "cluster_endpoint": "https://api.example.com:6443" }))
    }

    #[test]
    fn names_and_addresses() {
        assert_eq!(
            nodes(json!([
                {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
                {"name": "cp01", "ip": "203.0.113.10", "role": "worker"},
                {"name": "CP_2", "ip": "300.0.113.10", "role": "worker"},
                {"name": "worker", "ip": "224.0.0.1", "role": "worker"},
                {"name": "w2", "ip": "127.0.0.1", "role": "worker"},
            ])),
            [
                "error /nodes/1/name: `cp01` is the name of node 1 already",
                "error /nodes/1/ip: `203.0.113.10` is the address of `cp01` already",
                "error /nodes/2/name: `CP_2` is not a host name",
                "error /nodes/2/ip: `300.0.113.10` is not an IP address",
                "error /nodes/3/name: `worker` stands for a group of nodes in `patches`, so no node can have this name",
                "error /nodes/3/ip: `224.0.0.1` cannot be the address of a machine",
                "warning /nodes: `127.0.0.1` is an address of this machine itself, which is right only for a simulation",
            ]
        );
    }

    #[test]
    fn the_same_address_written_differently_is_the_same() {
        assert_eq!(
            nodes(json!([
                {"name": "cp01", "ip": "2001:db8::1", "role": "controlplane"},
                {"name": "w1", "ip": "2001:DB8:0::1", "role": "worker"},
            ])),
            ["error /nodes/1/ip: `2001:DB8:0::1` is the address of `cp01` already"]
        );
    }

    #[test]
    fn roles_are_counted() {
        assert_eq!(
            nodes(json!([{"name": "w1", "ip": "203.0.113.10", "role": "worker"}])),
            [
                "error /nodes: no node has the role `controlplane`, so nothing would run the Kubernetes API"
            ]
        );
        assert_eq!(
            nodes(json!([
                {"name": "a", "ip": "203.0.113.10", "role": "controlplane"},
                {"name": "b", "ip": "203.0.113.11", "role": "controlplane"},
            ])),
            [
                "error /nodes: 2 control planes survive the loss of no more nodes than 1 would, and one node more can fail: etcd needs more than half of them",
                "warning /allow_scheduling_on_control_planes: there is no worker and control planes take no ordinary pods, so none will run",
            ]
        );
    }

    #[test]
    fn labels_and_taints_have_a_syntax() {
        assert_eq!(
            nodes(json!([
                {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane", "labels": {"bad label!": "x", "rack": "-"}},
                {"name": "w1", "ip": "203.0.113.11", "role": "worker", "taints": {"dedicated": "gpu:Nope", "a/b/c": "NoSchedule"}, "labels": {"node-role.kubernetes.io/worker": ""}},
            ])),
            [
                "error /nodes/0/labels/bad label!: `bad label!` is not the key of a label",
                "error /nodes/0/labels/rack: `-` is not the value of a label",
                "error /nodes/1/labels/node-role.kubernetes.io~1worker: Kubernetes does not let a worker set the label `node-role.kubernetes.io/worker` on itself, and Talos would set none of its labels",
                "error /nodes/1/taints/a~1b~1c: `a/b/c` is not the key of a taint",
                "error /nodes/1/taints/dedicated: `gpu:Nope` is not a taint",
            ]
        );
    }

    #[test]
    fn nodes_are_machines_of_the_provider() {
        let data = json!({
            "provider": "hetzner",
            "servers": {"203.0.113.10": {}, "203.0.113.12": {}},
            "rescue_mode_enabled": true,
            "ssh": {},
        });
        let capabilities = [("cloud-infrastructure".to_owned(), data)].into();
        assert_eq!(
            found_with(json!({}), &capabilities),
            [
                "error /nodes/1/ip: `203.0.113.11` is not one of the machines that `hetzner` knows",
                "error /nodes: the machine `203.0.113.12` of `hetzner` is no node, and would still be switched off and booted into its rescue system",
            ]
        );
    }

    #[test]
    fn a_machine_that_is_no_node_is_not_touched() {
        let found = |rescue: bool| {
            let data = json!({
                "provider": "hetzner",
                "servers": {"203.0.113.10": {}, "203.0.113.11": {}, "203.0.113.12": {"name": "worker02"}},
                "rescue_mode_enabled": rescue,
                "ssh": {},
            });
            found_with(
                json!({}),
                &[("cloud-infrastructure".to_owned(), data)].into(),
            )
        };
        assert_eq!(
            found(true),
            [
                "error /nodes: the machine `worker02` (`203.0.113.12`) of `hetzner` is no node, and would still be switched off and booted into its rescue system"
            ]
        );
        assert_eq!(found(false), Vec::<String>::new());
    }
}
