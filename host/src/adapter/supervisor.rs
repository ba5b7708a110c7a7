//! Starts adapters, keeps them, and ends them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use ztc_protocol::{Manifest, Method};

use crate::adapter::{Candidate, Discovery};
use crate::error::Failure;
use crate::ui::Ui;

/// All adapters of one command.
pub struct Supervisor {
    _discovery: Discovery,
    _ui: Ui,
}

impl Supervisor {
    /// Starts nothing yet.
    pub fn new(discovery: Discovery, ui: Ui) -> Self {
        Self {
            _discovery: discovery,
            _ui: ui,
        }
    }

    /// Where adapters come from.
    pub fn discovery(&self) -> &Discovery {
        &self._discovery
    }

    /// Starts an adapter and shakes hands; the second time returns the running one.
    pub async fn start(&self, name: &str) -> Result<Arc<Adapter>, Failure> {
        Err(Failure::failed(format!("no adapter `{name}`")))
    }

    /// Starts several at the same time; the first failure wins.
    pub async fn start_all(
        &self,
        _names: &[String],
    ) -> Result<BTreeMap<String, Arc<Adapter>>, Failure> {
        Ok(BTreeMap::new())
    }

    /// Ends all adapters: request, end of stdin, TERM, KILL, each with a limit.
    pub async fn shutdown(&self) {}
}

/// A running adapter.
pub struct Adapter {
    /// What was started.
    pub candidate: Candidate,
    /// What it said about itself.
    pub manifest: Manifest,
}

impl Adapter {
    /// Sends a request and waits for the answer, within the call's time limits. The `call` of the parameters is filled in.
    pub async fn call<M: Method>(&self, _params: M::Params) -> Result<M::Result, Failure> {
        Err(Failure::failed(format!("`{}` is down", self.manifest.name)))
    }

    /// Returns the SHA-256 of the executable; nothing for a built-in.
    pub fn digest(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// The directory where the adapter puts large content.
    pub fn scratch(&self) -> &std::path::Path {
        std::path::Path::new("")
    }
}
