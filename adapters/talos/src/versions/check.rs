//! What a table may say: releases of the minors that this adapter makes configurations for, and nothing that would send machines elsewhere.

use ztc_adapter_sdk::Table;
use ztc_adapter_sdk::versions::is_release;

use crate::versions::{Pair, Release, Versions, minor, minor_text};

impl Table for Versions {
    fn serial(&self) -> u64 {
        self.serial
    }

    fn check(&self, own: Option<&Self>) -> Result<(), String> {
        self.consistent()?;
        own.map_or(Ok(()), |own| self.within(own))
    }
}

impl Versions {
    /// Whether it contradicts itself.
    fn consistent(&self) -> Result<(), String> {
        for release in &self.releases {
            for version in &release.versions {
                if !is_release(version) || minor_text(version) != release.minor {
                    return Err(format!("`{version}` is not a release of {}", release.minor));
                }
            }
            let range = &release.kubernetes;
            if minor(&range.lowest).is_none() || minor(&range.lowest) > minor(&range.highest) {
                return Err(format!(
                    "{} has no range of Kubernetes versions: {} to {}",
                    release.minor, range.lowest, range.highest
                ));
            }
        }
        if !is_release(&self.kubernetes_default) {
            return Err(format!(
                "`{}` is not a release of Kubernetes",
                self.kubernetes_default
            ));
        }
        self.check_talos(&self.default)
            .map_err(|_| format!("`default` is `{}`, which no minor has", self.default))?;
        match self.check_pair(&self.default, &self.kubernetes_default, None) {
            Pair::Good => Ok(()),
            Pair::Unproven(problem) | Pair::Refused(problem) => Err(problem.message),
        }
    }

    /// Whether it stays within what the adapter can make. A minor has its own form of configurations, and Talos itself fixes its range of
    /// Kubernetes versions; images come from where the adapter takes them.
    fn within(&self, own: &Self) -> Result<(), String> {
        if self.factory_url != own.factory_url {
            return Err(format!(
                "`factory_url` is `{}`, and images come from `{}`; an operator names another factory in platform.yaml",
                self.factory_url, own.factory_url
            ));
        }
        let known = |all: &[String], some: &[String]| some.iter().all(|one| all.contains(one));
        if !known(&own.platforms, &self.platforms)
            || !known(&own.architectures, &self.architectures)
        {
            return Err("it has platforms or architectures that need a newer adapter".to_owned());
        }
        for release in &self.releases {
            let Some(ours) = own.releases.iter().find(|ours| ours.minor == release.minor) else {
                return Err(format!("Talos {} needs a newer adapter", release.minor));
            };
            if !ours.contains(release) {
                return Err(format!(
                    "Talos {} takes Kubernetes {} to {} only",
                    ours.minor, ours.kubernetes.lowest, ours.kubernetes.highest
                ));
            }
        }
        Ok(())
    }
}

impl Release {
    /// Whether another range of Kubernetes versions lies within this one.
    fn contains(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.kubernetes, &other.kubernetes);
        minor(&ours.lowest) <= minor(&theirs.lowest)
            && minor(&theirs.highest) <= minor(&ours.highest)
    }
}

#[cfg(test)]
mod tests {
    use crate::versions::TABLE;

    const OWN: &str = include_str!("../../versions.yaml");

    #[track_caller]
    fn refused(from: &str, to: &str, why: &str) {
        assert!(OWN.contains(from), "{from}");
        assert_eq!(TABLE.read(&OWN.replace(from, to)).unwrap_err(), why);
    }

    #[test]
    fn newer_releases_of_known_minors_are_taken() {
        let newer = OWN
            .replace("serial: 1", "serial: 2\nadapter: '>=0.1'")
            .replace("[v1.11.6,", "[v1.11.7, v1.11.6,")
            .replace("default: v1.11.5", "default: v1.11.7");
        let table = TABLE.read(&newer).unwrap();
        assert_eq!(table.supported()[0], "v1.11.7");
        assert_eq!(table.default, "v1.11.7");
    }

    #[test]
    fn a_table_that_reaches_further_is_refused() {
        refused(
            "[v1.11.6,",
            "[v1.12.0,",
            "`v1.12.0` is not a release of 1.11",
        );
        refused(
            "[v1.11.6,",
            "['v1.11.6/../../x',",
            "`v1.11.6/../../x` is not a release of 1.11",
        );
        refused(
            "v1.11.0]",
            "v1.11.0, v1.11]",
            "`v1.11` is not a release of 1.11",
        );
        refused(
            "default: v1.11.5",
            "default: v1.11.9",
            "`default` is `v1.11.9`, which no minor has",
        );
        refused(
            "kubernetes_default: v1.33.4",
            "kubernetes_default: latest",
            "`latest` is not a release of Kubernetes",
        );
        refused(
            "kubernetes_default: v1.33.4",
            "kubernetes_default: v1.35.0",
            "Kubernetes `v1.35.0` does not run on Talos `v1.11.5`: 1.11 supports 1.29 to 1.34",
        );
        refused(
            "highest: \"1.34\"",
            "highest: \"1.36\"",
            "Talos 1.11 takes Kubernetes 1.29 to 1.34 only",
        );
        refused(
            "lowest: \"1.29\"",
            "lowest: \"1.40\"",
            "1.11 has no range of Kubernetes versions: 1.40 to 1.34",
        );
        refused(
            "factory_url: https://factory.talos.dev",
            "factory_url: https://factory.example.org",
            "`factory_url` is `https://factory.example.org`, and images come from `https://factory.talos.dev`; an operator names another \
             factory in platform.yaml",
        );
        refused(
            "[amd64, arm64]",
            "[amd64, s390x]",
            "it has platforms or architectures that need a newer adapter",
        );
        let more = format!(
            "{OWN}  - minor: \"1.12\"\n    versions: [v1.12.0]\n    kubernetes: {{lowest: \"1.30\", highest: \"1.35\"}}\n"
        );
        assert_eq!(
            TABLE.read(&more).err().unwrap(),
            "Talos 1.12 needs a newer adapter"
        );
        let odd = TABLE.read(&format!("{OWN}hooks: [x]\n")).unwrap_err();
        assert!(odd.starts_with("it does not have its form: "), "{odd}");
    }
}
