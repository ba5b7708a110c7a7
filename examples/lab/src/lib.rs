//! A simulated world on loopback: a cloud API, servers that are real SSH servers, an image factory, and stand-ins for `talosctl` and `kubectl`.
//!
//! Nothing here is real but the protocols. No file outside the world's directory is written, and nothing listens or connects beyond loopback.
//! The world knows nothing of ztc and its adapters: what works here is what works with the real services.

mod api;
mod applied;
mod client;
mod cloud;
mod cluster;
pub mod demo;
pub mod faults;
mod files;
mod image;
mod kube;
pub mod kubectl;
mod machine_config;
mod node;
mod objects;
mod process;
pub mod rescue;
pub mod say;
mod shell;
mod ssh;
mod state;
mod talos;
pub mod talosctl;
pub mod third_party;
mod timing;
mod wire;
mod world;

pub use world::{Info, NodeInfo, Options, World, WorldError, line};
