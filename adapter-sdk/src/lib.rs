//! Write a ztc adapter in Rust: implement [`Adapter`], call [`serve`].
//!
//! This crate owns the adapter's side of the protocol (stdin, stdout, cancellation, the end of the process) and small helpers for templates
//! and schemas. It knows nothing about the host.
//!
//! A whole adapter, which says that the machines in its list are ready to be installed on:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use serde_json::json;
//! use ztc_adapter_sdk::protocol::manifest::{Manifest, Provision};
//! use ztc_adapter_sdk::protocol::message::*;
//! use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, serve};
//!
//! struct Inventory;
//!
//! impl Adapter for Inventory {
//!     fn manifest(&self) -> Manifest {
//!         Manifest {
//!             name: "inventory".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             description: "machines that exist already".into(),
//!             phase: "foundation".into(),
//!             provides: vec![Provision { capability: "example.com/inventory".into(), version: "1.0".into(), schema: Some(json!(true)) }],
//!             supported_versions: vec!["v1".into()],
//!             default_version: "v1".into(),
//!             config_schema: json!({"type": "object", "properties": {"hosts": {"type": "array", "items": {"type": "string"}}}}),
//!             ..Manifest::default()
//!         }
//!     }
//!
//!     fn get_inputs(&self, _: GetInputsParams, _: &CallContext) -> Result<GetInputsResult, AdapterError> {
//!         let hosts = InputPrompt { name: "hosts".into(), prompt: "Addresses".into(), kind: InputType::List, ..InputPrompt::default() };
//!         Ok(GetInputsResult { inputs: vec![hosts], ..GetInputsResult::default() })
//!     }
//!
//!     fn validate(&self, _: ValidateParams, _: &CallContext) -> Result<ValidateResult, AdapterError> {
//!         Ok(ValidateResult::default())
//!     }
//!
//!     fn render(&self, params: RenderParams, _: &CallContext) -> Result<RenderResult, AdapterError> {
//!         let hosts = params.config.get("hosts").cloned().unwrap_or_else(|| json!([]));
//!         Ok(RenderResult { capabilities: [("example.com/inventory".into(), hosts)].into(), ..RenderResult::default() })
//!     }
//!
//!     fn scripts(&self, _: ScriptsParams, _: &CallContext) -> Result<ScriptsResult, AdapterError> {
//!         Ok(ScriptsResult::default())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     serve(Inventory)
//! }
//! ```
//!
//! Built as `ztc-adapter-inventory` and put on PATH, `ztc plugins list` shows it.
#![warn(missing_docs)]

mod adapter;
#[cfg(feature = "certificates")]
pub mod certificates;
mod dispatch;
mod files;
mod listen;
mod outbox;
mod say;
mod serve;
mod session;
mod spill;
mod stdio;
pub mod template;
pub mod testing;
pub mod tool;
pub mod versions;

pub use adapter::{Adapter, AdapterError, CallContext, from_config, script, stage_for};
pub use files::{file_bytes, file_text};
pub use serve::{serve, serve_with};
pub use versions::{Table, Versions, manifest};
pub use ztc_protocol as protocol;
