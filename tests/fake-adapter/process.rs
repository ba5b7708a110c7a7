//! What the fake adapter does with processes: stays, starts itself again, leaves others behind, ends itself. Never touches the protocol.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// The variable that tells the program that it has started itself again.
const AGAIN: &str = "FAKE_ADAPTER_AGAIN";

/// Writes a line to stderr.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Does nothing, for ever.
pub(crate) fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

/// Starts this program again, deaf to TERM: what a shell ignores stays ignored by what it becomes.
pub(crate) fn again_without_term(program: &str) -> Option<ExitCode> {
    if std::env::var_os(AGAIN).is_some() {
        return None;
    }
    let mut shell = command("sh");
    shell
        .args(["-c", "trap '' TERM; exec \"$0\" --ztc-adapter", program])
        .env(AGAIN, "1");
    complain(&shell.exec().to_string());
    Some(ExitCode::FAILURE)
}

/// Leaves a process behind that holds stderr open.
pub(crate) fn leave_grandchild() {
    leave("sleep", &["1000"]);
}

/// Leaves a process behind that is in no group and no session of the adapter's.
pub(crate) fn leave_session() {
    leave("setsid", &["sleep", "1000"]);
}

/// Leaves a process behind as a daemon does it: a new session, no parent, no stream.
pub(crate) fn leave_daemon() {
    let script = "setsid sh -c 'setsid sleep 1000 <&- >&- 2>&- &' &";
    leave("sh", &["-c", script]);
}

fn leave(program: &str, arguments: &[&str]) {
    let started = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    if let Err(error) = started {
        complain(&error.to_string());
    }
}

/// Becomes a process that says nothing and holds all streams but stdout.
pub(crate) fn close_stdout() -> io::Error {
    command("sleep").arg("1000").stdout(Stdio::null()).exec()
}

/// Ends this process with the signal that nothing can refuse.
pub(crate) fn kill_self() -> ! {
    let this = std::process::id().to_string();
    if let Err(error) = command("kill").args(["-KILL", &this]).status() {
        complain(&error.to_string());
    }
    stay()
}

fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter has no host to start its programs"
    )]
    Command::new(program)
}
