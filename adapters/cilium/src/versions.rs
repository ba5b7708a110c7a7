//! The table of releases in `versions.yaml`: what is supported, and which images, Gateway API and Kubernetes versions belong to it.
//!
//! It never decides what a release looks like: that is the templates' business.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../versions.yaml"))
        .expect("a test reads the embedded table")
});

/// Every release that can be rendered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The recommended release.
    pub(crate) default: String,
    /// What belongs to each release.
    pub(crate) releases: BTreeMap<String, Release>,
}

/// What belongs to one Cilium release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// Container images, by digest.
    pub(crate) images: Images,
    /// The Gateway API that the operator was tested with.
    pub(crate) gateway_api: GatewayRelease,
    /// The Kubernetes versions of the end-to-end tests.
    pub(crate) kubernetes: KubernetesRange,
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

/// A Gateway API release and the definitions that Cilium asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayRelease {
    /// The release, such as `v1.3.0`.
    pub(crate) version: String,
    /// Plural names in the group `gateway.networking.k8s.io`.
    pub(crate) resources: Vec<String>,
}

/// Kubernetes minors, both included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesRange {
    /// The oldest, such as `v1.30`.
    pub(crate) minimum: String,
    /// The newest.
    pub(crate) maximum: String,
}

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// Returns the embedded table.
pub(crate) fn table() -> &'static Table {
    &TABLE
}

impl Table {
    /// Lists the releases, the recommended one first and the others from new to old.
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
}

impl GatewayRelease {
    /// Names the definitions as the cluster knows them.
    pub(crate) fn definitions(&self) -> Vec<String> {
        self.resources
            .iter()
            .map(|resource| format!("{resource}.{GATEWAY_GROUP}"))
            .collect()
    }

    /// Says where the project publishes the definitions of the standard channel.
    pub(crate) fn urls(&self) -> Vec<String> {
        let base = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api";
        let version = &self.version;
        let file = |resource| {
            format!("{base}/{version}/config/crd/standard/{GATEWAY_GROUP}_{resource}.yaml")
        };
        self.resources.iter().map(file).collect()
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
            assert!(images.agent.contains(&format!(":{version}@")), "{version}");
            assert!(
                images.operator.contains(&format!(":{version}@")),
                "{version}"
            );
        }
    }

    #[test]
    fn definitions_come_from_the_paired_release() {
        let release = &table().releases["v1.18.5"].gateway_api;
        assert_eq!(
            release.definitions()[0],
            "gatewayclasses.gateway.networking.k8s.io"
        );
        assert_eq!(release.urls().len(), 5);
        assert_eq!(
            release.urls()[4],
            "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/v1.3.0/config/crd/standard/\
             gateway.networking.k8s.io_referencegrants.yaml"
        );
    }
}
