//! The versions of the Hetzner Cloud API that the adapter speaks, from `versions.yaml` beside the sources. Never asks the network.

use std::sync::LazyLock;

use serde::Deserialize;

/// What `versions.yaml` says.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    /// Every version that `version` may name.
    pub(crate) supported: Vec<String>,
    /// The one that is meant where the operator names none.
    pub(crate) default: String,
}

static VERSIONS: LazyLock<Versions> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../versions.yaml"))
        .expect("versions.yaml is compiled in and tested")
});

/// Returns the versions.
pub(crate) fn versions() -> &'static Versions {
    &VERSIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_adapter_speaks() {
        assert_eq!(
            versions(),
            &Versions {
                supported: vec!["v1".into()],
                default: "v1".into()
            }
        );
    }
}
