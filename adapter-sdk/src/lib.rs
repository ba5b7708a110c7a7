//! Write a ztc adapter in Rust: implement [`Adapter`], call [`serve`].
//!
//! This crate owns the adapter's side of the protocol (stdin, stdout, cancellation, the end of the process) and small helpers for templates
//! and schemas. It knows nothing about the host.
#![warn(missing_docs)]

mod adapter;
mod serve;
pub mod template;

pub use adapter::{Adapter, AdapterError, CallContext, from_config, script, stage_for};
pub use serve::serve;
pub use ztc_protocol as protocol;
