//! `ztc status`: the last or the live run.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Go on showing what happens until the run ends
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc status` is not built yet"))
}
