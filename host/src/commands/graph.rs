//! `ztc graph`: pictures of what depends on what.

use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc graph`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// How to draw
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc graph` is not built yet"))
}

/// How to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Indented text
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as GitHub draws it
    Mermaid,
    /// A picture
    Svg,
}
