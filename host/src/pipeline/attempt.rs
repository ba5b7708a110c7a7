//! One attempt at one task: bash in a process group of its own, its output streamed into the log, its end within its time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::pipeline::event::TaskFailure;
use crate::pipeline::private::Private;
use crate::pipeline::transcript::{Lines, Paper, Transcript};
use crate::process;

/// How long output may stay open behind the end of a script, when a process left its group and holds it.
const DRAIN: Duration = Duration::from_secs(2);

/// How much output is read at once: little, because a thousand stages may run at the same time.
const BUFFER: usize = 8 * 1024;

/// What running stages are asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    #[default]
    No,
    /// End: TERM, and KILL after the grace period.
    Ask,
    /// End now: KILL.
    Kill,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Exit code 0.
    Well,
    /// Anything else.
    Badly(TaskFailure),
    /// It was stopped; with what the script said about it.
    Stopped(Option<String>),
}

/// Everything that one attempt needs.
pub struct Attempt {
    /// Where it writes.
    pub paper: Paper,
    /// The program that starts bash in a session of its own; without one, bash only gets a process group.
    pub launcher: Option<PathBuf>,
    /// The script's file name and bytes.
    pub script: (String, Vec<u8>),
    /// Its arguments.
    pub args: Vec<String>,
    /// What it is told.
    pub context: Map<String, Value>,
    /// The files in its private directory, filled in.
    pub files: Vec<(String, Vec<u8>)>,
    /// Its environment, without what the private directory adds.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// How long it may take.
    pub limit: Duration,
    /// How long it may take to end when asked to.
    pub grace: Duration,
}

impl Attempt {
    /// Runs it to its end. Lines of output go to `lines` too, as far as somebody reads them.
    pub async fn run(self, mut stop: watch::Receiver<Stop>, lines: Lines) -> Ended {
        if *stop.borrow() > Stop::No {
            return Ended::Stopped(None);
        }
        let script = (self.script.0.as_str(), &self.script.1[..]);
        let private = match Private::create(script, &self.context, &self.files) {
            Ok(private) => private,
            Err(failure) => {
                return could_not_start(
                    std::iter::once(failure.message)
                        .chain(failure.details)
                        .collect(),
                );
            }
        };
        match self.start(&private) {
            Ok((child, output, guard)) => {
                let mut running = Running {
                    transcript: Transcript::new(self.paper, lines),
                    id: child.id(),
                    child,
                    guard: Some(guard),
                    private: Some(private),
                    status: None,
                    timed_out: false,
                    asked: false,
                };
                running
                    .watch(output, self.limit, self.grace, &mut stop)
                    .await;
                running.ended(self.limit)
            }
            Err(error) => could_not_start(vec![format!("failed to start `bash`: {error}")]),
        }
    }

    /// Starts bash with one pipe for both kinds of output, so that the log has them in order, and one that only ends with ztc.
    fn start(
        &self,
        private: &Private,
    ) -> std::io::Result<(Child, ChildStdout, std::io::PipeWriter)> {
        let (output, for_stdout) = std::io::pipe()?;
        let (for_guard, guard) = std::io::pipe()?;
        let mut bash = match &self.launcher {
            Some(launcher) => process::in_session(launcher, "bash"),
            None => process::program("bash"),
        };
        bash.arg(private.script())
            .args(&self.args)
            .env_clear()
            .envs(&self.environment)
            .env("BASH_ENV", private.guard())
            .env("ZTC_CONTEXT_FILE", private.context_file())
            .env("ZTC_CONTEXT_SH", private.context_shell())
            .env("ZTC_FILES_DIR", private.files())
            .env("TMPDIR", private.temporary())
            .current_dir(&self.directory)
            .stdin(for_guard)
            .stderr(for_stdout.try_clone()?)
            .stdout(for_stdout);
        let child = bash.spawn()?;
        let output = ChildStdout::from_std(std::process::ChildStdout::from(
            std::os::fd::OwnedFd::from(output),
        ))?;
        Ok((child, output, guard))
    }
}

pub(crate) fn could_not_start(reasons: Vec<String>) -> Ended {
    Ended::Badly(TaskFailure {
        status: "could not be started".into(),
        last_lines: reasons,
        ..TaskFailure::default()
    })
}

/// A script that runs.
struct Running {
    id: Option<u32>,
    child: Child,
    guard: Option<std::io::PipeWriter>,
    private: Option<Private>,
    transcript: Transcript,
    status: Option<std::io::Result<ExitStatus>>,
    timed_out: bool,
    /// Whether it was asked to end before it did.
    asked: bool,
}

impl Running {
    /// Waits for the end of the script and of its output.
    async fn watch(
        &mut self,
        mut output: ChildStdout,
        limit: Duration,
        grace: Duration,
        stop: &mut watch::Receiver<Stop>,
    ) {
        let mut buffer = vec![0; BUFFER];
        let (mut open, mut stoppable) = (true, true);
        let mut deadline = Some(Instant::now() + limit);
        let mut kill_at: Option<Instant> = None;
        while open || self.status.is_none() {
            let at = |when: Option<Instant>| async move {
                match when {
                    Some(when) => sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = output.read(&mut buffer), if open => {
                    let count = read.unwrap_or(0);
                    open = count > 0;
                    self.transcript.feed(&buffer[..count]);
                }
                status = self.child.wait(), if self.status.is_none() => {
                    self.status = Some(status);
                    self.clean();
                    (deadline, kill_at, stoppable) = (Some(Instant::now() + DRAIN), None, false);
                }
                changed = stop.changed(), if stoppable => {
                    let now = if changed.is_ok() { *stop.borrow() } else { Stop::Kill };
                    stoppable = now < Stop::Kill;
                    self.asked = true;
                    kill_at = Some(self.ask(now, grace));
                }
                () = at(deadline) => {
                    if self.status.is_some() {
                        break;
                    }
                    self.timed_out = true;
                    deadline = None;
                    kill_at = Some(self.ask(Stop::Ask, grace));
                }
                () = at(kill_at) => {
                    process::signal_group(&self.child, process::Signal::KILL);
                    kill_at = None;
                }
            }
        }
        self.transcript.finish();
    }

    /// Asks the script to end and returns when it is to be killed.
    fn ask(&self, stop: Stop, grace: Duration) -> Instant {
        match stop {
            Stop::Kill => Instant::now(),
            Stop::Ask | Stop::No => {
                process::signal_group(&self.child, process::Signal::TERM);
                Instant::now() + grace
            }
        }
    }

    /// Removes everything that the script leaves: its private directory, and processes of its group.
    fn clean(&mut self) {
        // The guard is still in the group and keeps its number.
        if let Some(id) = self.id {
            process::kill_group(id);
            tokio::spawn(process::reap_group(id));
        }
        self.guard = None;
        self.private = None;
    }

    /// Says how it ended. A script that was asked to end did not do what it should, whatever its exit code says.
    fn ended(self, limit: Duration) -> Ended {
        let status = match &self.status {
            _ if self.asked => {
                return Ended::Stopped(self.transcript.failure(String::new(), None).cause);
            }
            Some(Ok(status)) if status.success() && !self.timed_out => return Ended::Well,
            Some(Ok(status)) => Ok(status),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("its end is unknown".to_owned()),
        };
        let code = status
            .as_ref()
            .ok()
            .and_then(|status| status.code())
            .filter(|_| !self.timed_out);
        let text = match (status, code) {
            _ if self.timed_out => format!("no end after {} s", limit.as_secs()),
            (Ok(_), Some(code)) => format!("exit code {code}"),
            (Ok(status), None) => format!("killed by {}", signal(*status)),
            (Err(error), _) => error,
        };
        Ended::Badly(self.transcript.failure(text, code))
    }
}

fn signal(status: ExitStatus) -> String {
    #[cfg(unix)]
    let number = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let number: Option<i32> = None;
    number.map_or_else(|| status.to_string(), |number| format!("signal {number}"))
}
