//! `ztc plan`: what a bootstrap would do.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Plan as if nothing had run before
    #[arg(long)]
    pub(crate) skip_cache: bool,
    /// Plan from this stage on
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Plan only this stage
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    pub(crate) only: Option<String>,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc plan` is not built yet"))
}
