//! The one place that starts programs other than adapters: stages, version queries, secret commands, git.
//!
//! Every program gets a process group of its own and no stdin. Adapters are started by `adapter::process` alone.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
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

/// The hidden first argument with which `ztc` becomes another program in a session of its own.
#[cfg(unix)]
pub const SESSION_ARGUMENT: &str = "__session";

/// Prepares a program that leads a session of its own and so has no terminal. `launcher` is `ztc`, which becomes the program. Between its
/// start and the new session signals must go to the process itself: see [`signal_group`].
#[cfg(unix)]
pub fn in_session(launcher: &Path, name: impl AsRef<OsStr>) -> tokio::process::Command {
    let mut command = program(launcher);
    command.arg(SESSION_ARGUMENT).arg(name);
    command
}

/// Is what [`in_session`] started: returns only where the program cannot be started, with the exit code of shells for that.
#[cfg(unix)]
pub fn become_program(mut arguments: impl Iterator<Item = OsString>) -> std::process::ExitCode {
    use std::os::unix::process::CommandExt;
    let Some(name) = arguments.next() else {
        return std::process::ExitCode::from(127);
    };
    // The leader of a group cannot begin a session, so it steps into its parent's group first. Where that fails there is nothing
    // better to do: the program runs in its own group all the same.
    use rustix::process::{getpgid, getppid, setpgid, setsid};
    if let Ok(group) = getpgid(getppid()) {
        let _ = setpgid(None, Some(group)).and_then(|()| setsid());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "this process becomes the program"
    )]
    let error = std::process::Command::new(&name).args(arguments).exec();
    let _ = writeln!(std::io::stderr(), "{}: {error}", name.display());
    std::process::ExitCode::from(127)
}

/// Runs a program to its end, as [`run`] does, and ends whatever it leaves in its process group, also when it is given up.
pub async fn run_group(
    mut command: tokio::process::Command,
    limit: Duration,
) -> std::io::Result<Finished> {
    struct Leader(u32);
    impl Drop for Leader {
        fn drop(&mut self) {
            kill_group(self.0);
        }
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let _leader = child.id().map(Leader);
    finished(child, limit).await
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
    finished(command.spawn()?, limit).await
}

async fn finished(child: tokio::process::Child, limit: Duration) -> std::io::Result<Finished> {
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
    if let Some(group) = child.id().and_then(group)
        && rustix::process::kill_process_group(group, signal).is_err()
    {
        // On its way into a session of its own it leads no group for a moment.
        let _ = rustix::process::kill_process(group, signal);
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

/// Takes note of the ends of processes of a group that became children of this one. The program that led the group must have ended.
#[cfg(unix)]
pub async fn reap_group(id: u32) {
    let Some(group) = group(id) else { return };
    for pause in [1, 5, 20, 100, 500, 2000] {
        loop {
            match rustix::process::waitpgid(group, rustix::process::WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[cfg(unix)]
fn group(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}

/// Raises the number of files that this process may have open, as far as the system lets it, and returns what it is now.
#[cfg(unix)]
pub fn open_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let Some(current) = now.current else {
        return u64::MAX;
    };
    let wanted = wanted.min(now.maximum.unwrap_or(u64::MAX));
    if wanted > current {
        let more = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        if setrlimit(Resource::Nofile, more).is_ok() {
            return wanted;
        }
    }
    current
}
