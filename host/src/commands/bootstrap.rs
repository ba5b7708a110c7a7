//! `ztc bootstrap`: the pipeline, run or resumed.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc bootstrap`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Run every stage, whatever succeeded before
    #[arg(long)]
    pub(crate) skip_cache: bool,
    /// Check everything and show the plan, but run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many stages and items run at the same time [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Run this stage and what comes after it, whatever succeeded before
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Run only this stage
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    pub(crate) only: Option<String>,
    /// Confirm destructive stages without being asked: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc bootstrap` is not built yet"))
}
