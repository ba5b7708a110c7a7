//! Ends the adapters of a `ztc` that was killed and could not do it itself.
//!
//! A built-in adapter ends with its host. What other adapters do when their stdin ends is up to them, so `ztc` starts a second process of
//! itself beside the first such adapter, `ztc __guard`, and tells it through a pipe which process groups there are. The pipe ends with
//! `ztc`, in whatever way that ends; then the guard ends what is left, removes the scratch directories, and ends too.

use std::collections::BTreeMap;
use std::io::{BufRead, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::process;

/// The hidden first argument with which `ztc` is a guard.
pub(crate) const ARGUMENT: &str = "__guard";

/// How long adapters may take to notice that their host is gone.
const GRACE: Duration = Duration::from_millis(500);

/// The guard, as `ztc` sees it.
pub(crate) struct Guard {
    pipe: Mutex<PipeWriter>,
    /// Kept because the process ends when this is dropped.
    _process: tokio::process::Child,
}

impl Guard {
    /// Starts it; without one, adapters are only asked to end, as their stdin ends.
    pub(crate) fn start() -> Option<Arc<Self>> {
        let (reader, writer) = std::io::pipe().ok()?;
        let mut command = process::program(std::env::current_exe().ok()?);
        command
            .arg(ARGUMENT)
            .env_clear()
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().ok()?;
        Some(Arc::new(Self {
            pipe: Mutex::new(writer),
            _process: process,
        }))
    }

    /// Takes a process group under guard, and the directory that goes with it.
    pub(crate) fn watch(&self, group: Pid, scratch: &Path) {
        self.say(&format!(
            "+ {} {}\n",
            group.as_raw_nonzero(),
            scratch.display()
        ));
    }

    /// Lets a process group go that has ended.
    pub(crate) fn forget(&self, group: Pid) {
        self.say(&format!("- {}\n", group.as_raw_nonzero()));
    }

    fn say(&self, line: &str) {
        // A guard that was killed guards nothing; that is no reason to fail.
        let _ = self
            .pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
    }
}

/// Is the guard: listens until `ztc` is gone.
pub(crate) fn run(input: impl BufRead) -> ExitCode {
    let left = listen(input);
    if !left.is_empty() {
        std::thread::sleep(GRACE);
    }
    for (group, scratch) in left {
        if let Some(group) = Pid::from_raw(group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = std::fs::remove_dir_all(scratch);
    }
    ExitCode::SUCCESS
}

/// Returns the groups that were not let go, with their directories.
fn listen(input: impl BufRead) -> BTreeMap<i32, PathBuf> {
    let mut groups = BTreeMap::new();
    for line in input.lines().map_while(Result::ok) {
        let mut words = line.splitn(3, ' ');
        match (
            words.next(),
            words.next().and_then(|word| word.parse().ok()),
            words.next(),
        ) {
            (Some("+"), Some(group), Some(scratch)) => {
                groups.insert(group, PathBuf::from(scratch));
            }
            (Some("-"), Some(group), None) => {
                groups.remove(&group);
            }
            _ => {}
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_go_is_left_alone() {
        let left = listen("+ 7 /tmp/a b\n+ 8 /tmp/c\n- 8\n+ 9 /tmp/d\nnonsense\n".as_bytes());
        assert_eq!(
            left,
            BTreeMap::from([(7, PathBuf::from("/tmp/a b")), (9, PathBuf::from("/tmp/d"))])
        );
    }
}
