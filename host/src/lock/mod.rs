//! The lock, `platform/lock.json`: what was rendered, from what, by what.
//!
//! This module reads the lock and compares it with what is there; `render::workspace` writes it together with everything else.

pub mod compare;
pub(crate) mod fields;
pub mod plugins;
pub(crate) mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ztc_protocol::manifest::Facts;

use crate::digest::sha256_hex;
use crate::error::{Failure, Location};
use crate::foreign;
use crate::paths::Repository;
use plugins::LockedPlugins;

/// The version of the lock's form that this program writes; it reads this one and older ones, and refuses newer ones.
///
/// 2: `plugins`. Before, each section had the digests of its adapter's executables, which [`Lock::parse`] still understands.
pub const FORMAT: u32 = 2;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// The version of this form.
    pub format: u32,
    /// The program that rendered.
    pub ztc_version: String,
    /// The protocol that it spoke.
    pub protocol: String,
    /// The environment.
    pub environment: String,
    /// When the content last changed, RFC 3339, UTC. Not part of any digest.
    pub timestamp: String,
    /// [`crate::platform::Platform::digest`].
    pub platform_hash: String,
    /// The digest over all artifacts: path, mode and content of each.
    pub artifacts_hash: String,
    /// Every artifact by path below `platform/generated/`.
    pub artifacts: BTreeMap<String, LockedFile>,
    /// The pipeline file.
    pub pipeline: LockedPipeline,
    /// Every adapter by section.
    pub adapters: BTreeMap<String, LockedAdapter>,
    /// The adapters themselves by name: which bytes run.
    #[serde(default)]
    pub plugins: LockedPlugins,
    /// The tables of versions by adapter, not by section.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, LockedTable>,
    /// Fingerprints of generated secrets by bundle; never values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Remote files that stages fetch: address → SHA-256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<String, String>,
}

/// The table of versions that an adapter worked with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedTable {
    /// Its serial.
    pub serial: u64,
    /// Digest of its text.
    pub sha256: String,
    /// `embedded`: the adapter's own; else the name of the tree that it came from.
    pub source: String,
    /// Where it lies in that tree.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// In bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
}

/// The source of an adapter's own table.
pub const EMBEDDED: &str = "embedded";

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedFile {
    /// Digest of the content.
    pub sha256: String,
    /// `0644` or `0755`.
    pub mode: String,
}

/// The pipeline file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockedPipeline {
    /// Relative to the repository.
    pub path: String,
    /// Digest of the content.
    pub sha256: String,
}

/// One adapter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockedAdapter {
    /// The version of the technology that was chosen.
    pub version: String,
    /// The adapter's name.
    #[serde(rename = "type")]
    pub adapter: String,
    /// The version of the adapter that rendered; `plugins` has the one that is wanted now.
    pub adapter_version: String,
    /// `built-in`, `path`, `installed`, `plugin-directory`, `PATH`, `attached` or `dev`.
    pub source: String,
    /// Digest of the section in canonical JSON.
    pub config_hash: String,
    /// Digests of the files that the section names, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What `discover` found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: Facts,
}

impl Lock {
    /// Reads the lock; nothing where there is none.
    pub fn load(repository: &Repository) -> Result<Option<Self>, Failure> {
        let path = repository.lock();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text)
                .map(Some)
                .map_err(|failure| failure.at(Location::file(repository.display(&path)))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io("read", repository.display(&path), &error)),
        }
    }

    /// Reads the text of a lock.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let document: Value = serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
        if let Some((place, c)) = foreign::acting_in(&document) {
            return Err(Failure::invalid(format!(
                "the lock was edited: `{place}` has a character that is not for reading (U+{:04X})",
                u32::from(c)
            ))
            .help(RESTORE));
        }
        match document.get("format").and_then(Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => Err(Failure::invalid(format!(
                "the lock was written by a newer ztc ({}): its format is {format}, and this program reads {FORMAT}",
                document.get("ztc_version").and_then(Value::as_str).unwrap_or("of unknown version")
            ))
            .help("upgrade ztc; `ztc version` shows what is installed")),
            format => {
                let older = (format == Some(1)).then(|| plugins::of_format_1(&document));
                let lock: Self = serde_json::from_value(document).map_err(|error| {
                    Failure::invalid("the lock was edited: it does not have its form").detail(error).help(RESTORE)
                })?;
                Ok(match older {
                    Some(plugins) => Self { plugins, ..lock },
                    None => lock,
                })
            }
        }
    }

    /// Writes the text of the lock.
    pub fn text(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a lock has nothing that JSON cannot hold");
        text.push('\n');
        text
    }

    /// Whether two locks say the same; the timestamp does not count.
    pub fn same_content(&self, other: &Self) -> bool {
        let timeless = |lock: &Self| Self {
            timestamp: String::new(),
            ..lock.clone()
        };
        timeless(self) == timeless(other)
    }
}

/// What to do about a lock that cannot be read.
const RESTORE: &str =
    "put it back with `git checkout -- platform/lock.json`, or remove it and run `ztc render`";

fn not_json(text: &str, error: &serde_json::Error) -> Failure {
    match text.lines().any(|line| line.starts_with("<<<<<<< ")) {
        true => Failure::invalid("the lock holds the marks of a merge conflict")
            .help("take one side with `git checkout --ours platform/lock.json`, resolve platform.yaml, then run `ztc render`"),
        false => Failure::invalid("the lock is not JSON").detail(error).help(RESTORE),
    }
}

/// Returns the digest over all artifacts: path, mode and content of each.
pub fn artifacts_hash(artifacts: &BTreeMap<String, LockedFile>) -> String {
    let lines: String = artifacts
        .iter()
        .map(|(path, file)| format!("{path}\0{}\0{}\n", file.mode, file.sha256))
        .collect();
    sha256_hex(lines.as_bytes())
}

/// Returns the mode of a file as the lock writes it.
pub fn mode(executable: bool) -> &'static str {
    if executable { "0755" } else { "0644" }
}

/// Returns the key of this machine in [`plugins::LockedPlugin::platforms`], such as `linux-x86_64`.
pub fn machine() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, message: &str, help: &str) {
        let failure = Lock::parse(text).unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.help.as_deref()),
            (message, Some(help))
        );
    }

    #[test]
    fn a_lock_goes_both_ways_and_its_timestamp_does_not_count() {
        let lock = Lock {
            format: FORMAT,
            environment: "production".into(),
            timestamp: "then".into(),
            ..Lock::default()
        };
        let read = Lock::parse(&lock.text()).unwrap();
        assert_eq!(read, lock);
        assert!(read.same_content(&Lock {
            timestamp: "now".into(),
            ..lock.clone()
        }));
        assert!(!read.same_content(&Lock {
            environment: "staging".into(),
            ..lock
        }));
    }

    #[test]
    fn a_lock_that_cannot_be_read_says_what_to_do() {
        refused("{", "the lock is not JSON", RESTORE);
        refused(
            r#"{"format": 1}"#,
            "the lock was edited: it does not have its form",
            RESTORE,
        );
        refused(
            "{\n<<<<<<< HEAD\n",
            "the lock holds the marks of a merge conflict",
            "take one side with `git checkout --ours platform/lock.json`, resolve platform.yaml, then run `ztc render`",
        );
        refused(
            r#"{"format": 7, "ztc_version": "9.0.0", "shape": []}"#,
            "the lock was written by a newer ztc (9.0.0): its format is 7, and this program reads 2",
            "upgrade ztc; `ztc version` shows what is installed",
        );
    }
}
