//! The file operations of a commit, one method each, so that a test can make any of them the last one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Does the operations.
#[derive(Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) fuse: Option<Fuse>,
}

/// What a test breaks.
#[cfg(test)]
pub(super) struct Fuse {
    /// How many operations succeed before.
    pub(super) after: std::cell::Cell<usize>,
    /// Whether all later ones fail too, as if the program had been killed; otherwise only one fails.
    pub(super) for_good: bool,
}

impl Disk {
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to).map_err(|error| at(to, &error))
    }

    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::create_dir_all(path).map_err(|error| at(path, &error))
    }

    pub(super) fn write(
        &self,
        path: &Path,
        content: &[u8],
        executable: bool,
        durable: bool,
    ) -> io::Result<()> {
        self.step()?;
        create(path, content, executable, durable).map_err(|error| at(path, &error))
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::remove_file(path).map_err(|error| at(path, &error))
    }

    pub(super) fn remove_tree(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::remove_dir_all(path).map_err(|error| at(path, &error))
    }

    /// Makes the entries of a directory durable.
    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        sync(&fs::File::open(path)?)
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        let Some(fuse) = &self.fuse else {
            return Ok(());
        };
        let left = fuse.after.get();
        fuse.after.set(left.wrapping_sub(1));
        let broken = if fuse.for_good {
            left == 0 || left > usize::MAX / 2
        } else {
            left == 0
        };
        if broken {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            Ok(())
        }
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same signature as in tests, where it can fail"
    )]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

fn create(path: &Path, content: &[u8], executable: bool, durable: bool) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    if durable { sync(&file) } else { Ok(()) }
}

/// Says where it happened; the kind stays.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Waits until the device has it; tests, which make thousands of files and pull no plug, do not.
fn sync(file: &fs::File) -> io::Result<()> {
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// Whether something is there; a link counts, wherever it points.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether a directory is there, not a link to one.
pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
