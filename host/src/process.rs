//! The one place that starts programs other than adapters: stages, version queries, secret commands, git.
//!
//! Every program gets a process group of its own and no stdin. Adapters are started by `adapter::process` alone.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

/// Names of variables that every program may see; everything else must be declared.
pub const ALLOWED_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "LANG",
    "LANGUAGE",
    "TZ",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
];

/// Returns the operator's variables that every program may see.
pub fn allowed_environment() -> impl Iterator<Item = (String, String)> {
    // A variable that is not UTF-8 cannot be one of these.
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| ALLOWED_VARIABLES.contains(&name.as_str()) || name.starts_with("LC_"))
}

/// Prepares a program: own process group, no stdin, killed when dropped.
pub fn program(name: impl AsRef<OsStr>) -> tokio::process::Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where programs are started"
    )]
    let mut command = tokio::process::Command::new(name);
    command.stdin(Stdio::null()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    command
}

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// Whether it exited with 0.
    pub success: bool,
    /// How it ended, for people, such as `exit status: 1`.
    pub status: String,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program to its end and keeps what it printed.
pub async fn run(
    mut command: tokio::process::Command,
    limit: Duration,
) -> std::io::Result<Finished> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| {
            std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no end after {} s", limit.as_secs()),
            )
        })??;
    Ok(Finished {
        success: output.status.success(),
        status: output.status.to_string(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(unix)]
pub use rustix::process::Signal;

/// Sends a signal to a program's whole process group, while the program has not ended.
#[cfg(unix)]
pub fn signal_group(child: &tokio::process::Child, signal: Signal) {
    if let Some(group) = child.id().and_then(group) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Kills whatever a program that ended left in its process group. `id` is the program's process id, asked for before it ended. Some
/// process of the group must still live: it keeps the number from going to another group.
#[cfg(unix)]
pub fn kill_group(id: u32) {
    if let Some(group) = group(id) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

#[cfg(unix)]
fn group(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}
