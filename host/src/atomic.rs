//! Files written in one step, complete or absent: private ones that only their owner may read, and public ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::error::{Exit, Failure};

/// Makes a directory with mode 0700, or takes the permissions of others away from one that exists.
pub fn private_directory(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .map_err(|error| Failure::io("make", path, &error))
}

/// Whether an existing file may be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and writing fails.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// Writes a file with mode 0600 in one step: a reader sees the old content or the new, never a part.
pub fn private(path: &Path, content: &[u8], existing: Existing) -> Result<(), Failure> {
    private_directory(path.parent().unwrap_or(Path::new(".")))?;
    private_file(path, content, existing)
}

/// Writes a file with mode 0600 in one step into a directory that is there and stays as it is.
pub fn private_file(path: &Path, content: &[u8], existing: Existing) -> Result<(), Failure> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let fail = |error: std::io::Error| Failure::io("write", path, &error);
    // `tempfile` makes its files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(fail)?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(fail)?;
    match existing {
        Existing::Replace => file
            .persist(path)
            .map(drop)
            .map_err(|error| fail(error.error)),
        Existing::Keep => {
            file.persist_noclobber(path)
                .map(drop)
                .map_err(|error| match error.error.kind() {
                    std::io::ErrorKind::AlreadyExists => Failure::new(
                        Exit::Refused,
                        format!("`{}` exists and is never written over", path.display()),
                    ),
                    _ => fail(error.error),
                })
        }
    }
}

/// Writes a file that everybody may read in one step; one that exists keeps its mode.
pub fn public(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::io("write", path, &error);
    let parent = path.parent().unwrap_or(Path::new("."));
    let mode = fs::metadata(path).map_or(0o666, |metadata| metadata.permissions().mode() & 0o777);
    let mut file = tempfile::Builder::new()
        .prefix(".ztc-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(parent)
        .map_err(fail)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(fail)?;
    file.persist(path)
        .map(drop)
        .map_err(|error| fail(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_kept_unless_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets/bundle.yaml");
        private(&path, b"one", Existing::Keep).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        assert_eq!(
            private(&path, b"two", Existing::Keep).unwrap_err().exit,
            Exit::Refused
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        private(&path, b"two", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
