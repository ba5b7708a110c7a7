//! What the schema cannot say about the section: one finding for each mistake, with its place, before anything is rendered or touched.

mod network;
mod nodes;
mod patches;
mod restricted;

use std::collections::BTreeMap;

use serde_json::Value;
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::capability::{CLOUD_INFRASTRUCTURE, CNI, CloudInfrastructure, Cni};
use ztc_adapter_sdk::protocol::message::Diagnostic;

use crate::cluster::{optional, tested};
use crate::config::{Config, DiskSelector};
use crate::problem::Findings;
use crate::schematic::{check_extension, check_kernel_arg};
use crate::syntax::{has_credentials, is_device, is_disk_size, is_plain_url, is_url};
use crate::versions::{Pair, table};

/// Checks a section, and the nodes against the machines where those are known already.
pub(crate) fn validate(
    config: &Config,
    capabilities: &BTreeMap<String, Value>,
) -> Result<Vec<Diagnostic>, AdapterError> {
    let infrastructure = optional::<CloudInfrastructure>(capabilities, CLOUD_INFRASTRUCTURE)?;
    let cni = optional::<Cni>(capabilities, CNI)?;
    let mut findings = Findings::default();
    versions(config, capabilities, &mut findings);
    images(config, &mut findings);
    nodes::check(config, infrastructure.as_ref(), &mut findings);
    network::check(config, cni.as_ref(), &mut findings);
    patches::check(config, &mut findings);
    Ok(findings.0)
}

fn versions(config: &Config, capabilities: &BTreeMap<String, Value>, findings: &mut Findings) {
    if findings
        .check("/version", table().check_talos(&config.version))
        .is_none()
    {
        return;
    }
    let tested = tested(capabilities);
    match table().check_pair(&config.version, &config.kubernetes_version, tested.as_ref()) {
        Pair::Good => {}
        Pair::Unproven(problem) => {
            findings.warn("/kubernetes_version", problem.message, problem.help);
        }
        Pair::Refused(problem) => {
            findings.error("/kubernetes_version", problem.message, problem.help);
        }
    }
}

fn images(config: &Config, findings: &mut Findings) {
    let factory = &config.factory_url;
    if !is_plain_url(factory) {
        let help = format!("write it as `{}`", table().factory_url);
        findings.error(
            "/factory_url",
            format!("`{factory}` is not the URL of an image factory"),
            help,
        );
    } else if factory.starts_with("http://") && !is_on_loopback(factory) {
        let message = format!(
            "images come from `{factory}` without encryption, so anybody on the way can change them"
        );
        findings.warn("/factory_url", message, "use `https://`");
    }
    disk(
        config.install_disk.as_deref(),
        config.disk_selector.as_ref(),
        "",
        findings,
    );
    schematic(
        config.schematic_id.as_deref(),
        &config.extensions,
        &config.kernel_args,
        "",
        findings,
    );
    for (index, url) in config.extra_manifests.iter().enumerate() {
        let place = format!("/extra_manifests/{index}");
        if !is_url(url) {
            let message = format!("`{url}` is not the URL of a manifest");
            findings.error(place, message, "write it as `https://host/path.yaml`");
        } else if has_credentials(url) {
            credentials(place, "`cluster.extraManifestHeaders`", findings);
        }
    }
    for (registry, mirror) in &config.registry_mirrors {
        for (index, url) in mirror.endpoints.iter().enumerate() {
            let place = format!("/registry_mirrors/{}/endpoints/{index}", escaped(registry));
            if !is_url(url) {
                findings.error(
                    place,
                    format!("`{url}` is not the URL of a registry"),
                    "write it as `https://mirror.example.com`",
                );
            } else if has_credentials(url) {
                credentials(place, "`machine.registries.config.HOST.auth`", findings);
            }
        }
    }
}

/// What stands in a URL stands in git. It is not repeated here.
fn credentials(place: String, instead: &str, findings: &mut Findings) {
    findings.error(
        place,
        "the URL has credentials in clear, and would bring them into git",
        format!("take them out, and give them by a patch of {instead} with the placeholder `ztc-secret:store/NAME`"),
    );
}

/// Checks what an image is made from, below a place.
fn schematic(
    id: Option<&str>,
    extensions: &[String],
    kernel_args: &[String],
    place: &str,
    findings: &mut Findings,
) {
    if id.is_some() && !(extensions.is_empty() && kernel_args.is_empty()) {
        findings.error(
            format!("{place}/schematic_id"),
            "the schematic says already which extensions and kernel arguments the image has",
            "give `extensions` and `kernel_args`, or `schematic_id`, and not both",
        );
    }
    for (index, name) in extensions.iter().enumerate() {
        let place = format!("{place}/extensions/{index}");
        findings.check(&place, check_extension(name));
        if extensions[..index].contains(name) {
            findings.error(
                place,
                format!("`{name}` is there twice"),
                "name each extension once",
            );
        }
    }
    for (index, argument) in kernel_args.iter().enumerate() {
        findings.check(
            format!("{place}/kernel_args/{index}"),
            check_kernel_arg(argument),
        );
    }
}

/// Checks a disk and a disk selector below a place.
fn disk(disk: Option<&str>, selector: Option<&DiskSelector>, place: &str, findings: &mut Findings) {
    if let Some(disk) = disk.filter(|disk| !is_device(disk)) {
        let help = "write it as `/dev/sda` or, better for machines with several disks, `/dev/disk/by-id/...`";
        findings.error(
            format!("{place}/install_disk"),
            format!("`{disk}` is not a disk"),
            help,
        );
    }
    let Some(selector) = selector else { return };
    if let Some(size) = selector.size.as_ref().filter(|size| !is_disk_size(size)) {
        let message = format!("`{size}` is not a size of a disk");
        findings.error(
            format!("{place}/disk_selector/size"),
            message,
            "write it as `>= 100GB` or `<= 1TB`",
        );
    }
    if serde_json::to_value(selector)
        .is_ok_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty))
    {
        let message = "the selector has no condition, so that any disk would do";
        findings.error(
            format!("{place}/disk_selector"),
            message,
            "give a condition such as `size: '>= 100GB'`",
        );
    } else if disk.is_none() {
        let message = "the selector is for Talos' own upgrades; the image is still written to the disk that the machines' provider names";
        findings.warn(
            format!("{place}/disk_selector"),
            message,
            "name the same disk in `install_disk` as well",
        );
    }
}

fn is_on_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.starts_with("127.") || rest.starts_with("localhost") || rest.starts_with("[::1]")
}

/// Writes a key as a step of a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Map, json};
    use ztc_adapter_sdk::protocol::message::Severity;

    use super::*;

    /// A section without a fault, changed at the given places.
    pub(crate) fn section(changes: Value) -> Map<String, Value> {
        let mut section = json!({
            "cluster_name": "demo",
            "cluster_endpoint": "https://203.0.113.10:6443",
            "nodes": [
                {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
                {"name": "worker01", "ip": "203.0.113.11", "role": "worker"},
            ],
        });
        let section = section.as_object_mut().unwrap();
        section.extend(changes.as_object().unwrap().clone());
        section.clone()
    }

    /// The findings as `severity pointer: message`.
    pub(crate) fn found(changes: Value) -> Vec<String> {
        found_with(changes, &BTreeMap::new())
    }

    pub(crate) fn found_with(
        changes: Value,
        capabilities: &BTreeMap<String, Value>,
    ) -> Vec<String> {
        let config = serde_json::from_value(Value::Object(section(changes))).unwrap();
        let line = |finding: Diagnostic| {
            assert!(finding.help.is_some(), "{finding:?}");
            let severity = if finding.severity == Severity::Error {
                "error"
            } else {
                "warning"
            };
            format!("{severity} {}: {}", finding.pointer, finding.message)
        };
        validate(&config, capabilities)
            .unwrap()
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn a_good_section_has_no_findings() {
        assert_eq!(found(json!({})), Vec::<String>::new());
    }

    #[test]
    fn versions_are_judged() {
        assert_eq!(
            found(json!({"version": "v1.9.1"})),
            ["error /version: Talos version `v1.9.1` is not known to this adapter"]
        );
        assert_eq!(
            found(json!({"kubernetes_version": "v1.35.0"})),
            [
                "error /kubernetes_version: Kubernetes `v1.35.0` does not run on Talos `v1.11.5`: 1.11 supports 1.29 to 1.34"
            ]
        );
        let cni = json!({
            "provider": "cilium", "manifests": "", "replaces_kube_proxy": true,
            "kubernetes": {"minimum": "v1.30", "maximum": "v1.33"},
        });
        assert_eq!(
            found_with(
                json!({"kubernetes_version": "1.34.1"}),
                &[("cni".to_owned(), cni)].into()
            ),
            [
                "warning /kubernetes_version: Kubernetes `1.34.1` runs on Talos `v1.11.5`, but `cilium` is tested with 1.30 to 1.33 only"
            ]
        );
    }

    #[test]
    fn schematics_are_judged() {
        assert_eq!(
            found(json!({
                "schematic_id": "0".repeat(64),
                "extensions": ["siderolabs/i915", "i915", "siderolabs/i915"],
                "kernel_args": ["quiet", "a b"],
            })),
            [
                "error /schematic_id: the schematic says already which extensions and kernel arguments the image has",
                "error /extensions/1: `i915` is not the name of a system extension",
                "error /extensions/2: `siderolabs/i915` is there twice",
                "error /kernel_args/1: `a b` cannot be an argument of the kernel here",
            ]
        );
    }

    #[test]
    fn images_and_disks_are_judged() {
        assert_eq!(
            found(json!({"factory_url": "http://127.0.0.1:8080"})),
            Vec::<String>::new()
        );
        assert_eq!(
            found(json!({
                "factory_url": "factory",
                "install_disk": "sda",
                "disk_selector": {"size": "lots", "bus_path": "/pci*"},
                "extra_manifests": ["https://example.com/a.yaml", "a.yaml"],
                "registry_mirrors": {"a/b": {"endpoints": ["mirror"]}},
            })),
            [
                "error /factory_url: `factory` is not the URL of an image factory",
                "error /install_disk: `sda` is not a disk",
                "error /disk_selector/size: `lots` is not a size of a disk",
                "error /extra_manifests/1: `a.yaml` is not the URL of a manifest",
                "error /registry_mirrors/a~1b/endpoints/0: `mirror` is not the URL of a registry",
            ]
        );
        assert_eq!(
            found(json!({
                "factory_url": "https://factory.example.com/a;reboot",
                "extra_manifests": ["https://me:password@example.com/a.yaml"],
                "registry_mirrors": {"docker.io": {"endpoints": ["https://me:password@mirror.example.com"]}},
            })),
            [
                "error /factory_url: `https://factory.example.com/a;reboot` is not the URL of an image factory",
                "error /extra_manifests/0: the URL has credentials in clear, and would bring them into git",
                "error /registry_mirrors/docker.io/endpoints/0: the URL has credentials in clear, and would bring them into git",
            ]
        );
        assert_eq!(
            found(json!({"factory_url": "http://factory.example.com", "disk_selector": {}})),
            [
                "warning /factory_url: images come from `http://factory.example.com` without encryption, so anybody on the way can change them",
                "error /disk_selector: the selector has no condition, so that any disk would do",
            ]
        );
    }
}
