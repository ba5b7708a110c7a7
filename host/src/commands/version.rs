//! `ztc version`: versions of everything.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc version` is not built yet"))
}
