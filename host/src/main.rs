//! The program `ztc`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ztc::main()
}
