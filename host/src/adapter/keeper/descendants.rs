//! Descendants on Linux: a process can adopt those whose parents are gone, and `/proc` knows its children. Ends none of them.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, getpid, set_child_subreaper, set_parent_process_death_signal};

/// Whether the system tells of the parent's end.
pub(super) const TELLS_OF_PARENT: bool = true;

/// Whether descendants are found wherever they are.
pub(super) const ARE_FOUND: bool = true;

/// From now on every descendant whose parent ends becomes a child of this process, and the end of this process's own parent is told with a
/// signal. Both exist since Linux 3.4; a system that refuses them leaves the process group to be ended.
pub(super) fn adopt(parent_is_gone: Signal) {
    let _ = set_child_subreaper(Some(getpid()));
    let _ = set_parent_process_death_signal(Some(parent_is_gone));
}

/// Returns the children of this process. What is born or adopted at the same moment may be missing.
pub(super) fn children() -> Vec<Pid> {
    let listed = listed();
    if listed.is_empty() {
        searched()
    } else {
        listed
    }
}

/// The kernel's own list, which a few kernels are built without.
fn listed() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let numbers = lists.flat_map(|list| numbers(&list));
    numbers.filter_map(Pid::from_raw).collect()
}

fn numbers(list: &str) -> Vec<i32> {
    list.split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Every process that names this one as its parent.
fn searched() -> Vec<Pid> {
    let own = getpid();
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let found = processes.filter_map(|process| {
        let process = process.ok()?;
        let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
        let parent = parent(&fs::read_to_string(process.path().join("stat")).ok()?)?;
        (parent == own).then_some(pid)
    });
    found.collect()
}

/// Reads the parent out of `/proc/<pid>/stat`. The name before it may hold anything, brackets and line ends too.
fn parent(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?)
}

/// Whether a process is about to be gone. It closes its files before its children get another parent.
pub(super) fn is_ending(process: Pid) -> bool {
    let file = format!("/proc/{}/stat", process.as_raw_nonzero());
    fs::read_to_string(file)
        .is_ok_and(|stat| flags(&stat).is_some_and(|flags| flags & EXITING != 0))
}

/// The kernel's mark of a process that ends.
const EXITING: u32 = 0x4;

/// Reads the kernel's marks out of `/proc/<pid>/stat`.
fn flags(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(6)?.parse().ok()
}

/// Returns a process's command line, for people.
pub(super) fn command_line(process: Pid) -> String {
    let directory = Path::new("/proc").join(process.as_raw_nonzero().to_string());
    let bytes = fs::read(directory.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace(['\0', '\n'], " ");
    match text.trim() {
        "" => format!("process {}", process.as_raw_nonzero()),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_behind_any_name() {
        assert_eq!(parent("7 (sh) S 42 7 7 0"), Pid::from_raw(42));
        assert_eq!(parent("7 (a) S 1 (b)\n) R 43 7"), Pid::from_raw(43));
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn what_ends_is_told_from_what_lives() {
        assert_eq!(flags("7 (a b) Z 42 7 7 0 -1 4227084 0"), Some(4227084));
        assert!(!is_ending(getpid()));
    }

    #[tokio::test]
    async fn both_ways_find_the_same_children() {
        let mut command = crate::process::program("sleep");
        let mut child = command.arg("60").spawn().unwrap();
        let id = i32::try_from(child.id().unwrap()).unwrap();
        let pid = Pid::from_raw(id).unwrap();
        assert!(listed().contains(&pid));
        assert!(searched().contains(&pid));
        assert_eq!(command_line(pid), "sleep 60");
        child.kill().await.unwrap();
    }
}
