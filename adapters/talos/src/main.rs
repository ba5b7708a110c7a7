//! The talos adapter as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ztc_adapter_sdk::serve(ztc_adapter_talos::TalosAdapter)
}
