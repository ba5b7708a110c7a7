//! What a task's success was made from, as digests: the same again need not run, and what differs can be named. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::why::Why;

/// Digests of everything that a task is made from. Secret values, time limits and retries do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The script's bytes.
    pub script: String,
    /// The arguments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args: String,
    /// The context by key, variables filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
    /// The files by name: their bytes with placeholders, and the fingerprints of the bundles these refer to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The pipeline's variables that the script mentions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

impl Fingerprint {
    /// Returns the first difference to an earlier fingerprint, as the reason to run again.
    pub fn difference(&self, earlier: &Self) -> Option<Why> {
        let names = [
            (
                changed(&self.context, &earlier.context),
                Why::context as fn(Vec<String>) -> Why,
            ),
            (changed(&self.files, &earlier.files), Why::files),
            (changed(&self.variables, &earlier.variables), Why::variables),
        ];
        if self.script != earlier.script {
            return Some(Why::ScriptChanged);
        }
        if self.args != earlier.args {
            return Some(Why::ArgumentsChanged);
        }
        names
            .into_iter()
            .find(|(names, _)| !names.is_empty())
            .map(|(names, why)| why(names))
    }
}

/// The names whose digest differs or that only one side has.
fn changed(now: &BTreeMap<String, String>, earlier: &BTreeMap<String, String>) -> Vec<String> {
    let gone = earlier.keys().filter(|name| !now.contains_key(*name));
    let other = now
        .iter()
        .filter(|(name, digest)| earlier.get(*name) != Some(digest))
        .map(|(name, _)| name);
    let mut names: Vec<String> = other.chain(gone).cloned().collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(script: &str, context: &[(&str, &str)], files: &[(&str, &str)]) -> Fingerprint {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned()))
                .collect()
        };
        Fingerprint {
            script: script.into(),
            context: map(context),
            files: map(files),
            ..Fingerprint::default()
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let base = fingerprint("s", &[("disk", "1"), ("ip", "2")], &[("config.yaml", "3")]);
        let difference = |now: Fingerprint| now.difference(&base);
        assert_eq!(difference(base.clone()), None);
        assert_eq!(
            difference(fingerprint("t", &[], &[])),
            Some(Why::ScriptChanged)
        );
        assert_eq!(
            difference(Fingerprint {
                args: "x".into(),
                ..base.clone()
            }),
            Some(Why::ArgumentsChanged)
        );
        let context = [("disk", "9"), ("new", "1")];
        assert_eq!(
            difference(fingerprint("s", &context, &[])),
            Some(Why::context(vec!["disk".into(), "ip".into(), "new".into()]))
        );
        let context = [("disk", "1"), ("ip", "2")];
        assert_eq!(
            difference(fingerprint("s", &context, &[])),
            Some(Why::files(vec!["config.yaml".into()]))
        );
    }
}
