//! The table of releases in `versions.yaml`, or in the newer one that the host hands over: which Talos versions there are and which Kubernetes
//! versions go with them. What a release looks like is never in the table.

use serde::Deserialize;
use ztc_adapter_sdk::Versions as Tables;

use crate::problem::Problem;

mod check;

/// The table.
pub(crate) static TABLE: Tables<Versions> = Tables::new(include_str!("../versions.yaml"));

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    serial: u64,
    /// The versions of this adapter that the table is for; the host reads it.
    #[serde(default, rename = "adapter")]
    _adapter: Option<String>,
    /// The recommended Talos version.
    pub(crate) default: String,
    /// The recommended Kubernetes version.
    pub(crate) kubernetes_default: String,
    /// The public image factory.
    pub(crate) factory_url: String,
    /// The platforms that there are images of.
    pub(crate) platforms: Vec<String>,
    /// The architectures that there are images of.
    pub(crate) architectures: Vec<String>,
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
}

/// The minors of Kubernetes that the pod network is tested with, as its adapter says; empty: it says nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Tested {
    pub(crate) minimum: String,
    pub(crate) maximum: String,
    /// The provider of the pod network.
    #[serde(skip)]
    pub(crate) provider: String,
}

/// What is to be said about a pair of versions.
#[derive(Debug, PartialEq)]
pub(crate) enum Pair {
    /// Nothing.
    Good,
    /// Talos takes it, but the pod network is not tested with it.
    Unproven(Problem),
    /// Talos refuses it.
    Refused(Problem),
}

/// Returns the table.
pub(crate) fn table() -> &'static Versions {
    TABLE.table()
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
    /// `tested`: what the pod network says, where that is known.
    pub(crate) fn check_pair(
        &self,
        talos: &str,
        kubernetes: &str,
        tested: Option<&Tested>,
    ) -> Pair {
        let Some(release) = self
            .releases
            .iter()
            .find(|release| release.versions.iter().any(|v| v == talos))
        else {
            return Pair::Good;
        };
        let range = &release.kubernetes;
        let (lowest, highest) = (&range.lowest, &range.highest);
        let Some(minor) = minor(kubernetes) else {
            return Pair::Refused(Problem::new(
                format!(
                    "Kubernetes version `{kubernetes}` is not a version such as `{}`",
                    self.kubernetes_default
                ),
                format!("write it as `{}`", self.kubernetes_default),
            ));
        };
        let both = tested.and_then(|tested| common(range, tested));
        let (from, to) = both.unwrap_or((minor_of(lowest), minor_of(highest)));
        let help = format!(
            "take a version of {}.{} to {}.{}, such as `{}`",
            from.0, from.1, to.0, to.1, self.kubernetes_default
        );
        if Some(minor) < self::minor(lowest) || Some(minor) > self::minor(highest) {
            let message = format!(
                "Kubernetes `{kubernetes}` does not run on Talos `{talos}`: {} supports {lowest} to {highest}",
                release.minor
            );
            return Pair::Refused(Problem::new(message, help));
        }
        if let Some(tested) = tested.filter(|_| both.is_some() && !(from..=to).contains(&minor)) {
            let message = format!(
                "Kubernetes `{kubernetes}` runs on Talos `{talos}`, but `{}` is tested with {} to {} only",
                tested.provider,
                bare(&tested.minimum),
                bare(&tested.maximum)
            );
            return Pair::Unproven(Problem::new(message, help));
        }
        Pair::Good
    }
}

type Minor = (u32, u32);

/// The minors that both Talos and the pod network know; nothing where the pod network says none, or where they have none in common.
fn common(range: &KubernetesRange, tested: &Tested) -> Option<(Minor, Minor)> {
    let from = minor(&tested.minimum)?.max(minor_of(&range.lowest));
    let to = minor(&tested.maximum)?.min(minor_of(&range.highest));
    (from <= to).then_some((from, to))
}

/// The minor of a text of the table.
fn minor_of(text: &str) -> Minor {
    minor(text).unwrap_or_default()
}

fn bare(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
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
            table.check_pair(&table.default, &table.kubernetes_default, None),
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
            problem.help.starts_with("take one of v1.11.6, v1.11.5,"),
            "{}",
            problem.help
        );
    }

    #[track_caller]
    fn check(talos: &str, kubernetes: &str, expected: Result<(), &str>) {
        let tested = Tested {
            minimum: "v1.30".into(),
            maximum: "v1.33".into(),
            provider: "cilium".into(),
        };
        let found = match table().check_pair(talos, kubernetes, Some(&tested)) {
            Pair::Good => Ok(()),
            Pair::Unproven(problem) => {
                Err(format!("warning: {}; {}", problem.message, problem.help))
            }
            Pair::Refused(problem) => Err(format!("error: {}; {}", problem.message, problem.help)),
        };
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn pairs_are_judged_by_minor() {
        check("v1.11.5", "v1.30.0", Ok(()));
        check("v1.11.5", "1.33.9", Ok(()));
        check(
            "v1.11.5",
            "v1.34.1",
            Err(
                "warning: Kubernetes `v1.34.1` runs on Talos `v1.11.5`, but `cilium` is tested with 1.30 to 1.33 only; take a version of 1.30 to 1.33, such as `v1.33.4`",
            ),
        );
        check(
            "v1.11.5",
            "v1.29.0",
            Err(
                "warning: Kubernetes `v1.29.0` runs on Talos `v1.11.5`, but `cilium` is tested with 1.30 to 1.33 only; take a version of 1.30 to 1.33, such as `v1.33.4`",
            ),
        );
        for (talos, kubernetes, range) in [
            ("v1.11.5", "v1.35.0", "1.11 supports 1.29 to 1.34"),
            ("v1.11.5", "v1.28.9", "1.11 supports 1.29 to 1.34"),
            ("v1.10.9", "v1.34.1", "1.10 supports 1.28 to 1.33"),
        ] {
            check(
                talos,
                kubernetes,
                Err(&format!(
                    "error: Kubernetes `{kubernetes}` does not run on Talos `{talos}`: {range}; take a version of 1.30 to 1.33, such as `v1.33.4`"
                )),
            );
        }
        assert!(matches!(
            table().check_pair("v1.11.5", "latest", None),
            Pair::Refused(_)
        ));
        assert_eq!(table().check_pair("v1.11.5", "v1.34.1", None), Pair::Good);
    }
}
