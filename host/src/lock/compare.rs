//! What the lock says against what is on disk: each artifact that was added, changed, removed or renamed, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::digest;
use crate::error::Failure;
use crate::lock::{LockedFile, mode};

/// One thing that is not as the lock says. Paths are relative to the directory that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A file that the lock does not know.
    Added(String),
    /// A file with other content.
    Changed(String),
    /// A file with the right content and the wrong mode: path, mode in the lock, mode found.
    Mode(String, String, String),
    /// A file that is gone.
    Removed(String),
    /// A file that is somewhere else: where the lock has it, where it is.
    Renamed(String, String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(path) => write!(f, "added: {path}"),
            Self::Changed(path) => write!(f, "changed: {path}"),
            Self::Mode(path, locked, found) => {
                write!(f, "mode changed from {locked} to {found}: {path}")
            }
            Self::Removed(path) => write!(f, "removed: {path}"),
            Self::Renamed(from, to) => write!(f, "renamed: {from} to {to}"),
        }
    }
}

/// Compares what the lock says with what was found.
pub fn compare(
    locked: &BTreeMap<String, LockedFile>,
    found: &BTreeMap<String, LockedFile>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut added: Vec<&String> = found
        .keys()
        .filter(|path| !locked.contains_key(*path) && !is_litter(path))
        .collect();
    for (path, file) in locked {
        match found.get(path) {
            Some(now) if now == file => {}
            Some(now) if now.sha256 == file.sha256 => {
                differences.push(Difference::Mode(
                    path.clone(),
                    file.mode.clone(),
                    now.mode.clone(),
                ));
            }
            Some(_) => differences.push(Difference::Changed(path.clone())),
            None => differences.push(
                match added
                    .iter()
                    .position(|added| found[*added].sha256 == file.sha256)
                {
                    Some(position) => {
                        Difference::Renamed(path.clone(), added.remove(position).clone())
                    }
                    None => Difference::Removed(path.clone()),
                },
            ),
        }
    }
    differences.extend(added.into_iter().cloned().map(Difference::Added));
    differences.sort();
    differences
}

/// Files that editors and file managers leave behind; they are no difference.
pub fn is_litter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == ".DS_Store" || name.ends_with('~') || name.ends_with(".swp")
}

/// Returns every file below a directory with its digest; nothing where there is no such directory. Links are not followed: one
/// never equals what was rendered.
pub fn scan(directory: &Path) -> Result<BTreeMap<String, LockedFile>, Failure> {
    let mut found = BTreeMap::new();
    if fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir()) {
        walk(directory, "", &mut found)?;
    }
    Ok(found)
}

fn walk(
    directory: &Path,
    prefix: &str,
    found: &mut BTreeMap<String, LockedFile>,
) -> Result<(), Failure> {
    let entries =
        fs::read_dir(directory).map_err(|error| Failure::io("read", directory, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io("read", directory, &error))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = entry
            .metadata()
            .map_err(|error| Failure::io("read", &path, &error))?;
        if metadata.is_dir() {
            walk(&path, &format!("{name}/"), found)?;
        } else if metadata.is_file() {
            let sha256 = digest::file(&path).map_err(|error| Failure::io("read", &path, &error))?;
            let executable = metadata.permissions().mode() & 0o111 != 0;
            found.insert(
                name,
                LockedFile {
                    sha256,
                    mode: mode(executable).to_owned(),
                },
            );
        } else {
            found.insert(
                name,
                LockedFile {
                    sha256: String::new(),
                    mode: "link".to_owned(),
                },
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, mode: &str) -> LockedFile {
        LockedFile {
            sha256: digest::sha256_hex(content.as_bytes()),
            mode: mode.to_owned(),
        }
    }

    #[test]
    fn every_difference_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        put("a/same", "1");
        put("a/changed", "new");
        put("a/mode", "3");
        put("b/moved", "4");
        put("b/added", "5");
        put("b/.DS_Store", "6");
        std::os::unix::fs::symlink("same", directory.path().join("a/link")).unwrap();
        let locked = BTreeMap::from([
            ("a/same".to_owned(), file("1", "0644")),
            ("a/changed".to_owned(), file("2", "0644")),
            ("a/mode".to_owned(), file("3", "0755")),
            ("a/link".to_owned(), file("1", "0644")),
            ("a/moved".to_owned(), file("4", "0644")),
            ("a/removed".to_owned(), file("7", "0644")),
        ]);
        let differences = compare(&locked, &scan(directory.path()).unwrap());
        assert_eq!(
            differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "added: b/added",
                "changed: a/changed",
                "changed: a/link",
                "mode changed from 0755 to 0644: a/mode",
                "removed: a/removed",
                "renamed: a/moved to b/moved",
            ]
        );
    }
}
