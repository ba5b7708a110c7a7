//! What a section means beyond its schema: keys that need one another, versions, addresses. Each finding points at the key to change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ztc_adapter_sdk::file_text;
use ztc_adapter_sdk::protocol::message::{Diagnostic, InputFile, Severity};

use crate::bgp;
use crate::config::{Config, Source};
use crate::gateway::{self, Gateway};
use crate::helm::values;
use crate::versions::{self, table};

/// Returns everything that is wrong or worth knowing. A file that was not handed over is not checked.
pub(crate) fn check(config: &Config, files: &BTreeMap<String, InputFile>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    version(config, &mut findings);
    chart(config, &mut findings);
    gateway_api(config, files, &mut findings);
    network(config, &mut findings);
    bgp::check(config, &mut findings);
    findings
}

fn version(config: &Config, findings: &mut Vec<Diagnostic>) {
    let version = &config.version;
    match config.source {
        Source::Templates if !table().releases.contains_key(version) => {
            let supported = table().supported().join("`, `");
            findings.push(error(
                "/version",
                format!("this adapter has no templates for Cilium `{version}`"),
                format!("use `{supported}`, or `source: helm` for any other release"),
            ));
        }
        Source::Helm if versions::numbers(version).is_none() => findings.push(error(
            "/version",
            format!("`{version}` is not a release of Cilium"),
            "write all of it, such as `v1.18.5`",
        )),
        _ => {}
    }
}

/// What a chart needs, and keys that have no effect without one.
fn chart(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.source == Source::Templates {
        let given = [
            ("chart", config.chart.is_some()),
            ("chart_sha256", config.chart_sha256.is_some()),
            ("helm_values", !config.helm_values.is_empty()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            findings.push(error(
                &format!("/{key}"),
                format!("`{key}` has no effect without `source: helm`"),
                "set `source: helm` or remove the key",
            ));
        }
        return;
    }
    for (pointer, key) in values::owned(&config.helm_values) {
        findings.push(error(
            &format!("/helm_values{pointer}"),
            format!(
                "`{}` is not set here: others rely on it",
                pointer[1..].replace('/', ".")
            ),
            format!("use `{key}`"),
        ));
    }
    let is_tested = table()
        .minor(&config.version)
        .is_some_and(|minor| minor.kubernetes.is_some());
    if versions::numbers(&config.version).is_some() && !is_tested {
        findings.push(Diagnostic {
            severity: Severity::Warning,
            pointer: "/version".into(),
            message: format!(
                "it is not known here with which versions of Kubernetes Cilium `{}` was tested",
                config.version
            ),
            help: Some("its documentation says so under Kubernetes Compatibility; compare with `kubernetes_version` of the section `talos`".into()),
        });
    }
    let resources = [
        ("/bgp_enabled", config.bgp_enabled),
        (
            "/load_balancer_cidrs",
            !config.load_balancer_cidrs.is_empty(),
        ),
    ];
    let old = versions::numbers(&config.version).is_some_and(|numbers| numbers < (1, 18));
    for (pointer, _) in resources.into_iter().filter(|(_, used)| *used && old) {
        findings.push(error(
            pointer,
            format!(
                "Cilium `{}` does not have the resources in the form that is rendered",
                config.version
            ),
            "use Cilium v1.18 or newer, or remove the key and create the resources later",
        ));
    }
}

fn gateway_api(
    config: &Config,
    files: &BTreeMap<String, InputFile>,
    findings: &mut Vec<Diagnostic>,
) {
    let paired = table()
        .minor(&config.version)
        .map(|minor| minor.gateway_api.as_str());
    match &config.gateway_api {
        Gateway::Published if paired.is_none() && versions::numbers(&config.version).is_some() => {
            findings.push(error(
                "/gateway_api",
                format!("it is not known which Gateway API goes with Cilium `{}`", config.version),
                "give the definitions that its documentation names, `gateway_api: {manifest: FILE}`, or set it to `false`",
            ));
        }
        Gateway::Copy(path) if files.contains_key(path) => {
            let checked = file_text(files, path)
                .map_err(|error| error.message)
                .and_then(|text| gateway::check_copy(path, &text, paired));
            if let Err(why) = checked {
                let release = paired.unwrap_or("the release that Cilium's documentation names");
                findings.push(error(
                    "/gateway_api/manifest",
                    why,
                    format!("take `standard-install.yaml` of the Gateway API {release}"),
                ));
            }
        }
        _ => {}
    }
}

fn network(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.bpf_masquerade && !config.kube_proxy_replacement && !config.gateway_api.is_on() {
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

fn parse_cidr(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    (length.parse::<u8>().ok()? <= bits).then_some(address)
}

pub(crate) fn error(
    pointer: &str,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Diagnostic {
    finding(Severity::Error, pointer, message.into(), help.into())
}

pub(crate) fn warning(
    pointer: &str,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Diagnostic {
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
        let findings = check(&serde_json::from_value(whole).unwrap(), &BTreeMap::new());
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
            "this adapter has no templates for Cilium `v1.17.0`",
        );
        expect(json!({"version": "v1.17.0"}), &[found]);
        let found = (
            Severity::Error,
            "/version",
            "`1.17.0` is not a release of Cilium",
        );
        expect(json!({"version": "1.17.0", "source": "helm"}), &[found]);
    }

    #[test]
    fn a_chart_can_be_any_release() {
        let unknown = |version: &str| {
            format!(
                "it is not known here with which versions of Kubernetes Cilium `{version}` was tested"
            )
        };
        let (old, new) = (unknown("v1.17.4"), unknown("v1.21.0"));
        let (old, new) = (
            (Severity::Warning, "/version", old.as_str()),
            (Severity::Warning, "/version", new.as_str()),
        );
        expect(json!({"version": "v1.18.9", "source": "helm"}), &[]);
        expect(json!({"version": "v1.17.4", "source": "helm"}), &[old]);
        expect(
            json!({"version": "v1.21.0", "source": "helm"}),
            &[
                new,
                (
                    Severity::Error,
                    "/gateway_api",
                    "it is not known which Gateway API goes with Cilium `v1.21.0`",
                ),
            ],
        );
        expect(
            json!({"version": "v1.21.0", "source": "helm", "gateway_api": {"manifest": "crds.yaml"}}),
            &[new],
        );
        expect(
            json!({"version": "v1.17.4", "source": "helm", "load_balancer_cidrs": ["198.51.100.0/28"], "helm_values": {"MTU": 1}}),
            &[
                (
                    Severity::Error,
                    "/helm_values/MTU",
                    "`MTU` is not set here: others rely on it",
                ),
                old,
                (
                    Severity::Error,
                    "/load_balancer_cidrs",
                    "Cilium `v1.17.4` does not have the resources in the form that is rendered",
                ),
            ],
        );
        expect(
            json!({"helm_values": {"debug": {}}}),
            &[(
                Severity::Error,
                "/helm_values",
                "`helm_values` has no effect without `source: helm`",
            )],
        );
    }

    #[test]
    fn sessions_are_possible() {
        let peers = json!([
            {"asn": 1}, {"asn": 1, "address": "192.0.2.1", "default_gateway": "ipv4"},
            {"asn": 1, "default_gateway": "ipv6", "auth_secret": "The Password"},
        ]);
        expect(
            json!({
                "bgp_enabled": true, "bgp_asn": 64512, "bgp_advertise": ["PodCIDR"], "bgp_peers": peers, "bgp_local_port": 179,
                "bgp_timers": {"hold": 9}, "bgp_families": ["ipv6"], "bgp_service_selector": {"a": "b"},
            }),
            &[
                (
                    Severity::Error,
                    "/bgp_local_port",
                    "port 179 needs the capability NET_BIND_SERVICE, which the agent does not have on Talos",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/0",
                    "it is not said which router this is: `address` or `default_gateway` is missing",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/1/default_gateway",
                    "a router has an `address` or is the `default_gateway`, not both",
                ),
                (
                    Severity::Error,
                    "/bgp_timers",
                    "`keep_alive` (30) is larger than `hold` (9)",
                ),
                (
                    Severity::Error,
                    "/bgp_peers/2/auth_secret",
                    "`The Password` cannot be the name of a Secret",
                ),
                (
                    Severity::Warning,
                    "/bgp_service_selector",
                    "`bgp_service_selector` has no effect: addresses of services are not announced",
                ),
                (
                    Severity::Error,
                    "/bgp_families",
                    "`ipv6` is announced, but IPv6 is off",
                ),
            ],
        );
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
                    Severity::Error,
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
