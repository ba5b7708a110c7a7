//! What an adapter may touch of the operator's: as its manifest declares it, as its publisher has signed it, and what of one is not in the
//! other. Pure.

use serde::Serialize;
use ztc_protocol::Manifest;

use crate::plugins::index::{Release, Touches};

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

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.what)
    }
}

impl Kind {
    /// What it is called before its name.
    fn word(self) -> &'static str {
        match self {
            Self::Environment => "variable",
            Self::Secret => "secret",
            Self::Network => "network",
            Self::Tool => "tool",
        }
    }
}

/// What a manifest declares.
pub(crate) fn declared(manifest: &Manifest) -> Touches {
    let bundles = manifest.bundles.iter().map(|item| item.name.clone());
    Touches {
        environment: manifest
            .environment
            .iter()
            .map(|item| item.name.clone())
            .collect(),
        secrets: manifest
            .secrets
            .iter()
            .map(|item| item.input.clone())
            .chain(bundles)
            .collect(),
        network: manifest
            .network
            .iter()
            .map(|item| format!("{}:{}", item.host, item.port))
            .collect(),
        tools: manifest
            .tools
            .iter()
            .map(|item| item.name.clone())
            .collect(),
    }
}

/// What a manifest declares and its publisher has not signed. A release that says nothing about itself has promised nothing.
pub(crate) fn beyond(release: &Release, manifest: &Manifest) -> Vec<Power> {
    match is_described(release) {
        true => powers(&declared(manifest), &release.touches),
        false => Vec::new(),
    }
}

/// Whether somebody has asked a release who it is. Who could publish without saying would not have to say anything.
pub(crate) fn is_described(release: &Release) -> bool {
    release.inputs.is_some()
        || !release.provides.is_empty()
        || release.touches != Touches::default()
}

/// What these may touch and those may not.
pub(crate) fn powers(these: &Touches, those: &Touches) -> Vec<Power> {
    let kinds = [
        (Kind::Environment, &these.environment, &those.environment),
        (Kind::Secret, &these.secrets, &those.secrets),
        (Kind::Network, &these.network, &those.network),
        (Kind::Tool, &these.tools, &those.tools),
    ];
    kinds
        .into_iter()
        .flat_map(|(kind, these, those)| {
            let only = these.iter().filter(|what| !those.contains(what));
            only.map(move |what| Power {
                kind,
                what: what.clone(),
            })
        })
        .collect()
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
}
