//! The adapter's end of the connection: reads lines, answers, notifies, ends with its host.

use std::process::ExitCode;

use crate::Adapter;

/// Runs an adapter: `fn main() -> ExitCode { ztc_adapter_sdk::serve(MyAdapter) }`.
pub fn serve(_adapter: impl Adapter) -> ExitCode {
    ExitCode::SUCCESS
}
