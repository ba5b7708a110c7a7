//! Which adapters there are and which one a name means.

use std::collections::BTreeMap;

use crate::adapter::Candidate;
use crate::error::Failure;
use crate::paths::{Machine, Repository};
use crate::platform::Plugin;

/// Finds adapters.
#[derive(Clone, Debug)]
pub struct Discovery {}

impl Discovery {
    /// Looks where adapters can be. `plugins` is that of `platform.yaml`.
    pub fn new(
        _machine: &Machine,
        _repository: &Repository,
        _plugins: &BTreeMap<String, Plugin>,
    ) -> Self {
        Self {}
    }

    /// Returns the adapter that each name means, by name.
    pub fn all(&self) -> Vec<Candidate> {
        Vec::new()
    }

    /// Returns the adapter that a name means.
    pub fn find(&self, name: &str) -> Result<Candidate, Failure> {
        Err(Failure::failed(format!("no adapter `{name}`")))
    }
}
