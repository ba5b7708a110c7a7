//! Why a release cannot be used on a machine, and what helps then. Pure.

use std::fmt;

use semver::Version;
use ztc_protocol::{PROTOCOL, ProtocolVersion};

use crate::plugins::index::Release;

/// Why a release cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its publisher does not want it to be installed any more, for this reason.
    TakenBack(String),
    /// It speaks no protocol that this ztc speaks.
    Protocol { theirs: String, is_newer: bool },
    /// There is no executable for this machine.
    Platform { wanted: String, published: String },
}

impl Unfit {
    /// Says why a release cannot be used on a platform. One that was asked for by its `exact` version is taken although it was taken back.
    pub(crate) fn of(release: &Release, platform: &str, exact: bool) -> Option<Self> {
        match &release.yanked {
            Some(why) if !exact => return Some(Self::TakenBack(why.clone())),
            _ => {}
        }
        let protocols = release.protocols.iter();
        let protocols: Vec<ProtocolVersion> = protocols.filter_map(|it| it.parse().ok()).collect();
        if !protocols.iter().any(|it| it.major == PROTOCOL.major) {
            return Some(Self::Protocol {
                theirs: release.protocols.join(", "),
                is_newer: protocols.iter().any(|it| it.major > PROTOCOL.major),
            });
        }
        if !release.platforms.contains_key(platform) {
            let platforms: Vec<&str> = release.platforms.keys().map(String::as_str).collect();
            return Some(Self::Platform {
                wanted: platform.to_owned(),
                published: platforms.join(", "),
            });
        }
        None
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakenBack(why) => write!(formatter, "was taken back by its publisher: {why}"),
            Self::Protocol { theirs, .. } => write!(
                formatter,
                "speaks protocol {theirs}, and this ztc speaks {PROTOCOL}"
            ),
            Self::Platform { wanted, published } => write!(
                formatter,
                "is not published for {wanted}, only for {published}"
            ),
        }
    }
}

/// Says what helps, for each kind of reason once. `other` is a version that nobody has asked for and that can be used.
pub(crate) fn help(name: &str, reasons: &[(&Version, Unfit)], other: Option<&Version>) -> String {
    let first = |kind: fn(&Unfit) -> bool| {
        let mut found = reasons.iter().filter(|(_, why)| kind(why));
        found.next().map(|(version, _)| version)
    };
    let newer = first(|why| matches!(why, Unfit::Protocol { is_newer: true, .. }));
    let older = first(|why| {
        matches!(
            why,
            Unfit::Protocol {
                is_newer: false,
                ..
            }
        )
    });
    let platform = first(|why| matches!(why, Unfit::Platform { .. }));
    let taken_back = first(|why| matches!(why, Unfit::TakenBack(_)));
    let all = [
        other.map(|version| format!("`{name}@{version}` can be used here")),
        newer.map(|version| format!("`{name}` {version} needs a newer ztc")),
        older.map(|_| format!("ask the publisher for a version that speaks protocol {PROTOCOL}")),
        platform.map(|_| "ask the publisher for a build for this machine".to_owned()),
        taken_back.map(|version| {
            format!("ask the publisher what to use instead; `{name}@{version}` takes what was taken back all the same")
        }),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reasons: &[(&str, Unfit)], other: Option<&str>, expected: &str) {
        let versions: Vec<Version> = reasons.iter().map(|it| it.0.parse().unwrap()).collect();
        let reasons: Vec<(&Version, Unfit)> = versions
            .iter()
            .zip(reasons.iter().map(|(_, why)| why.clone()))
            .collect();
        let other = other.map(|text| text.parse().unwrap());
        assert_eq!(help("bgp", &reasons, other.as_ref()), expected);
    }

    #[test]
    fn what_helps_fits_the_reason() {
        let back = || Unfit::TakenBack("loses routes".into());
        let protocol = |theirs: &str, is_newer| Unfit::Protocol {
            theirs: theirs.into(),
            is_newer,
        };
        let platform = || Unfit::Platform {
            wanted: "linux-x86_64".into(),
            published: "macos-aarch64".into(),
        };
        check(
            &[("2.0.0", back()), ("1.0.0", back())],
            None,
            "ask the publisher what to use instead; `bgp@2.0.0` takes what was taken back all the same",
        );
        check(
            &[("2.0.0", protocol("7.1", true))],
            Some("1.0.0"),
            "`bgp@1.0.0` can be used here; `bgp` 2.0.0 needs a newer ztc",
        );
        check(
            &[("2.0.0", protocol("0.9", false))],
            None,
            "ask the publisher for a version that speaks protocol 1.0",
        );
        check(
            &[
                ("3.0.0", protocol("9.0", true)),
                ("2.0.0", platform()),
                ("1.0.0", back()),
            ],
            None,
            "`bgp` 3.0.0 needs a newer ztc; ask the publisher for a build for this machine; ask the publisher what to use instead; `bgp@1.0.0` takes what was taken back all the same",
        );
    }
}
