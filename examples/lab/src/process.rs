//! The one place of the lab that starts programs.

use std::ffi::OsStr;
use std::path::PathBuf;

/// Prepares a program; it is killed when it is dropped.
pub(crate) fn program(name: impl AsRef<OsStr>) -> tokio::process::Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where the lab starts programs; it does not depend on the host"
    )]
    let mut command = tokio::process::Command::new(name);
    command.kill_on_drop(true);
    command
}

/// Finds a program on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
