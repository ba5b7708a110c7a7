//! Files written in one step, complete or absent: private ones that only their owner may read, and public ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::error::{Exit, Failure};

/// What the names of files begin with that are being written; six letters and digits follow.
const UNFINISHED: [&str; 3] = [".ztc-", ".tmp", ".incoming-"];

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

/// Removes what writers that were killed have left in a directory and as many levels below it. Only who keeps other writers away may.
pub(crate) fn sweep(directory: &Path, levels: usize) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && levels > 0 => sweep(&entry.path(), levels - 1),
            // What cannot be removed now is tried again next time.
            Ok(kind) if kind.is_file() && is_unfinished(&entry.file_name().to_string_lossy()) => {
                let _ = fs::remove_file(entry.path());
            }
            _ => {}
        }
    }
}

/// Whether a file has a name that only this program gives, while it writes.
fn is_unfinished(name: &str) -> bool {
    let random = UNFINISHED
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    random.is_some_and(|random| {
        random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_writer_has_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for name in [
            ".ztc-aB3dE6",
            ".tmpaaaaaa",
            "a/.incoming-000000",
            "a/b/.ztc-aB3dE6",
            ".ztc-notes",
            ".tmp",
            "kept",
        ] {
            fs::write(at(name), "").unwrap();
        }
        sweep(directory.path(), 1);
        let left = [".ztc-notes", ".tmp", "kept", "a/b/.ztc-aB3dE6"];
        assert!(left.iter().all(|name| at(name).exists()));
        let gone = [".ztc-aB3dE6", ".tmpaaaaaa", "a/.incoming-000000"];
        assert!(!gone.iter().any(|name| at(name).exists()));
    }

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
