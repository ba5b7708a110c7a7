//! The versions of the Hetzner Cloud API that the adapter speaks, from `versions.yaml` beside the sources or from the newer one that the host
//! hands over. Never asks the network.

use serde::Deserialize;
use ztc_adapter_sdk::{Table, Versions as Tables};

/// What `versions.yaml` says.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    serial: u64,
    /// The versions of this adapter that the table is for; the host reads it.
    #[serde(default, rename = "adapter")]
    _adapter: Option<String>,
    /// Every version that `version` may name.
    pub(crate) supported: Vec<String>,
    /// The one that is meant where the operator names none.
    pub(crate) default: String,
}

/// The table.
pub(crate) static TABLE: Tables<Versions> = Tables::new(include_str!("../versions.yaml"));

impl Table for Versions {
    fn serial(&self) -> u64 {
        self.serial
    }

    /// What the adapter does not speak it cannot be taught by a table: a newer one may only take versions away.
    fn check(&self, own: Option<&Self>) -> Result<(), String> {
        let known = |version: &String| own.is_none_or(|own| own.supported.contains(version));
        if let Some(version) = self.supported.iter().find(|version| !known(version)) {
            return Err(format!(
                "this adapter does not speak `{version}` of the API"
            ));
        }
        match self.supported.contains(&self.default) {
            true => Ok(()),
            false => Err(format!(
                "`default` is `{}`, which is not in `supported`",
                self.default
            )),
        }
    }
}

/// Returns the versions.
pub(crate) fn versions() -> &'static Versions {
    TABLE.table()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_adapter_speaks() {
        assert_eq!(
            versions(),
            &Versions {
                serial: 1,
                _adapter: None,
                supported: vec!["v1".into()],
                default: "v1".into()
            }
        );
    }

    #[test]
    fn a_newer_table_teaches_no_other_api() {
        let refused = |text: &str| TABLE.read(text).unwrap_err();
        assert!(
            TABLE
                .read("serial: 2\nadapter: '*'\nsupported: [v1]\ndefault: v1\n")
                .is_ok()
        );
        assert_eq!(
            refused("serial: 2\nsupported: [v1, v2]\ndefault: v1\n"),
            "this adapter does not speak `v2` of the API"
        );
        assert_eq!(
            refused("serial: 2\nsupported: []\ndefault: v1\n"),
            "`default` is `v1`, which is not in `supported`"
        );
    }
}
