//! The scratch directory of an adapter that has no keeper, where `ztc` is gone and cannot remove it: the adapter does it on its way out.
//!
//! The adapter may have confined itself by then, so a thread does it that was there before. It removes the directory that `ztc` made for
//! this process and nothing else.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};

use super::descendants;
use crate::secrets::secure_dir;

/// How long the end of a `ztc` that has closed its files may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits for the end of the adapter.
pub(crate) struct Heir {
    over: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heir {
    /// Makes it. Nothing where this process was not started by `ztc` in a directory of its own.
    pub(crate) fn appoint() -> Option<Self> {
        let host = getppid()?;
        let scratch = std::env::current_dir().ok()?;
        if !secure_dir::belongs_to(&scratch, host) {
            return None;
        }
        let (over, wait) = channel();
        let thread = std::thread::Builder::new()
            .spawn(move || {
                // The other end says nothing and goes away.
                let _ = wait.recv();
                remove_after(host, &scratch);
            })
            .ok()?;
        Some(Self { over, thread })
    }

    /// The adapter has ended.
    pub(crate) fn inherit(self) {
        drop(self.over);
        let _ = self.thread.join();
    }
}

/// Removes a directory where its owner is gone, or about to be so: an adapter that ends with its stdin may be quicker than its host.
pub(super) fn remove_after(host: Pid, scratch: &Path) {
    let until = Instant::now() + PATIENCE;
    while getppid() == Some(host) {
        if !descendants::is_ending(host) || Instant::now() > until {
            return;
        }
        std::thread::sleep(super::PAUSE);
    }
    let _ = std::fs::remove_dir_all(scratch);
}
