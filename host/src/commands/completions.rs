//! `ztc completions`: shell completion.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc completions` is not built yet"))
}
