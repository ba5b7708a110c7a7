//! `ztc validate`: everything checked, nothing changed.

use std::collections::BTreeMap;

use crate::commands::Context;
use crate::error::{Exit, Failure, Finding};
use crate::lock::Lock;
use crate::pipeline::file::Pipeline;
use crate::platform::Platform;
use crate::secrets::bundle::Bundle;

/// Options of `ztc validate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
}

/// Runs the command.
pub(crate) fn run(_context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    Err(Failure::failed("`ztc validate` is not built yet"))
}

/// A repository in which everything agrees with the lock.
pub(crate) struct Verified {
    pub(crate) platform: Platform,
    pub(crate) lock: Lock,
    pub(crate) pipeline: Pipeline,
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) warnings: Vec<Finding>,
}

/// Checks everything that `ztc validate` checks; differences are a failure with [`Exit::Differences`] that names each.
pub(crate) async fn verify(
    _context: &Context,
    _environment: Option<&str>,
) -> Result<Verified, Failure> {
    Err(Failure::failed("not built yet"))
}
