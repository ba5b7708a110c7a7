//! `ztc init`: the wizard and its non-interactive twin.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keep the answers that platform.yaml holds and ask only for what is missing or wrong
    #[arg(long)]
    pub(crate) resume: bool,
    /// Take the answers from a YAML file of the form of platform.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<std::path::PathBuf>,
    /// Set one answer, such as `talos.cluster_name=prod` (repeatable)
    #[arg(long, value_name = "ADAPTER.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write over an existing platform.yaml
    #[arg(long)]
    pub(crate) force: bool,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc init` is not built yet"))
}
