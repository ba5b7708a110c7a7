//! Conversations of protocol 1.0 again, with the adapters of today: those that stand in the specification and those that were recorded.
//!
//! `ZTC_UPDATE_PROTOCOL=1 cargo test -p ztc-adapter-sdk --test replay` writes what adapters say today into the files. That is for the time
//! before 1.0 is released and for new conversations; what was recorded from a release stays as it is.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod conversation;
mod form;
mod rack;
mod recorded;
mod specification;

use std::path::PathBuf;

/// Where the specification is.
fn protocol() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../protocol")
}

/// Whether files are written instead of compared.
fn updates() -> bool {
    std::env::var_os("ZTC_UPDATE_PROTOCOL").is_some()
}
