//! One run at a time in a repository and environment: `.zerotouch-cache/run-<env>.lock`, held for as long as ztc lives.
//!
//! The system lets go of the lock when its holder dies, however that happens; what the file says is only for people.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::{Exit, Failure};
use crate::paths::Repository;
use crate::pipeline::files;

/// How often and how far apart the lock is tried: `ztc status` holds it for a moment when it looks.
const TRIES: (u32, Duration) = (10, Duration::from_millis(20));

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
                Err(TryLockError::Error(error)) => return Err(io("lock", &error)),
                Err(TryLockError::WouldBlock) if attempt == TRIES.0 => {
                    return Err(held(environment, &read(&mut file)));
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

fn held(environment: &str, holder: &Option<Holder>) -> Failure {
    let failure = Failure::new(
        Exit::Refused,
        format!("another bootstrap of `{environment}` is running"),
    )
    .help("follow it with `ztc status --follow`; it is stopped by Ctrl-C where it runs");
    match holder {
        Some(Holder {
            run,
            pid,
            host,
            since,
        }) => failure.detail(format!("run {run}: process {pid} on {host} since {since}")),
        None => failure,
    }
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
}
