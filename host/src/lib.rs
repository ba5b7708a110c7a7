//! ztc: from `platform.yaml` to a running bare-metal Kubernetes cluster.
//!
//! Modules stand in the order in which data flows; a module uses only what stands before it, and `error`, `foreign`, `shell`, `regular`, `intact`, `mask`, `ui`, `paths`, `digest`, `yaml`,
//! `process`. ARCHITECTURE.md has the picture.

pub mod adapter;
mod cli;
pub mod commands;
mod conformance;
pub mod graph;
pub mod lock;
pub mod pipeline;
pub mod platform;
mod plugins;
pub mod render;
pub mod report;
pub mod resolve;
mod scaffold;
pub mod secrets;
mod session;
mod versions;
pub mod wizard;

pub mod atomic;
pub mod digest;
pub mod error;
mod foreign;
mod intact;
mod jq;
pub mod mask;
pub mod paths;
pub mod process;
pub(crate) mod regular;
mod shell;
pub mod tools;
pub mod ui;
pub mod yaml;

pub use commands::main;
