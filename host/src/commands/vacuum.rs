//! `ztc vacuum`: what killed runs left behind.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc vacuum`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Remove directories older than this many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub(crate) older_than: u64,
    /// Only list them
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc vacuum` is not built yet"))
}
