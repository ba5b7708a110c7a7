//! The process between `ztc` and an adapter that may start others: `ztc __keep OPTIONS -- PROGRAM ARGUMENTS` starts the adapter and ends
//! everything that descends from it: when the adapter ends, when `ztc` asks for it, and when `ztc` is gone.
//!
//! On Linux it is the subreaper of the adapter: what leaves the process group (`setsid`) or loses its parents becomes its child, and it
//! ends only when it has none. Elsewhere it ends the adapter's process group. It reads and writes none of the adapter's streams, and
//! ends as the adapter did.

#[cfg_attr(not(target_os = "linux"), path = "keeper/elsewhere.rs")]
mod descendants;
mod heir;

pub(crate) use heir::Heir;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getppid, kill_process_group, wait};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::adapter::process;

/// The hidden first argument with which `ztc` keeps an adapter.
pub(crate) const ARGUMENT: &str = "__keep";

/// The signal with which `ztc` wants everything ended at once. TERM is passed on to the adapter's group.
pub(crate) const END: Signal = Signal::INT;

/// The exit code where what the keeper says on stderr counts instead.
const TOLD: u8 = 125;

/// What precedes the system's error number where the adapter could not be started, the number of the signal that killed it, and what it
/// left behind.
const ERROR_NUMBER: &str = "ztc: os error ";
const SIGNAL_NUMBER: &str = "ztc __keep: signal ";
const LEFT: &str = "ztc __keep: left behind ";

/// How long an adapter may take to notice that `ztc` is gone.
const GRACE: Duration = Duration::from_millis(500);

/// How long the end of its descendants may take; only what the system cannot kill takes longer.
const SWEEP: Duration = Duration::from_millis(1500);

/// How long what an adapter has started may take to end by itself before it is told as left behind.
const SETTLE: Duration = Duration::from_millis(300);

/// How often a process is looked for of whose end nobody tells.
const PAUSE: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(100);

/// What is done about processes that an adapter leaves behind, beside ending them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Nothing.
    End,
    /// They are told on stderr.
    Tell,
}

/// What a keeper does.
#[derive(Debug, PartialEq)]
struct Task {
    parent: Option<Pid>,
    leftovers: Leftovers,
    program: Vec<OsString>,
}

/// Returns the arguments with which this program keeps an adapter, up to the `--` before the adapter's program.
pub(crate) fn arguments(leftovers: Leftovers) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        ARGUMENT.into(),
        "--parent".into(),
        std::process::id().to_string().into(),
    ];
    if leftovers == Leftovers::Tell {
        arguments.push("--tell".into());
    }
    arguments.push("--".into());
    arguments
}

impl Task {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut task = Self {
            parent: None,
            leftovers: Leftovers::End,
            program: Vec::new(),
        };
        loop {
            let option = arguments.next()?;
            match option.to_str()? {
                "--parent" => {
                    let number = arguments.next()?.to_str()?.parse().ok()?;
                    task.parent = Some(Pid::from_raw(number)?);
                }
                "--tell" => task.leftovers = Leftovers::Tell,
                "--" => {
                    task.program = arguments.collect();
                    break;
                }
                _ => return None,
            }
        }
        (!task.program.is_empty()).then_some(task)
    }
}

/// Is a keeper.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(task) = Task::parse(arguments) else {
        return tell(&format!("ztc {ARGUMENT}: its arguments have another form"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(keep(task))) {
        Ok(status) => end_like(status),
        Err(error) => tell_error(&error),
    }
}

/// Says why there is no adapter.
pub(crate) fn tell_error(error: &io::Error) -> ExitCode {
    match error.raw_os_error() {
        Some(number) => tell(&format!("{ERROR_NUMBER}{number}")),
        None => tell(&format!("ztc: {error}")),
    }
}

/// Says what counts instead of the exit code. Without a stderr there is nobody to tell.
fn tell(line: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(TOLD)
}

fn end_like(status: Option<WaitStatus>) -> ExitCode {
    let code = status.and_then(WaitStatus::exit_status);
    let signal = status.and_then(WaitStatus::terminating_signal);
    match (code.and_then(|code| u8::try_from(code).ok()), signal) {
        (Some(code), _) => ExitCode::from(code),
        (None, Some(signal)) => tell(&format!("{SIGNAL_NUMBER}{signal}")),
        (None, None) => ExitCode::FAILURE,
    }
}

/// The signals that a keeper hears.
struct Signals {
    child: Stream,
    terminate: Stream,
    end: Stream,
    orphaned: Stream,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            end: signal(SignalKind::interrupt())?,
            orphaned: signal(SignalKind::hangup())?,
        })
    }
}

/// Starts the adapter and keeps it to its end. Returns how it ended.
async fn keep(task: Task) -> io::Result<Option<WaitStatus>> {
    let mut signals = Signals::listen()?;
    // What comes after this is told by a signal; what came before shows in who the parent is.
    descendants::adopt(Signal::HUP);
    let parent = task.parent;
    let orphaned = move || parent.is_some() && getppid() != parent;
    if orphaned() {
        return Ok(None);
    }
    runnable(Path::new(&task.program[0]))?;
    let adapter = process::start_kept(&task.program)?;
    let_go_of_streams()?;
    let status = until_end(adapter, &mut signals, orphaned).await;
    if task.leftovers == Leftovers::Tell && status.is_some() {
        tell_what_is_left().await;
    }
    let status = end_all(adapter, status).await;
    if let (Some(host), Ok(scratch)) = (parent, std::env::current_dir()) {
        heir::remove_after(host, &scratch);
    }
    Ok(status)
}

/// Leaves the pipes to the adapter, so that `ztc` and the adapter see each other close them.
fn let_go_of_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Waits until the adapter has ended, or everything has to. Returns how it ended, where it has.
async fn until_end(
    adapter: Pid,
    signals: &mut Signals,
    orphaned: impl Fn() -> bool,
) -> Option<WaitStatus> {
    let mut look = !descendants::TELLS_OF_PARENT;
    let mut until: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = signals.child.recv() => {
                if let Reaped { status: status @ Some(_), .. } = reap(adapter) {
                    return status;
                }
            }
            _ = signals.terminate.recv() => {
                let _ = kill_process_group(adapter, Signal::TERM);
            }
            _ = signals.end.recv() => return None,
            // The system tells of the end of the thread that started this process; the rest may live on for a while.
            _ = signals.orphaned.recv() => look = true,
            () = sleep(LOOK), if look && until.is_none() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return None,
        }
        if look && until.is_none() && orphaned() {
            until = Some(Instant::now() + GRACE);
        }
    }
}

/// What was found of children that have ended.
struct Reaped {
    /// How the adapter ended, where it has.
    status: Option<WaitStatus>,
    /// Whether no child is left.
    alone: bool,
}

/// Takes note of all children that have ended.
fn reap(adapter: Pid) -> Reaped {
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((child, ended))) if child == adapter => status = Some(ended),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => {
                return Reaped {
                    status,
                    alone: false,
                };
            }
            Err(_) => {
                return Reaped {
                    status,
                    alone: true,
                };
            }
        }
    }
}

/// Ends everything that descends from this process. A child's number stays its own until it is reaped, which only this process does, so nobody else
/// is hit; what it had started becomes a child in its turn.
async fn end_all(adapter: Pid, mut status: Option<WaitStatus>) -> Option<WaitStatus> {
    let until = Instant::now() + SWEEP;
    if !descendants::ARE_FOUND || status.is_none() {
        let _ = kill_process_group(adapter, Signal::KILL);
    }
    loop {
        let reaped = reap(adapter);
        status = status.or(reaped.status);
        if reaped.alone || Instant::now() > until {
            return status;
        }
        for child in descendants::children() {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        sleep(PAUSE).await;
    }
}

/// Tells what is still there a moment after the adapter has ended.
async fn tell_what_is_left() {
    let until = Instant::now() + SETTLE;
    let nobody = Pid::INIT;
    while !reap(nobody).alone {
        if Instant::now() > until {
            for child in descendants::children() {
                let _ = writeln!(io::stderr(), "{LEFT}{}", descendants::command_line(child));
            }
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Refuses what the kernel would not run. The C library's `exec` gives such a file to a shell instead, which then says something that
/// nobody understands.
pub(crate) fn runnable(program: &Path) -> io::Result<()> {
    // What cannot be read is left to the kernel, which says why.
    head(program).map_or(Ok(()), |head| can_run(&head))
}

/// The same by the first bytes of a file.
pub(crate) fn can_run(theirs: &[u8]) -> io::Result<()> {
    const NOT_EXECUTABLE: i32 = 8;
    let Ok(ours) = head(Path::new("/proc/self/exe")) else {
        return Ok(());
    };
    // Format and machine of an ELF file; the same as this program's own, or a script.
    let same = theirs.starts_with(b"\x7fELF") && theirs.get(18..20) == ours.get(18..20);
    match theirs.starts_with(b"#!") || same || foreign_formats() {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(NOT_EXECUTABLE)),
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether the system runs further formats, such as programs of other machines through an emulator.
fn foreign_formats() -> bool {
    std::fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|formats| formats.count() > 2)
}

/// Returns how the adapter itself ended, and takes what its keeper said out of its stderr.
pub(crate) fn status_of_adapter(status: ExitStatus, stderr: &mut VecDeque<String>) -> ExitStatus {
    let told = || {
        (status.code() == Some(i32::from(TOLD))).then_some(())?;
        let number = stderr.back()?.strip_prefix(SIGNAL_NUMBER)?;
        number.parse().ok()
    };
    match told() {
        Some(signal) => {
            stderr.pop_back();
            ExitStatus::from_raw(signal)
        }
        None => status,
    }
}

/// Returns why the adapter's program could not be started, where that is how its keeper ended.
pub(crate) fn start_error(status: Option<ExitStatus>, stderr: &[String]) -> Option<io::Error> {
    if status?.code() != Some(i32::from(TOLD)) {
        return None;
    }
    let number = stderr.last()?.strip_prefix(ERROR_NUMBER)?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

/// Returns the command lines of what an adapter left behind, where its keeper was to tell.
pub(crate) fn left_behind(stderr: &[String]) -> Vec<String> {
    let lines = stderr.iter();
    lines
        .filter_map(|line| line.strip_prefix(LEFT).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<Task> {
        Task::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_is_written_as_arguments_is_read_as_a_task() {
        let mut written = arguments(Leftovers::Tell);
        assert_eq!(written.remove(0), ARGUMENT);
        written.extend(["/opt/bgp", "--ztc-adapter"].map(OsString::from));
        let task = Task {
            parent: Some(rustix::process::getpid()),
            leftovers: Leftovers::Tell,
            program: ["/opt/bgp", "--ztc-adapter"].map(OsString::from).into(),
        };
        assert_eq!(Task::parse(written.into_iter()), Some(task));
        for wrong in [&["--parent", "0", "--", "a"][..], &["--"], &["a"], &[]] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_signal_is_told_on_stderr() {
        let told = |code: i32, line: &str| {
            let mut stderr = VecDeque::from(["before".to_owned(), line.to_owned()]);
            let status = status_of_adapter(ExitStatus::from_raw(code << 8), &mut stderr);
            (status.signal(), status.code(), stderr.len())
        };
        assert_eq!(told(125, "ztc __keep: signal 13"), (Some(13), None, 1));
        assert_eq!(told(3, "ztc __keep: signal 13"), (None, Some(3), 2));
        assert_eq!(told(125, "something else"), (None, Some(125), 2));
    }
}
