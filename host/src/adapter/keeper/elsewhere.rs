//! Descendants where the system neither lets a process adopt them nor lists them: only the adapter's process group is ended.

use rustix::process::{Pid, Signal};

/// Whether the system tells of the parent's end.
pub(super) const TELLS_OF_PARENT: bool = false;

/// Whether descendants are found wherever they are.
pub(super) const ARE_FOUND: bool = false;

/// There is nothing to ask for.
pub(super) fn adopt(_parent_is_gone: Signal) {}

/// Nothing is known.
pub(super) fn children() -> Vec<Pid> {
    Vec::new()
}

/// Nobody tells.
pub(super) fn is_ending(_process: Pid) -> bool {
    false
}

/// Nothing is known but the number.
pub(super) fn command_line(process: Pid) -> String {
    format!("process {}", process.as_raw_nonzero())
}
