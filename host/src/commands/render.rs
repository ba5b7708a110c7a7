//! `ztc render`: artifacts, pipeline and lock.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc render`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment: merges platform.<ENV>.yaml over platform.yaml
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Render only this adapter and those that depend on it; the others keep what the lock says (repeatable)
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) partial: Vec<String>,
    /// Keep the workspace when the render fails
    #[arg(long)]
    pub(crate) debug: bool,
    /// Write nothing: print the differences and exit with 3 where there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Look facts up again (server ids, architectures) instead of using those of the lock
    #[arg(long)]
    pub(crate) refresh: bool,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc render` is not built yet"))
}
