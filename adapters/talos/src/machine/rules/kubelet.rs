//! The kubelet, and the versions of Kubernetes that images name.

use std::ops::RangeInclusive;

use super::super::at::At;
use super::super::finding::Findings;
use super::Role;

/// Fields of the kubelet's own configuration that Talos sets itself.
const PROTECTED: [&str; 13] = [
    "apiVersion",
    "authentication",
    "authorization",
    "cgroupRoot",
    "kind",
    "kubeletCgroups",
    "port",
    "protectKernelDefaults",
    "resolvConf",
    "rotateCertificates",
    "seccompDefault",
    "staticPodPath",
    "systemCgroups",
];

pub(super) fn check(kubelet: &At<'_>, findings: &mut Findings) {
    super::subnet_filters(&kubelet.walk(&["nodeIP", "validSubnets"]), findings);
    for (key, at) in kubelet.get("extraConfig").entries() {
        if PROTECTED.contains(&key) {
            let message = format!(
                "`{key}` of the kubelet's configuration belongs to Talos and cannot be changed"
            );
            at.error(findings, message, "take it out");
        }
    }
}

/// Checks the versions that images name: Talos refuses to run others.
pub(super) fn versions(
    machine: &At<'_>,
    cluster: &At<'_>,
    role: Role,
    range: &RangeInclusive<u64>,
    findings: &mut Findings,
) {
    let mut images = vec![machine.walk(&["kubelet", "image"])];
    if role == Role::ControlPlane {
        let parts = ["apiServer", "controllerManager", "scheduler"];
        images.extend(parts.map(|part| cluster.walk(&[part, "image"])));
    }
    for image in images.iter().filter(|image| image.has_text()) {
        let (lowest, highest) = (range.start(), range.end());
        let help = format!("take an image of Kubernetes 1.{lowest} to 1.{highest}");
        match version(image.text()) {
            None => {
                let message = format!("`{}` does not name a version of Kubernetes", image.text());
                image.error(
                    findings,
                    message,
                    "write it as `registry.k8s.io/name:v1.33.4`",
                );
            }
            Some((1, minor)) if range.contains(&minor) => {}
            Some((major, minor)) => {
                let message = format!("Talos 1.11 does not run Kubernetes {major}.{minor}");
                image.error(findings, message, help);
            }
        }
    }
}

/// The major and minor version after `:v`, without a digest.
fn version(image: &str) -> Option<(u64, u64)> {
    let (_, tag) = image.rsplit_once(":v")?;
    let tag = tag.split('@').next()?;
    let release = tag.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = release.split('.').map(|part| part.parse().ok()).collect();
    match numbers?.as_slice() {
        [major, minor, _] => Some((*major, *minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn images_name_versions() {
        for (image, expected) in [
            ("ghcr.io/siderolabs/kubelet:v1.33.4", Some((1, 33))),
            ("host:5000/kubelet:v1.34.0-rc.1@sha256:00", Some((1, 34))),
            ("ghcr.io/siderolabs/kubelet:latest", None),
            ("kubelet:v1.33", None),
        ] {
            assert_eq!(super::version(image), expected, "{image}");
        }
    }
}
