//! `ztc secrets`.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Subcommands of `ztc secrets`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// List what there is
    List,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc secrets` is not built yet"))
}
