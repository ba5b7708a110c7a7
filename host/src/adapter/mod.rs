//! Adapters as processes: which there are, how one is started, asked and ended.
//!
//! ```text
//! discovery ─► Candidate ─► process ─► connection ─► supervisor ─► Adapter::call
//!                             keeper       ear
//! ```
//!
//! `process` alone starts adapters; `connection` alone speaks JSON-RPC; `report` has the words for everything that goes wrong.

use std::path::PathBuf;

/// An executable that may serve as an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The adapter's name.
    pub name: String,
    /// How it was found.
    pub source: Source,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The SHA-256 of the only bytes that may run; nothing: whatever the file holds.
    pub sha256: Option<String>,
}

/// How an adapter was found, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Source {
    /// Runs already; the operator attaches to it.
    #[serde(rename = "attached")]
    Attached,
    /// Its author's own build, named by `ZTC_PLUGIN_DEV`.
    #[serde(rename = "dev")]
    Dev,
    /// Named with a path in `platform.yaml`.
    #[serde(rename = "path")]
    Explicit,
    /// Linked into this program, which runs itself again.
    #[serde(rename = "built-in")]
    BuiltIn,
    /// Installed by `ztc plugins install`.
    #[serde(rename = "installed")]
    Installed,
    /// In the user's plugin directory.
    #[serde(rename = "plugin-directory")]
    PluginDirectory,
    /// `ztc-adapter-<name>` on PATH.
    #[serde(rename = "PATH")]
    Path,
}

impl Source {
    /// Returns the word for it in files and lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Dev => "dev",
            Self::Explicit => "path",
            Self::BuiltIn => "built-in",
            Self::Installed => "installed",
            Self::PluginDirectory => "plugin-directory",
            Self::Path => "PATH",
        }
    }
}

pub(crate) mod attach;
pub(crate) mod builtin;
mod connection;
pub(crate) mod dev;
pub mod discovery;
mod ear;
pub(crate) mod grant;
pub(crate) mod keeper;
pub(crate) mod limits;
pub(crate) mod process;
pub(crate) mod record;
mod report;
pub(crate) mod sandbox;
pub mod supervisor;
pub mod text;
pub(crate) mod verified;

pub use discovery::Discovery;
pub use supervisor::{Adapter, Supervisor};

/// Runs this program as an adapter or as the keeper of one where it was started as one. `arguments` are those after the program's name.
pub(crate) fn run_as_part(
    mut arguments: impl Iterator<Item = std::ffi::OsString>,
) -> Option<std::process::ExitCode> {
    let part = arguments.next()?;
    if part == builtin::ARGUMENT {
        builtin::run(arguments)
    } else if part == sandbox::ARGUMENT {
        Some(sandbox::run(arguments))
    } else if part == verified::ARGUMENT {
        Some(verified::run(arguments))
    } else if part == keeper::ARGUMENT {
        Some(keeper::run(arguments))
    } else {
        None
    }
}
