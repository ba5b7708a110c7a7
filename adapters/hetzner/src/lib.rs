//! The hetzner adapter of ztc: servers of Hetzner Cloud, by their public IPv4 addresses.
//!
//! It provides `cloud-infrastructure`, looks ids and architectures up in the API, and contributes the stages that boot the servers into their
//! rescue system and check the nodes' provider ids. It never creates, rebuilds or deletes a server, and writes to no disk: that is the
//! business of the operating system's adapter.
#![warn(missing_docs)]

mod api;
mod config;
mod discover;
mod endpoint;
mod facts;
#[cfg(test)]
mod fake_api;
mod inputs;
mod manifest;
mod pacing;
mod refusal;
mod render;
mod server;
mod stages;
mod validate;
mod versions;

use ztc_adapter_sdk::protocol::Manifest;
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::versions::AnyVersions;
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext};

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hetzner;

impl Adapter for Hetzner {
    fn manifest(&self) -> Manifest {
        manifest::manifest()
    }

    fn versions(&self) -> Option<&'static dyn AnyVersions> {
        Some(&versions::TABLE)
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        Ok(inputs::inputs(&params, call))
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        Ok(ValidateResult {
            diagnostics: validate::section(&params.config),
        })
    }

    fn discover(
        &self,
        params: DiscoverParams,
        call: &CallContext,
    ) -> Result<DiscoverResult, AdapterError> {
        discover::discover(&params, call)
    }

    fn render(
        &self,
        params: RenderParams,
        _call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        render::render(&params)
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        render::scripts(&params)
    }
}
