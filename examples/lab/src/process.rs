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

/// Prepares a cargo that builds what a person would have built: without what `cargo run` says about the lab's own package to the lab. Build
/// scripts look at those variables (`CARGO_PKG_NAME` and the like), so with them cargo takes what is built for changed, here and at the next build.
pub(crate) fn cargo() -> tokio::process::Command {
    let mut cargo = program("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|own| name.starts_with(own))
        }) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Finds a program on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
