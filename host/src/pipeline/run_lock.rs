//! One run at a time in a repository and environment: `.zerotouch-cache/run-<env>.lock`, held for as long as ztc lives.
//!
//! The system lets go of the lock when its holder dies, however that happens; what the file says is only for people.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::{Exit, Failure};
use crate::paths::Repository;
use crate::pipeline::files;
use crate::pipeline::journal;
use crate::pipeline::state::RunState;

/// How often and how far apart the lock is tried: `ztc status` holds it for a moment when it looks.
const TRIES: (u32, Duration) = (10, Duration::from_millis(20));

/// How many running tasks a refusal names.
const SHOWN: usize = 5;

/// Who holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// Which start of the machine it was; empty where the system does not say.
    #[serde(default)]
    pub boot: String,
    /// When the process began, in ticks since that start: with it a number that was given again is another process.
    #[serde(default)]
    pub started: String,
    /// Where it can be talked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

impl Holder {
    /// This process with a run.
    pub fn this(run: &str, socket: Option<PathBuf>) -> Self {
        Self {
            run: run.to_owned(),
            pid: std::process::id(),
            host: Self::host_name(),
            since: journal::now(),
            boot: boot(),
            started: started(std::process::id()).unwrap_or_default(),
            socket,
        }
    }

    /// The name of this machine.
    pub fn host_name() -> String {
        let system = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        system
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Whether it is a process of this start of this machine.
    pub fn is_here(&self) -> bool {
        self.host == Self::host_name() && self.boot == boot()
    }

    /// Whether it certainly lives no more. Of another machine nobody knows.
    fn is_gone(&self) -> bool {
        let same_machine = self.host == Self::host_name() && !self.started.is_empty();
        same_machine && (self.boot != boot() || started(self.pid).as_ref() != Some(&self.started))
    }

    /// How one that let go of the lock without a word ended, as far as it is known.
    pub fn end(&self) -> String {
        let pid = self.pid;
        match () {
            () if self.host != Self::host_name() => format!("process {pid} on {}", self.host),
            () if !self.boot.is_empty() && self.boot != boot() => {
                format!("process {pid}; this machine was restarted since")
            }
            () => format!("process {pid} is gone"),
        }
    }
}

/// Returns what names this start of the machine; empty where the system does not say.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Returns when a process began; nothing where there is none, or where the system does not say.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything. Behind it the state is the first field, the start the 20th.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    /// Who held it last and died without letting go.
    pub died: Option<Holder>,
}

/// The file.
pub fn path(repository: &Repository, environment: &str) -> PathBuf {
    repository.cache().join(format!("run-{environment}.lock"))
}

impl RunLock {
    /// Takes the lock, or says who holds it.
    pub fn acquire(repository: &Repository, environment: &str) -> Result<Self, Failure> {
        let path = path(repository, environment);
        let io = |operation: &str, error: &std::io::Error| {
            Failure::io(operation, repository.display(&path), error)
        };
        atomic::private_directory(&repository.cache())?;
        let mut file = files::read_write(&path).map_err(|error| io("open", &error))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                // A file system without locks: what the file says has to do.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    match read(&mut file) {
                        Some(holder) if !holder.is_gone() => {
                            return Err(held(repository, environment, Some(&holder)));
                        }
                        _ => break,
                    }
                }
                Err(TryLockError::Error(error)) => return Err(io("lock", &error)),
                Err(TryLockError::WouldBlock) if attempt == TRIES.0 => {
                    return Err(held(repository, environment, read(&mut file).as_ref()));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRIES.1),
            }
        }
        let died = read(&mut file);
        Ok(Self { file, died })
    }

    /// Writes who holds it now.
    pub fn sign(&mut self, holder: &Holder) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(holder)?)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Not only by closing: a process that is just being started may still hold a copy of the file.
        let _ = self.file.unlock();
    }
}

/// Returns who runs right now.
pub fn live(repository: &Repository, environment: &str) -> Option<Holder> {
    let mut file = File::open(path(repository, environment)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read(&mut file).unwrap_or_default()),
        Err(TryLockError::Error(_)) => None,
        Ok(()) => {
            let _ = file.unlock();
            None
        }
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(repository: &Repository, environment: &str, holder: Option<&Holder>) -> Failure {
    let failure = Failure::new(
        Exit::Refused,
        format!("another run of `{environment}` is going on"),
    )
    .help("follow it with `ztc status --follow`; stop it with `ztc cancel`");
    let Some(Holder {
        run,
        pid,
        host,
        since,
        ..
    }) = holder
    else {
        return failure;
    };
    let failure = failure.detail(format!("run {run}: process {pid} on {host} since {since}"));
    match running(repository, run).as_slice() {
        [] => failure,
        tasks => failure.detail(format!("running now: {}", tasks.join(", "))),
    }
}

/// The first few tasks that run in a run.
fn running(repository: &Repository, run: &str) -> Vec<String> {
    let state = RunState::replay(&journal::read(repository, run).unwrap_or_default());
    let busy = state.tasks().filter(|(_, phase)| phase.is_busy());
    let mut tasks: Vec<String> = busy.map(|(head, _)| head.task.clone()).collect();
    if tasks.len() > SHOWN {
        let more = tasks.split_off(SHOWN).len();
        tasks.push(format!("and {more} more"));
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_learns_who_is_first_and_a_third_that_somebody_died() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let holder = Holder {
            run: "R1".into(),
            pid: 7,
            host: "h".into(),
            since: "then".into(),
            ..Holder::default()
        };
        assert_eq!(live(&repository, "prod"), None);
        let mut first = RunLock::acquire(&repository, "prod").unwrap();
        first.sign(&holder).unwrap();
        assert_eq!(live(&repository, "prod"), Some(holder.clone()));
        let failure = RunLock::acquire(&repository, "prod").unwrap_err();
        assert_eq!(
            (failure.exit, failure.details),
            (
                Exit::Refused,
                vec!["run R1: process 7 on h since then".to_owned()]
            )
        );
        assert_eq!(RunLock::acquire(&repository, "other").unwrap().died, None);
        // A process that dies does not clean up.
        std::fs::write(
            directory.path().join("copy"),
            serde_json::to_vec(&holder).unwrap(),
        )
        .unwrap();
        drop(first);
        assert_eq!(RunLock::acquire(&repository, "prod").unwrap().died, None);
        std::fs::copy(directory.path().join("copy"), path(&repository, "prod")).unwrap();
        assert_eq!(live(&repository, "prod"), None);
        assert_eq!(
            RunLock::acquire(&repository, "prod").unwrap().died,
            Some(holder)
        );
    }

    #[test]
    fn a_process_is_known_by_its_start_and_that_of_its_machine() {
        let this = Holder::this("R1", None);
        assert!(this.is_here() && !this.is_gone());
        let pid = this.pid;
        let again = Holder {
            started: "1".into(),
            ..this.clone()
        };
        assert!(again.is_gone());
        assert_eq!(again.end(), format!("process {pid} is gone"));
        let restarted = Holder {
            boot: "another".into(),
            ..this.clone()
        };
        assert!(restarted.is_gone() && !restarted.is_here());
        assert_eq!(
            restarted.end(),
            format!("process {pid}; this machine was restarted since")
        );
        let elsewhere = Holder {
            host: "elsewhere".into(),
            ..restarted
        };
        assert!(!elsewhere.is_gone() && !elsewhere.is_here());
        assert_eq!(elsewhere.end(), format!("process {pid} on elsewhere"));
    }
}
