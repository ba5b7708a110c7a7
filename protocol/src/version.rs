//! The protocol's own version, which is never the version of a program.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A protocol version, written `major.minor` on the wire.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ProtocolVersion {
    /// Changes when something is removed or changes its meaning.
    pub major: u32,
    /// Grows when something is added.
    pub minor: u32,
}

impl ProtocolVersion {
    /// Returns the version both sides speak: the lower minor of the highest major that both offer.
    pub fn agree(ours: &[Self], theirs: &[Self]) -> Option<Self> {
        ours.iter()
            .flat_map(|a| {
                theirs
                    .iter()
                    .filter(move |b| a.major == b.major)
                    .map(move |b| (*a).min(*b))
            })
            .max()
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text was not `major.minor`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a protocol version: expected two numbers such as `1.0`")]
pub struct ProtocolVersionError(String);

impl FromStr for ProtocolVersion {
    type Err = ProtocolVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ProtocolVersionError(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(fail)?;
        Ok(Self {
            major: major.parse().map_err(|_| fail())?,
            minor: minor.parse().map_err(|_| fail())?,
        })
    }
}

impl TryFrom<String> for ProtocolVersion {
    type Error = ProtocolVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProtocolVersion> for String {
    fn from(version: ProtocolVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<ProtocolVersion> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[track_caller]
    fn check(ours: &[&str], theirs: &[&str], agreed: Option<&str>) {
        assert_eq!(
            ProtocolVersion::agree(&versions(ours), &versions(theirs))
                .map(|v| v.to_string())
                .as_deref(),
            agreed
        );
    }

    #[test]
    fn sides_agree_on_the_lower_minor_of_the_highest_common_major() {
        check(&["1.2"], &["1.0"], Some("1.0"));
        check(&["1.2", "2.1"], &["1.9", "2.3"], Some("2.1"));
        check(&["1.2", "2.1"], &["1.1"], Some("1.1"));
        check(&["2.0"], &["1.0"], None);
        check(&[], &["1.0"], None);
    }

    #[test]
    fn a_version_is_two_numbers() {
        for wrong in ["1", "1.x", "v1.0", "1.0.0", ""] {
            assert!(wrong.parse::<ProtocolVersion>().is_err(), "{wrong}");
        }
    }
}
