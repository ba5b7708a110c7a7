//! `ztc doctor`: this machine, checked.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc doctor` is not built yet"))
}
