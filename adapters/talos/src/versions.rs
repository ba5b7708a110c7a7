//! The table of releases in `versions.yaml`: which Talos versions there are and which Kubernetes versions go with them.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::problem::Problem;

static TABLE: LazyLock<Versions> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../versions.yaml"))
        .expect("the table is part of the program and a test reads it")
});

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    /// The recommended Talos version.
    pub(crate) default: String,
    /// The recommended Kubernetes version.
    pub(crate) kubernetes_default: String,
    /// The public image factory.
    pub(crate) factory_url: String,
    /// The schematic of the image without extensions.
    pub(crate) schematic: String,
    releases: Vec<Release>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    minor: String,
    versions: Vec<String>,
    kubernetes: KubernetesRange,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KubernetesRange {
    lowest: String,
    highest: String,
    proven: String,
}

/// What is to be said about a pair of versions.
#[derive(Debug, PartialEq)]
pub(crate) enum Pair {
    /// Nothing.
    Good,
    /// It works as far as is known, but not everything is tested with it.
    Unproven(Problem),
    /// Talos refuses it.
    Refused(Problem),
}

/// Returns the table.
pub(crate) fn table() -> &'static Versions {
    &TABLE
}

impl Versions {
    /// Lists the Talos versions, newest first.
    pub(crate) fn supported(&self) -> Vec<String> {
        self.releases
            .iter()
            .flat_map(|release| release.versions.iter().cloned())
            .collect()
    }

    /// Checks that a Talos version is in the table.
    pub(crate) fn check_talos(&self, version: &str) -> Result<(), Problem> {
        if self
            .releases
            .iter()
            .any(|release| release.versions.iter().any(|known| known == version))
        {
            return Ok(());
        }
        Err(Problem::new(
            format!("Talos version `{version}` is not known to this adapter"),
            format!(
                "take one of {}; `{}` is recommended",
                self.supported().join(", "),
                self.default
            ),
        ))
    }

    /// Checks a Kubernetes version against a Talos version. A Talos version that is not in the table is not judged here.
    pub(crate) fn check_pair(&self, talos: &str, kubernetes: &str) -> Pair {
        let Some(release) = self
            .releases
            .iter()
            .find(|release| release.versions.iter().any(|v| v == talos))
        else {
            return Pair::Good;
        };
        let range = &release.kubernetes;
        let (lowest, highest, proven) = (&range.lowest, &range.highest, &range.proven);
        let Some(minor) = minor(kubernetes) else {
            return Pair::Refused(Problem::new(
                format!(
                    "Kubernetes version `{kubernetes}` is not a version such as `{}`",
                    self.kubernetes_default
                ),
                format!("write it as `{}`", self.kubernetes_default),
            ));
        };
        let help = format!(
            "take a version of {lowest} to {proven}, such as `{}`",
            self.kubernetes_default
        );
        if Some(minor) < self::minor(lowest) || Some(minor) > self::minor(highest) {
            let message = format!(
                "Kubernetes `{kubernetes}` does not run on Talos `{talos}`: {} supports {lowest} to {highest}",
                release.minor
            );
            return Pair::Refused(Problem::new(message, help));
        }
        if Some(minor) > self::minor(proven) {
            let message = format!(
                "Kubernetes `{kubernetes}` runs on Talos `{talos}`, but pod networks are tested with it only up to {proven}"
            );
            return Pair::Unproven(Problem::new(message, help));
        }
        Pair::Good
    }
}

/// Returns a version with its leading `v`, whether it was written with one or not.
pub(crate) fn with_v(version: &str) -> String {
    format!("v{}", version.strip_prefix('v').unwrap_or(version))
}

/// Returns `1.11` of `v1.11.5`.
pub(crate) fn minor_text(version: &str) -> String {
    minor(version).map_or_else(String::new, |(major, minor)| format!("{major}.{minor}"))
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let table = table();
        assert_eq!(table.check_talos(&table.default), Ok(()));
        assert_eq!(
            table.check_pair(&table.default, &table.kubernetes_default),
            Pair::Good
        );
        for release in &table.releases {
            for version in &release.versions {
                assert_eq!(minor_text(version), release.minor, "{version}");
            }
        }
    }

    #[test]
    fn versions_outside_of_the_table_are_refused_with_the_list() {
        let problem = table().check_talos("v1.9.0").unwrap_err();
        assert_eq!(
            problem.message,
            "Talos version `v1.9.0` is not known to this adapter"
        );
        assert!(
            problem.help.starts_with("take one of v1.11.5, v1.11.4,"),
            "{}",
            problem.help
        );
    }

    #[test]
    fn pairs_are_judged_by_minor() {
        let refused =
            |kubernetes| matches!(table().check_pair("v1.11.5", kubernetes), Pair::Refused(_));
        assert!(refused("v1.28.9"));
        assert!(refused("v1.35.0"));
        assert!(refused("latest"));
        assert_eq!(table().check_pair("v1.11.5", "v1.29.0"), Pair::Good);
        assert!(matches!(
            table().check_pair("v1.11.5", "v1.34.1"),
            Pair::Unproven(_)
        ));
        assert!(matches!(
            table().check_pair("v1.10.7", "v1.34.1"),
            Pair::Refused(_)
        ));
    }
}
