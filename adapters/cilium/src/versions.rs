//! The table in `versions.yaml`, or in the newer one that the host hands over: which releases the templates make, and which Gateway API and
//! Kubernetes versions belong to each minor.
//!
//! It never decides what a release looks like: that is the templates' or the chart's business.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ztc_adapter_sdk::Versions;
use ztc_adapter_sdk::protocol::capability::KubernetesRange;

mod check;

/// The table.
pub(crate) static TABLE: Versions<Table> = Versions::new(include_str!("../versions.yaml"));

/// Everything that is known about versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    serial: u64,
    /// The versions of this adapter that the table is for; the host reads it.
    #[serde(default, rename = "adapter")]
    _adapter: Option<String>,
    /// The recommended release.
    pub(crate) default: String,
    /// The releases that the templates make.
    pub(crate) releases: BTreeMap<String, Release>,
    /// What belongs to each minor, such as `1.18`.
    minors: BTreeMap<String, Minor>,
    /// The Gateway API's resources that an operator asks for, with the version of each.
    pub(crate) gateway_resources: BTreeMap<String, String>,
}

/// A release that the templates make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// Container images, by digest.
    pub(crate) images: Images,
}

/// What belongs to a Cilium minor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Minor {
    /// The Gateway API that the operator was tested with.
    pub(crate) gateway_api: String,
    /// The Kubernetes versions of the end-to-end tests, where they are known.
    #[serde(default)]
    pub(crate) kubernetes: Option<KubernetesRange>,
}

/// Container images, `repository:tag@sha256:digest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Images {
    /// The agent, which also brings the CNI plugin.
    pub(crate) agent: String,
    /// The operator.
    pub(crate) operator: String,
    /// The proxy for layer 7 and gateways.
    pub(crate) envoy: String,
}

/// The API group of the Gateway API.
pub(crate) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// Returns the table.
pub(crate) fn table() -> &'static Table {
    TABLE.table()
}

/// Returns major and minor of a version such as `v1.18.5`, which may have a suffix.
pub(crate) fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.strip_prefix('v')?.splitn(3, '.');
    let number = |part: Option<&str>| part?.parse::<u64>().ok();
    let numbers = (number(parts.next())?, number(parts.next())?);
    let patch = parts.next()?;
    patch
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(numbers)
}

impl Table {
    /// Lists the releases that the templates make, the recommended one first and the others from new to old.
    pub(crate) fn supported(&self) -> Vec<String> {
        let others = self
            .releases
            .keys()
            .rev()
            .filter(|version| **version != self.default);
        std::iter::once(&self.default)
            .chain(others)
            .cloned()
            .collect()
    }

    /// Returns what belongs to the minor of a version.
    pub(crate) fn minor(&self, version: &str) -> Option<&Minor> {
        let (major, minor) = numbers(version)?;
        self.minors.get(&format!("{major}.{minor}"))
    }

    /// Names the definitions that an operator asks for, as the cluster knows them.
    pub(crate) fn definitions(&self) -> Vec<String> {
        self.gateway_resources
            .keys()
            .map(|resource| format!("{resource}.{GATEWAY_GROUP}"))
            .collect()
    }

    /// Says where a release of the Gateway API publishes the definitions of the standard channel.
    pub(crate) fn urls(&self, release: &str) -> Vec<String> {
        let base = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api";
        self.gateway_resources
            .keys()
            .map(|resource| {
                format!("{base}/{release}/config/crd/standard/{GATEWAY_GROUP}_{resource}.yaml")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_complete() {
        let table = table();
        assert_eq!(table.supported(), ["v1.18.5"]);
        for (version, release) in &table.releases {
            let images = &release.images;
            for image in [&images.agent, &images.operator, &images.envoy] {
                let (_, digest) = image
                    .split_once("@sha256:")
                    .expect("images are pinned by digest");
                assert!(
                    digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "{image}"
                );
            }
            for image in [&images.agent, &images.operator] {
                assert!(image.contains(&format!(":{version}@")), "{version}");
            }
            let minor = table.minor(version).expect("its minor is in the table");
            assert!(minor.kubernetes.is_some(), "{version}");
        }
    }

    #[test]
    fn definitions_come_from_the_paired_release() {
        let table = table();
        assert_eq!(
            table.definitions()[0],
            "gatewayclasses.gateway.networking.k8s.io"
        );
        let urls = table.urls(&table.minor("v1.18.5").unwrap().gateway_api);
        assert_eq!(urls.len(), 5);
        assert_eq!(
            urls[4],
            "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/v1.3.0/config/crd/standard/\
             gateway.networking.k8s.io_referencegrants.yaml"
        );
    }

    #[test]
    fn versions_have_numbers() {
        for (version, expected) in [
            ("v1.18.5", Some((1, 18))),
            ("v1.19.0-rc.1", Some((1, 19))),
            ("1.18.5", None),
            ("v1.18", None),
            ("v1.18.x", None),
            ("latest", None),
        ] {
            assert_eq!(numbers(version), expected, "{version}");
        }
    }
}
