//! What an upgrade would change, from the records of what is installed and the signed index of what is new: nothing is downloaded and neither
//! version started. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plugins::index::Choice;
use crate::plugins::inputs::Inputs;
use crate::plugins::powers::{Power, is_described, powers};
use crate::plugins::store::Record;

/// One adapter's way from a version to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) from: Side,
    pub(crate) to: Side,
    /// In bytes.
    pub(crate) size: u64,
    /// Nothing where one of the versions does not say its inputs.
    pub(crate) inputs: Option<InputChanges>,
    /// Whether the new version was asked what it touches, when it was published.
    pub(crate) powers_known: bool,
    /// What the new version may touch, and the old one may not.
    pub(crate) new_powers: Vec<Power>,
    /// What the old version may touch, and the new one may not.
    pub(crate) gone_powers: Vec<Power>,
    /// Capabilities that are provided from now on, or no more.
    pub(crate) provides: Words,
    /// Capabilities that are required from now on, or no more.
    pub(crate) requires: Words,
    /// The newest release, where it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) newer: Option<Newer>,
    /// Why the lock goes on with the old version all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_locked: Option<String>,
}

/// A release that is newer than what is taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Newer {
    pub(crate) version: String,
    /// Why it is not taken.
    pub(crate) why: String,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Side {
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) protocols: Vec<String>,
}

/// Words that came and went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Words {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
}

/// What an upgrade changes about inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct InputChanges {
    pub(crate) added: Inputs,
    pub(crate) removed: Inputs,
    /// Before and after.
    pub(crate) changed: BTreeMap<String, (String, String)>,
}

impl InputChanges {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares the inputs of two versions.
fn compare(old: &Inputs, new: &Inputs) -> InputChanges {
    let without = |these: &Inputs, those: &Inputs| -> Inputs {
        let only = these
            .iter()
            .filter(|(place, _)| !those.contains_key(*place));
        only.map(|(place, text)| (place.clone(), text.clone()))
            .collect()
    };
    let other = old.iter().filter_map(|(place, before)| {
        let after = new.get(place).filter(|after| *after != before)?;
        Some((place.clone(), (before.clone(), after.clone())))
    });
    InputChanges {
        added: without(new, old),
        removed: without(old, new),
        changed: other.collect(),
    }
}

/// Compares what is installed with what was chosen.
pub(crate) fn step(record: &Record, source: &str, choice: &Choice) -> Step {
    let (old, new) = (&record.release, &choice.release);
    let inputs = match (&old.inputs, &new.inputs) {
        (Some(old), Some(new)) => Some(compare(old, new)),
        _ => None,
    };
    Step {
        name: choice.name.clone(),
        source: source.to_owned(),
        from: Side {
            version: record.version.to_string(),
            sha256: record
                .asset()
                .map(|asset| asset.sha256.clone())
                .unwrap_or_default(),
            protocols: old.protocols.clone(),
        },
        to: Side {
            version: choice.version.to_string(),
            sha256: choice.asset.sha256.clone(),
            protocols: new.protocols.clone(),
        },
        size: choice.asset.size,
        inputs,
        powers_known: is_described(new),
        new_powers: powers(&new.touches, &old.touches),
        gone_powers: powers(&old.touches, &new.touches),
        provides: words(&old.provides, &new.provides),
        requires: words(&old.requires, &new.requires),
        newer: None,
        not_locked: None,
    }
}

fn words(old: &[String], new: &[String]) -> Words {
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        let only = these.iter().filter(|word| !those.contains(word));
        only.cloned().collect()
    };
    Words {
        added: without(new, old),
        removed: without(old, new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        let of = |pairs: &[(&str, &str)]| -> Inputs {
            let pairs = pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            pairs.collect()
        };
        let changes = compare(
            &of(&[("gone", "string"), ("same", "string"), ("size", "integer")]),
            &of(&[
                ("new", "string"),
                ("same", "string"),
                ("size", "integer, required"),
            ]),
        );
        assert_eq!(changes.added, of(&[("new", "string")]));
        assert_eq!(changes.removed, of(&[("gone", "string")]));
        assert_eq!(
            changes.changed,
            [(
                "size".to_owned(),
                ("integer".to_owned(), "integer, required".to_owned())
            )]
            .into()
        );
        assert!(compare(&changes.added, &changes.added).is_empty());
    }
}
