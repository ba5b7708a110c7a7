//! `ztc eject`: the bootstrap without ztc.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc eject`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "debug")]
    pub(crate) output: std::path::PathBuf,
    /// Fill secrets into the files, with permissions for the owner only
    #[arg(long)]
    pub(crate) with_secrets: bool,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc eject` is not built yet"))
}
