//! A directory in which this program makes a tree or a mirror: nobody else does at the same time, and what a killed one has left there is removed.
//! The claim is the kernel's lock on the directory itself, so nothing of it is served.

use std::fs::{self, File};
use std::path::Path;

use crate::atomic;
use crate::error::Failure;

/// How far below a tree its files lie: adapter, version.
const LEVELS: usize = 2;

/// The right to write into a directory, until it is dropped.
pub(crate) struct Claim {
    _directory: File,
}

impl Claim {
    /// Waits for others that write into the directory, which is there. `waiting` is called where there is one.
    pub(crate) fn new(directory: &Path, waiting: impl FnOnce()) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| Failure::io("lock", directory, &error);
        let file = File::open(directory).map_err(|error| Failure::io("open", directory, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(fail)?;
            }
            // A file system without locks: every file is still written in one step.
            Err(fs::TryLockError::Error(error))
                if error.kind() == std::io::ErrorKind::Unsupported =>
            {
                return Ok(Self { _directory: file });
            }
            Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
        }
        atomic::sweep(directory, LEVELS);
        Ok(Self { _directory: file })
    }
}
