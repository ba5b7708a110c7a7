//! What a table may say: releases of the minors that the templates make, with images from the repositories that the adapter takes them from.

use ztc_adapter_sdk::protocol::capability::KubernetesRange;
use ztc_adapter_sdk::versions::is_release;

use crate::versions::{Images, Table, numbers};

impl ztc_adapter_sdk::Table for Table {
    fn serial(&self) -> u64 {
        self.serial
    }

    fn check(&self, own: Option<&Self>) -> Result<(), String> {
        for (version, release) in &self.releases {
            if !is_release(version) {
                return Err(format!("`{version}` is not a release of Cilium"));
            }
            if self.minor(version).is_none() {
                return Err(format!("the minor of `{version}` is not in `minors`"));
            }
            release.images.check(version)?;
        }
        if !self.releases.contains_key(&self.default) {
            return Err(format!(
                "`default` is `{}`, which is not in `releases`",
                self.default
            ));
        }
        for (minor, entry) in &self.minors {
            if numbers(&format!("v{minor}.0")).is_none() {
                return Err(format!("`{minor}` is not a minor of Cilium"));
            }
            if !is_release(&entry.gateway_api) {
                return Err(format!(
                    "`{}` is not a release of the Gateway API",
                    entry.gateway_api
                ));
            }
            if let Some(range) = entry.kubernetes.as_ref().filter(|range| !is_range(range)) {
                return Err(format!(
                    "{minor} has no range of Kubernetes versions: {} to {}",
                    range.minimum, range.maximum
                ));
            }
        }
        own.map_or(Ok(()), |own| self.within(own))
    }
}

impl Table {
    /// Whether it stays within what the templates can make.
    fn within(&self, own: &Self) -> Result<(), String> {
        if self.gateway_resources != own.gateway_resources {
            return Err("other resources of the Gateway API need a newer adapter".to_owned());
        }
        for (version, release) in &self.releases {
            let template = own
                .releases
                .iter()
                .find(|(ours, _)| numbers(ours) == numbers(version));
            let Some((_, ours)) = template else {
                return Err(format!(
                    "Cilium `{version}` needs a newer adapter: there are no templates for its minor"
                ));
            };
            let images = release.images.all().into_iter().zip(ours.images.all());
            for (image, ours) in images {
                let (found, expected) = (repository(image), repository(ours));
                if found != expected {
                    return Err(format!("the image `{image}` is not one of `{expected}`"));
                }
            }
        }
        Ok(())
    }
}

impl Images {
    fn all(&self) -> [&str; 3] {
        [&self.agent, &self.operator, &self.envoy]
    }

    fn check(&self, version: &str) -> Result<(), String> {
        for image in self.all() {
            let (name, digest) = image.split_once("@sha256:").unwrap_or((image, ""));
            let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:".contains(&byte);
            if digest.len() != 64 || !digest.bytes().all(hexadecimal) || !name.bytes().all(plain) {
                return Err(format!("the image `{image}` is not pinned by its digest"));
            }
        }
        for image in [&self.agent, &self.operator] {
            if !image.contains(&format!(":{version}@")) {
                return Err(format!("the image `{image}` is not that of `{version}`"));
            }
        }
        Ok(())
    }
}

/// Returns `quay.io/cilium/cilium` of an image.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    name.rsplit_once(':')
        .map_or(name, |(repository, _)| repository)
}

fn is_range(range: &KubernetesRange) -> bool {
    let number = |text: &str| numbers(&format!("{text}.0"));
    match (number(&range.minimum), number(&range.maximum)) {
        (Some(minimum), Some(maximum)) => minimum <= maximum,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use ztc_adapter_sdk::Table as _;

    use crate::versions::TABLE;

    const OWN: &str = include_str!("../../versions.yaml");

    #[track_caller]
    fn refused(from: &str, to: &str, why: &str) {
        assert!(OWN.contains(from), "{from}");
        assert_eq!(TABLE.read(&OWN.replace(from, to)).unwrap_err(), why);
    }

    #[test]
    fn newer_releases_of_the_templates_minors_are_taken() {
        let newer = OWN
            .replace("serial: 1", "serial: 2")
            .replace("v1.18.5", "v1.18.6")
            .replace(
                "\"1.19\": {gateway_api: v1.4.0}",
                "\"1.19\": {gateway_api: v1.4.1}\n  \"1.20\": {gateway_api: v1.5.0}",
            );
        let table = TABLE.read(&newer).unwrap();
        assert_eq!(
            (table.serial(), table.supported()),
            (2, vec!["v1.18.6".to_owned()])
        );
        assert_eq!(table.minor("v1.20.3").unwrap().gateway_api, "v1.5.0");
    }

    #[test]
    fn a_table_that_reaches_further_is_refused() {
        let others = OWN.replace("v1.18.5", "v1.19.0");
        assert_eq!(
            TABLE.read(&others).unwrap_err(),
            "Cilium `v1.19.0` needs a newer adapter: there are no templates for its minor"
        );
        refused(
            "default: v1.18.5",
            "default: v1.18.9",
            "`default` is `v1.18.9`, which is not in `releases`",
        );
        refused(
            "v1.3.0",
            "v1.3.0/../x",
            "`v1.3.0/../x` is not a release of the Gateway API",
        );
        refused(
            "minimum: v1.30",
            "minimum: v1.40",
            "1.18 has no range of Kubernetes versions: v1.40 to v1.33",
        );
        refused(
            "gateways: v1",
            "gateways: v2",
            "other resources of the Gateway API need a newer adapter",
        );
        let digest = "sha256:2c92fb05962a346eaf0ce11b912ba434dc10bd54b9989e970416681f4a069628";
        refused(
            "agent: quay.io/cilium/cilium:",
            "agent: quay.io/mallory/cilium:",
            &format!(
                "the image `quay.io/mallory/cilium:v1.18.5@{digest}` is not one of `quay.io/cilium/cilium`"
            ),
        );
        refused(
            &format!("cilium:v1.18.5@{digest}"),
            "cilium:v1.18.5",
            "the image `quay.io/cilium/cilium:v1.18.5` is not pinned by its digest",
        );
        refused(
            "agent: quay.io/cilium/cilium:v1.18.5",
            "agent: quay.io/cilium/cilium:v1.18.1",
            &format!("the image `quay.io/cilium/cilium:v1.18.1@{digest}` is not that of `v1.18.5`"),
        );
        let odd = TABLE.read(&format!("{OWN}hooks: [x]\n")).unwrap_err();
        assert!(odd.starts_with("it does not have its form: "), "{odd}");
    }
}
