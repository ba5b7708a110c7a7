//! The one place that starts programs other than adapters: stages, version queries, secret commands, git.
//!
//! Every program gets a process group of its own and no stdin. Adapters are started by `adapter::process` alone.

use std::ffi::OsStr;
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
    std::env::vars()
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
