//! An adapter as a process: started with a process group, an environment and a scratch directory of its own, watched, and ended with
//! everything that it has started.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::timeout;
use ztc_protocol::GROUP_VARIABLE;
use ztc_protocol::lines::LineBuffer;

use crate::adapter::grant::Grant;
use crate::adapter::keeper::{self, Leftovers};
use crate::adapter::sandbox::{self, Sandbox};
use crate::adapter::{Candidate, Source, builtin, report, verified};
use crate::error::Failure;
use crate::foreign::printable;
use crate::process;
use crate::secrets::secure_dir::SecureDir;

/// How many lines of stderr are kept, and how many bytes of each.
const LINES: usize = 40;
const LINE_BYTES: usize = 2000;

/// How long stderr is read after the end of the adapter: a process that it left behind may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// How an adapter ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// How long it had run.
    pub(crate) after: Duration,
}

/// A running adapter and its end.
pub(crate) struct Process {
    leader: Option<Leader>,
    ended: watch::Receiver<Option<Ended>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    scratch: PathBuf,
    scratch_directory: Mutex<Option<SecureDir>>,
}

/// The process that this program has started, the first of its group.
#[derive(Clone, Copy)]
enum Leader {
    /// The adapter itself, which starts no others.
    BuiltIn(Pid),
    /// The keeper of the adapter, which ends it and all that it has started.
    Keeper(Pid),
}

/// A process that was just started.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
}

/// How an adapter is started.
#[derive(Clone)]
pub(crate) struct Manner<'a> {
    pub(crate) sandbox: Option<&'a Sandbox>,
    pub(crate) leftovers: Leftovers,
}

/// Starts an adapter with what it is granted. Needs a runtime.
pub(crate) fn start(
    candidate: &Candidate,
    grant: &Grant,
    manner: &Manner<'_>,
) -> Result<Started, Failure> {
    let scratch = SecureDir::new()?;
    let mut command = program(candidate, grant, manner, scratch.path());
    command
        .current_dir(scratch.path())
        .env_clear()
        .envs(process::allowed_environment())
        .env("TMPDIR", scratch.path())
        .envs(grant.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if is_kept(candidate, grant) {
        command.env(GROUP_VARIABLE, "1");
    }
    let mut child = command
        .spawn()
        .map_err(|error| report::cannot_start(candidate, &error))?;
    let missing = || report::cannot_start(candidate, &io::Error::other("a stream is missing"));
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    Ok(Started {
        process: Process::watch(child, is_kept(candidate, grant), scratch),
        stdin,
        stdout,
    })
}

/// Prepares this program: it is the adapter, or the adapter's keeper, which starts it.
fn program(
    candidate: &Candidate,
    grant: &Grant,
    manner: &Manner<'_>,
    scratch: &Path,
) -> tokio::process::Command {
    let mut command = process::program(builtin::program());
    if is_kept(candidate, grant) {
        // A keeper that is killed ends nothing.
        command
            .kill_on_drop(false)
            .args(keeper::arguments(manner.leftovers))
            .arg(match (manner.sandbox, &candidate.sha256) {
                (None, None) => candidate.program.clone(),
                _ => builtin::program(),
            });
    }
    if let (None, Some(sha256)) = (manner.sandbox, &candidate.sha256) {
        command
            .args([verified::ARGUMENT, sha256])
            .arg(scratch)
            .arg(&candidate.program);
    }
    if let Some(sandbox) = manner.sandbox {
        command.arg(sandbox::ARGUMENT).args(sandbox.arguments(
            scratch,
            grant,
            candidate.sha256.as_deref(),
        ));
        // A built-in is this program: it need not start once more.
        if candidate.source != Source::BuiltIn {
            command.arg(&candidate.program);
        }
    }
    command.args(&candidate.arguments);
    command
}

/// Whether an adapter has a keeper: one of ztc's own needs none where it can start nothing.
fn is_kept(candidate: &Candidate, grant: &Grant) -> bool {
    candidate.source != Source::BuiltIn || !grant.programs.is_empty()
}

/// Makes this process become another program; returns only where that fails.
pub(crate) fn become_program(
    program: &OsStr,
    arguments: impl Iterator<Item = OsString>,
) -> io::Error {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is started: this process becomes the program"
    )]
    let mut command = std::process::Command::new(program);
    command.args(arguments).exec()
}

/// Starts an adapter from its keeper, as the first of a process group, with the keeper's own streams. The keeper waits for it.
pub(crate) fn start_kept(program: &[OsString]) -> io::Result<Pid> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the keeper waits for all its children itself"
    )]
    let mut command = std::process::Command::new(&program[0]);
    let child = command.args(&program[1..]).process_group(0).spawn()?;
    Ok(Pid::from_child(&child))
}

/// Refuses what was changed since it was installed, in words that people understand. The process that becomes the adapter looks again.
pub(crate) fn check(candidate: &Candidate) -> Result<(), Failure> {
    candidate.sha256.as_ref().map_or(Ok(()), |sha256| {
        verified::check(&candidate.program, sha256)
            .map_err(|error| report::cannot_start(candidate, &error))
    })
}

/// Runs an adapter's own command in the terminal, as if the operator had started it, and waits for its end.
pub(crate) fn run_in_terminal(
    candidate: &Candidate,
    arguments: &[String],
) -> Result<ExitStatus, Failure> {
    let cannot = |error: io::Error| report::cannot_start(candidate, &error);
    check(candidate)?;
    let (program, verified) = match &candidate.sha256 {
        Some(sha256) => (builtin::program(), Some((sha256, SecureDir::new()?))),
        None => (candidate.program.clone(), None),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the one program that shares the operator's terminal"
    )]
    let mut command = std::process::Command::new(program);
    // Its directory is removed when it has ended.
    if let Some((sha256, scratch)) = &verified {
        command
            .args([verified::ARGUMENT, sha256])
            .arg(scratch.path())
            .arg(&candidate.program);
    }
    command
        .args(arguments)
        .env_clear()
        .envs(process::allowed_environment());
    command.status().map_err(cannot)
}

impl Process {
    fn watch(mut child: Child, is_kept: bool, scratch: SecureDir) -> Self {
        let leader = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .map(|id| match is_kept {
                true => Leader::Keeper(id),
                false => Leader::BuiltIn(id),
            });
        let stderr = Arc::new(Mutex::default());
        let reader = child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(keep(pipe, Arc::clone(&stderr))));
        let (sender, ended) = watch::channel(None);
        let started = Instant::now();
        let said = Arc::clone(&stderr);
        tokio::spawn(async move {
            let Ok(status) = child.wait().await else {
                return;
            };
            let after = started.elapsed();
            if let Some(mut reader) = reader
                && timeout(DRAIN, &mut reader).await.is_err()
            {
                reader.abort();
            }
            let status = match leader {
                Some(Leader::Keeper(_)) => {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    keeper::status_of_adapter(status, &mut said)
                }
                _ => status,
            };
            sender.send_replace(Some(Ended { status, after }));
        });
        Self {
            leader,
            ended,
            stderr,
            scratch: scratch.path().to_owned(),
            scratch_directory: Mutex::new(Some(scratch)),
        }
    }

    /// An adapter that somebody else has started: it is not watched, not ended, and keeps its stderr.
    pub(crate) fn of_somebody_else() -> Result<Self, Failure> {
        let scratch = SecureDir::new()?;
        let (_, ended) = watch::channel(None);
        Ok(Self {
            leader: None,
            ended,
            stderr: Arc::default(),
            scratch: scratch.path().to_owned(),
            scratch_directory: Mutex::new(Some(scratch)),
        })
    }

    /// Whether this program has started it.
    pub(crate) fn is_ours(&self) -> bool {
        self.leader.is_some()
    }

    /// How it ended, where it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    /// Waits for its end, for a while.
    pub(crate) async fn end_within(&self, limit: Duration) -> Option<Ended> {
        let mut ended = self.ended.clone();
        timeout(limit, ended.wait_for(Option::is_some))
            .await
            .ok()?
            .ok()
            .and_then(|ended| *ended)
    }

    /// Asks the adapter and all that it has started to end.
    pub(crate) fn terminate(&self) {
        self.tell(|leader| match leader {
            Leader::BuiltIn(id) | Leader::Keeper(id) => kill_process_group(id, Signal::TERM),
        });
    }

    /// Ends the adapter and all that it has started.
    pub(crate) fn kill(&self) {
        self.tell(|leader| match leader {
            Leader::BuiltIn(id) => kill_process_group(id, Signal::KILL),
            Leader::Keeper(id) => kill_process(id, keeper::END),
        });
    }

    /// Ends a process that could not even end others.
    pub(crate) fn destroy(&self) {
        self.tell(|leader| match leader {
            Leader::BuiltIn(id) | Leader::Keeper(id) => kill_process_group(id, Signal::KILL),
        });
    }

    fn tell(&self, say: impl Fn(Leader) -> rustix::io::Result<()>) {
        if let Some(leader) = self.leader.filter(|_| self.ended().is_none()) {
            // It fails where nobody is left, which is what is wanted.
            let _ = say(leader);
        }
    }

    /// The last lines of its stderr.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Where it puts large content.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Removes the scratch directory.
    pub(crate) fn clean(&self) {
        drop(
            self.scratch_directory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

impl Drop for Process {
    /// No adapter outlives the program, however the program comes to its end.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads stderr to its end and keeps the last lines.
async fn keep(mut pipe: ChildStderr, kept: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = LineBuffer::new(LINE_BYTES);
    let mut chunk = vec![0; 16 * 1024];
    let add = |bytes: &[u8]| {
        let line = printable(String::from_utf8_lossy(bytes).trim_end());
        if line.is_empty() {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    };
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        lines.push(&chunk[..count]);
        while let Some(line) = lines.next_line() {
            add(&line.bytes);
        }
    }
    if let Some(line) = lines.rest() {
        add(&line.bytes);
    }
}
