//! ztc: from `platform.yaml` to a running bare-metal Kubernetes cluster.
//!
//! Modules stand in the order in which data flows; a module uses only what stands before it, and `error`, `mask`, `ui`, `paths`, `digest`, `yaml`,
//! `process`. ARCHITECTURE.md has the picture.

mod cli;
pub mod commands;
pub mod platform;
pub mod adapter;
pub mod wizard;
pub mod graph;
pub mod resolve;
pub mod render;
pub mod lock;
pub mod secrets;
pub mod pipeline;

pub mod digest;
pub mod error;
pub mod mask;
pub mod paths;
pub mod process;
pub mod ui;
pub mod yaml;

pub use commands::main;
