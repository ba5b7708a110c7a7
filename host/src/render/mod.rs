//! From a resolved platform to files: every adapter renders in the order of capabilities, what it says is checked, and everything
//! goes into the repository at once.
//!
//! ```text
//! Resolution ─► engine (validate, discover, render, scripts) ─► assemble (artifacts, pipeline, lock) ─► workspace (commit)
//! ```
//!
//! Only [`workspace`] writes.

pub mod names;
pub mod output;
pub mod workspace;

pub(crate) mod artifacts;
pub(crate) mod assemble;
pub(crate) mod bundles;
pub(crate) mod contract;
pub(crate) mod engine;
pub(crate) mod together;
pub(crate) mod trace;
