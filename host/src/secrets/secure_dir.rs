//! Private working directories `ztc-secure-*` in the system's temporary directory: 0700, wiped when dropped, swept when a killed process
//! left one behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::Failure;

/// What the names begin with.
pub const PREFIX: &str = "ztc-secure-";

/// The file in such a directory that holds the process id of its owner.
const OWNER: &str = ".owner";

/// A private directory that is removed with everything in it when dropped.
#[derive(Debug)]
pub struct SecureDir {
    directory: tempfile::TempDir,
}

impl SecureDir {
    /// Makes one in the system's temporary directory.
    pub fn new() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let fail =
            |error: std::io::Error| Failure::io("make a private directory in", &parent, &error);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(fail)?;
        fs::write(directory.path().join(OWNER), std::process::id().to_string()).map_err(fail)?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A directory that nobody uses any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stale {
    /// Where it is.
    pub path: PathBuf,
    /// Since when nothing happened in it.
    pub age_minutes: u64,
    /// How much it holds.
    pub bytes: u64,
}

/// Finds this user's directories below `parent` that are older than `age` and whose process is gone. Links are not followed.
pub fn stale(parent: &Path, age: Duration) -> Vec<Stale> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<Stale> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| judge(&entry.path(), age))
        .collect();
    found.sort();
    found
}

/// Whether a directory is one that this process has made.
pub(crate) fn belongs_to(path: &Path, process: rustix::process::Pid) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && owner(path) == Some(process.as_raw_nonzero().get())
}

/// Removes a directory that [`stale`] found.
pub fn remove(stale: &Stale) -> Result<(), Failure> {
    fs::remove_dir_all(&stale.path).map_err(|error| Failure::io("remove", &stale.path, &error))
}

fn judge(path: &Path, age: Duration) -> Option<Stale> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_mine = metadata.uid() == rustix::process::geteuid().as_raw();
    let modified = metadata.modified().ok()?;
    let idle = SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default();
    let in_use = idle < age || owner(path).is_some_and(is_alive);
    (is_mine && !in_use).then(|| Stale {
        path: path.to_owned(),
        age_minutes: idle.as_secs() / 60,
        bytes: size(path),
    })
}

fn owner(path: &Path) -> Option<i32> {
    fs::read_to_string(path.join(OWNER))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return false;
    };
    // Any answer but "no such process" means that somebody has this id.
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(parent: &Path, name: &str, owner: Option<u32>) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("secret"), "12345678").unwrap();
        if let Some(pid) = owner {
            fs::write(path.join(OWNER), pid.to_string()).unwrap();
        }
        path
    }

    #[test]
    fn only_what_nobody_uses_is_stale() {
        let parent = tempfile::tempdir().unwrap();
        let orphan = directory(parent.path(), "ztc-secure-orphan", None);
        directory(parent.path(), "ztc-secure-mine", Some(std::process::id()));
        directory(parent.path(), "somebody-elses", None);
        std::os::unix::fs::symlink("/", parent.path().join("ztc-secure-link")).unwrap();
        let foreign = directory(parent.path(), "ztc-secure-foreign", None);
        // Only root can give a directory away; for anybody else there is none of another user here.
        if std::os::unix::fs::chown(&foreign, Some(65534), None).is_err() {
            fs::remove_dir_all(&foreign).unwrap();
        }

        let found = stale(parent.path(), Duration::ZERO);
        assert_eq!(
            found,
            [Stale {
                path: orphan.clone(),
                age_minutes: 0,
                bytes: 8
            }]
        );
        assert_eq!(stale(parent.path(), Duration::from_secs(3600)), []);
        remove(&found[0]).unwrap();
        assert!(!orphan.exists());
    }

    #[test]
    fn a_private_directory_is_wiped_when_dropped() {
        let secure = SecureDir::new().unwrap();
        let path = secure.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let own = rustix::process::getpid();
        assert!(belongs_to(&path, own) && !belongs_to(&path, rustix::process::Pid::INIT));
        drop(secure);
        assert!(!path.exists());
    }
}
