//! What an upgrade would change, from the records of what is installed and the signed index of what is new: nothing is downloaded and neither
//! version started. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plugins::index::{Choice, Touches};
use crate::plugins::inputs::Inputs;
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
    /// What the new version may touch, and the old one may not.
    pub(crate) new_powers: Vec<Power>,
    /// What the old version may touch, and the new one may not.
    pub(crate) gone_powers: Vec<Power>,
    /// Capabilities that are provided from now on, or no more.
    pub(crate) provides: Words,
    /// Capabilities that are required from now on, or no more.
    pub(crate) requires: Words,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Side {
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) protocols: Vec<String>,
}

/// Something of the operator's that an adapter may touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Power {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// A kind of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Environment,
    Secret,
    Network,
    Tool,
}

impl Kind {
    /// What it is called before its name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Environment => "variable",
            Self::Secret => "secret",
            Self::Network => "network",
            Self::Tool => "tool",
        }
    }
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
        new_powers: powers(&new.touches, &old.touches),
        gone_powers: powers(&old.touches, &new.touches),
        provides: words(&old.provides, &new.provides),
        requires: words(&old.requires, &new.requires),
    }
}

/// What these may touch and those may not.
fn powers(these: &Touches, those: &Touches) -> Vec<Power> {
    let kinds = [
        (Kind::Environment, &these.environment, &those.environment),
        (Kind::Secret, &these.secrets, &those.secrets),
        (Kind::Network, &these.network, &those.network),
        (Kind::Tool, &these.tools, &those.tools),
    ];
    kinds
        .into_iter()
        .flat_map(|(kind, these, those)| {
            words(those, these)
                .added
                .into_iter()
                .map(move |what| Power { kind, what })
        })
        .collect()
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
    fn only_what_the_old_version_could_not_touch_is_new() {
        let touches = |environment: &[&str], network: &[&str]| Touches {
            environment: environment.iter().map(|it| (*it).to_owned()).collect(),
            network: network.iter().map(|it| (*it).to_owned()).collect(),
            ..Touches::default()
        };
        let old = touches(&["A", "B"], &["a.example:443"]);
        let new = touches(&["B"], &["a.example:443", "b.example:443"]);
        let power = |kind, what: &str| Power {
            kind,
            what: what.to_owned(),
        };
        assert_eq!(powers(&new, &old), [power(Kind::Network, "b.example:443")]);
        assert_eq!(powers(&old, &new), [power(Kind::Environment, "A")]);
    }

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
