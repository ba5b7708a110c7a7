//! BGP: what Cilium's three resources say, and what is wrong with the keys that make them.
//!
//! Nodes call their routers. They can listen too, but not on port 179: that needs a capability that the agent does not have on Talos.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::message::Diagnostic;

use crate::config::{Advertise, BgpPeer, Config, Family};
use crate::labels;
use crate::validate::{error, warning};

/// Returns what the template `bgp` is given; `null`: nothing is announced.
pub(crate) fn context(config: &Config) -> Value {
    let Some(asn) = config.bgp_asn.filter(|_| config.bgp_enabled) else {
        return Value::Null;
    };
    let mut instance = json!({"name": format!("instance-{asn}"), "localASN": asn});
    if let Some(port) = config.bgp_local_port {
        instance["localPort"] = json!(port);
    }
    instance["peers"] = config.bgp_peers.iter().enumerate().map(peer).collect();
    let mut cluster = json!({"bgpInstances": [instance]});
    if !config.bgp_node_selector.is_empty() {
        cluster["nodeSelector"] = json!({"matchLabels": config.bgp_node_selector});
    }
    let special = config.bgp_peers.iter().enumerate();
    let special = special.filter(|(_, peer)| is_special(peer));
    let common = config.bgp_peers.iter().any(|peer| !is_special(peer));
    let mut peer_configs = Vec::new();
    if common {
        peer_configs.push(json!({"name": "ztc", "spec": flow(&peer_config(config, None))}));
    }
    peer_configs.extend(special.map(|(index, peer)| {
        json!({"name": config_name(index, peer), "spec": flow(&peer_config(config, Some(peer)))})
    }));
    json!({
        "cluster": flow(&cluster),
        "peer_configs": peer_configs,
        "advertisement": flow(&advertisement(config)),
    })
}

fn flow(value: &Value) -> String {
    value.to_string()
}

/// Whether a router has settings of its own.
fn is_special(peer: &BgpPeer) -> bool {
    peer.port.is_some() || peer.multihop.is_some() || peer.auth_secret.is_some()
}

fn config_name(index: usize, peer: &BgpPeer) -> String {
    match is_special(peer) {
        true => format!("ztc-{}", index + 1),
        false => "ztc".into(),
    }
}

fn peer((index, peer): (usize, &BgpPeer)) -> Value {
    let mut value = json!({"name": peer.name(), "peerASN": peer.asn, "peerConfigRef": {"name": config_name(index, peer)}});
    match (&peer.address, peer.default_gateway) {
        (Some(address), _) => value["peerAddress"] = json!(address),
        (None, Some(family)) => {
            value["autoDiscovery"] =
                json!({"mode": "DefaultGateway", "defaultGateway": {"addressFamily": family}});
        }
        (None, None) => {}
    }
    value
}

fn peer_config(config: &Config, peer: Option<&BgpPeer>) -> Value {
    let families: Vec<Value> = config
        .families()
        .into_iter()
        .map(|family| json!({"afi": family, "safi": "unicast", "advertisements": {"matchLabels": {"announced-by": "ztc"}}}))
        .collect();
    let mut spec = json!({"families": families});
    spec["gracefulRestart"] = match config.bgp_graceful_restart_seconds {
        0 => json!({"enabled": false}),
        seconds => json!({"enabled": true, "restartTimeSeconds": seconds}),
    };
    let timers = config.bgp_timers.as_ref().map(|timers| {
        let given = [
            ("connectRetryTimeSeconds", timers.connect_retry),
            ("holdTimeSeconds", timers.hold.map(u32::from)),
            ("keepAliveTimeSeconds", timers.keep_alive.map(u32::from)),
        ];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
        Value::Object(given.collect::<Map<_, _>>())
    });
    if let Some(timers) = timers {
        spec["timers"] = timers;
    }
    if let Some(hops) = peer.and_then(|peer| peer.multihop).or(config.bgp_multihop) {
        spec["ebgpMultihop"] = json!(hops);
    }
    let secret = peer.and_then(|peer| peer.auth_secret.as_ref());
    if let Some(secret) = secret.or(config.bgp_auth_secret.as_ref()) {
        spec["authSecretRef"] = json!(secret);
    }
    if let Some(port) = peer.and_then(|peer| peer.port) {
        spec["transport"] = json!({"peerPort": port});
    }
    spec
}

fn advertisement(config: &Config) -> Value {
    let addresses: Vec<_> = config
        .bgp_advertise
        .iter()
        .filter(|kind| **kind != Advertise::PodCIDR)
        .collect();
    let mut advertisements = Vec::new();
    if !addresses.is_empty() {
        // A selector that is left out selects nothing; the second one selects all services.
        let selector = match config.bgp_service_selector.is_empty() {
            false => json!({"matchLabels": config.bgp_service_selector}),
            true => {
                json!({"matchExpressions": [{"key": "announced-by", "operator": "NotIn", "values": ["nobody"]}]})
            }
        };
        advertisements.push(json!({"advertisementType": "Service", "service": {"addresses": addresses}, "selector": selector}));
    }
    if config.bgp_advertise.contains(&Advertise::PodCIDR) {
        advertisements.push(json!({"advertisementType": "PodCIDR"}));
    }
    json!({"advertisements": advertisements})
}

/// Returns what is wrong with the keys of BGP, which part is missing, or which have no effect.
pub(crate) fn check(config: &Config, findings: &mut Vec<Diagnostic>) {
    if !config.bgp_enabled {
        return unused(config, findings);
    }
    match config.bgp_asn {
        None => findings.push(error(
            "/bgp_asn",
            "`bgp_asn` is missing, but `bgp_enabled` is true",
            "give the nodes' autonomous system number, such as `bgp_asn: 64512`",
        )),
        Some(0) => findings.push(error(
            "/bgp_asn",
            "`0` is not an autonomous system number",
            "use 1 to 4294967295",
        )),
        Some(_) => {}
    }
    if config.bgp_peers.is_empty() {
        findings.push(error(
            "/bgp_peers",
            "`bgp_peers` names no router, so that nothing is announced",
            "add one, such as `bgp_peers: [{address: 192.0.2.1, asn: 64513}]`",
        ));
    }
    if let Some(port) = config.bgp_local_port.filter(|port| *port < 1024) {
        findings.push(error(
            "/bgp_local_port",
            format!("port {port} needs the capability NET_BIND_SERVICE, which the agent does not have on Talos"),
            "leave `bgp_local_port` out, so that nodes call their routers, or use a port from 1024 on",
        ));
    }
    peers(config, findings);
    selectors(config, findings);
    session(config, findings);
    announced(config, findings);
}

fn announced(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.bgp_advertise.is_empty() {
        findings.push(error(
            "/bgp_advertise",
            "`bgp_advertise` is empty, so that nothing is announced",
            "name what is announced, such as `bgp_advertise: [LoadBalancerIP]`",
        ));
    }
    if config.bgp_advertise == [Advertise::LoadBalancerIP] && config.load_balancer_cidrs.is_empty()
    {
        findings.push(warning(
            "/load_balancer_cidrs",
            "services of type LoadBalancer get no address to announce",
            "give `load_balancer_cidrs`, or create a CiliumLoadBalancerIPPool later",
        ));
    }
    if config.bgp_advertise == [Advertise::PodCIDR] && !config.bgp_service_selector.is_empty() {
        findings.push(warning(
            "/bgp_service_selector",
            "`bgp_service_selector` has no effect: addresses of services are not announced",
            "add `LoadBalancerIP` to `bgp_advertise` or remove the key",
        ));
    }
    if config.bgp_families.contains(&Family::Ipv6) && !config.ipv6 {
        findings.push(error(
            "/bgp_families",
            "`ipv6` is announced, but IPv6 is off",
            "set `ipv6: true` or remove the family",
        ));
    }
}

fn session(config: &Config, findings: &mut Vec<Diagnostic>) {
    if let Some(timers) = &config.bgp_timers {
        let (hold, keep_alive) = (timers.hold.unwrap_or(90), timers.keep_alive.unwrap_or(30));
        if keep_alive > hold {
            findings.push(error(
                "/bgp_timers",
                format!("`keep_alive` ({keep_alive}) is larger than `hold` ({hold})"),
                "a word has to come before the session is over: use a third of `hold`",
            ));
        }
    }
    let secrets = config.bgp_peers.iter().enumerate();
    let secrets =
        secrets.map(|(index, peer)| (format!("/bgp_peers/{index}/auth_secret"), &peer.auth_secret));
    let all =
        std::iter::once(("/bgp_auth_secret".to_owned(), &config.bgp_auth_secret)).chain(secrets);
    for (pointer, secret) in all {
        if let Some(name) = secret.as_ref().filter(|name| !labels::is_object_name(name)) {
            findings.push(error(
                &pointer,
                format!("`{name}` cannot be the name of a Secret"),
                "give the name of a Secret in `kube-system`, never the password: `kubectl -n kube-system create secret generic NAME --from-file=password=FILE`",
            ));
        }
    }
}

fn selectors(config: &Config, findings: &mut Vec<Diagnostic>) {
    for (name, selector) in [
        ("bgp_node_selector", &config.bgp_node_selector),
        ("bgp_service_selector", &config.bgp_service_selector),
    ] {
        for (key, value) in selector {
            if !labels::is_key(key) || !labels::is_value(value) {
                findings.push(error(
                    &format!("/{name}/{}", labels::escape(key)),
                    format!("`{key}: {value}` is not a Kubernetes label"),
                    "use letters, digits, `-`, `_` and `.`, at most 63 of them, after an optional `domain/`",
                ));
            }
        }
    }
}

fn peers(config: &Config, findings: &mut Vec<Diagnostic>) {
    let (mut names, mut routers) = (BTreeSet::new(), BTreeSet::new());
    for (index, peer) in config.bgp_peers.iter().enumerate() {
        let pointer = format!("/bgp_peers/{index}");
        let router = router(peer, &pointer, findings);
        let listed_twice = router.clone().is_some_and(|router| !routers.insert(router));
        if listed_twice {
            let shown = router.unwrap_or_default();
            findings.push(error(
                &format!(
                    "{pointer}/{}",
                    if peer.address.is_some() {
                        "address"
                    } else {
                        "default_gateway"
                    }
                ),
                format!("the router `{shown}` is listed twice"),
                "remove one of them",
            ));
        }
        if peer.asn == 0 {
            findings.push(error(
                &format!("{pointer}/asn"),
                "`0` is not an autonomous system number",
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

/// Returns which router a peer is, in one form for each.
fn router(peer: &BgpPeer, pointer: &str, findings: &mut Vec<Diagnostic>) -> Option<String> {
    match (&peer.address, peer.default_gateway) {
        (Some(_), Some(_)) => findings.push(error(
            &format!("{pointer}/default_gateway"),
            "a router has an `address` or is the `default_gateway`, not both",
            "remove one of the keys",
        )),
        (None, None) => findings.push(error(
            pointer,
            "it is not said which router this is: `address` or `default_gateway` is missing",
            "give its address, such as `address: 192.0.2.1`, or `default_gateway: ipv4`",
        )),
        (None, Some(family)) => return Some(format!("default gateway of {}", family.word())),
        (Some(address), None) => match address.parse::<IpAddr>() {
            Ok(address) => return Some(address.to_string()),
            Err(_) => findings.push(error(
                &format!("{pointer}/address"),
                format!("`{address}` is not an IP address"),
                "write the router's address without length or port, such as `192.0.2.1`",
            )),
        },
    }
    None
}

/// Keys that have no effect are said, because the operator meant something by them.
fn unused(config: &Config, findings: &mut Vec<Diagnostic>) {
    let given = [
        ("bgp_asn", config.bgp_asn.is_some()),
        ("bgp_peers", !config.bgp_peers.is_empty()),
        ("bgp_node_selector", !config.bgp_node_selector.is_empty()),
        (
            "bgp_service_selector",
            !config.bgp_service_selector.is_empty(),
        ),
        ("bgp_families", !config.bgp_families.is_empty()),
        ("bgp_local_port", config.bgp_local_port.is_some()),
        ("bgp_timers", config.bgp_timers.is_some()),
        ("bgp_multihop", config.bgp_multihop.is_some()),
        ("bgp_auth_secret", config.bgp_auth_secret.is_some()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        findings.push(warning(
            &format!("/{key}"),
            format!("`{key}` has no effect while `bgp_enabled` is false"),
            "set `bgp_enabled: true` or remove the key",
        ));
    }
}
