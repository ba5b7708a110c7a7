//! Puts what was rendered into the repository: all of it or nothing.
//!
//! Files that are as they should be are not touched. All others are staged in `.zerotouch-cache/workspace/<id>`; then a journal of moves is
//! written, and from there on whoever comes first ends what was begun: this program, or after a kill the next command, through [`repair`].
//! Where a move fails, all are undone. Nothing else writes `platform/generated`, `platform/lock.json` and `bootstrap/pipeline/`.

mod difference;
mod disk;
mod journal;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use difference::Changes;
use disk::{Disk, is_directory};
use journal::{Journal, Place};

use crate::atomic;
use crate::error::Failure;
use crate::paths::Repository;
use crate::render::output::Tree;

/// What the names of kept workspaces begin with.
const KEPT: &str = "failed-";
/// Up to this many staged files are made durable one by one; more of them are left to the system, which takes seconds otherwise. What a
/// loss of power then damages, `ztc validate` finds and `ztc render` makes again.
const DURABLE_FILES: usize = 64;

/// What [`repair`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// There was nothing to do.
    Nothing,
    /// A render that was cut off before it changed anything was cleared away.
    Cleared,
    /// A render that was cut off while it moved files was ended.
    Completed,
    /// It could not be ended, and everything was put back.
    RolledBack,
}

impl Repaired {
    /// What to tell the operator.
    pub fn message(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Cleared => None,
            Self::Completed => {
                Some("a render that was interrupted while it wrote files has been completed")
            }
            Self::RolledBack => {
                Some("a render that was interrupted while it wrote files has been rolled back")
            }
        }
    }
}

/// Keeps other renders of the same repository away while it lives.
#[derive(Debug)]
pub struct RenderLock {
    _file: fs::File,
}

impl RenderLock {
    /// Takes the lock, or fails where somebody else has it for longer than `patience`.
    pub fn take(repository: &Repository, patience: Duration) -> Result<Self, Failure> {
        let path = repository.cache().join("render.lock");
        let shown = repository.display(&path);
        let fail = |error: io::Error| Failure::io("lock", &shown, &error);
        fs::create_dir_all(repository.cache()).map_err(fail)?;
        // Git passes over the whole directory, also where the repository's own `.gitignore` does not say so.
        let ignored = repository.cache().join(".gitignore");
        if !ignored.exists() {
            atomic::public(&ignored, "*\n")?;
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        let start = std::time::Instant::now();
        loop {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(
                        Failure::failed("another `ztc` is rendering in this repository")
                            .help("wait until it has ended and run the same command again"),
                    );
                }
                Err(error) => return Err(fail(error.into())),
            }
        }
    }
}

/// Ends what an interrupted render left half-done. Every command that reads what was rendered calls it first.
pub fn repair(repository: &Repository) -> Result<Repaired, Failure> {
    match leftovers(repository)?.is_empty() {
        true => Ok(Repaired::Nothing),
        // A render that is just moving its files is done soon; then nothing is left.
        false => repair_locked(
            repository,
            &RenderLock::take(repository, Duration::from_secs(10))?,
        ),
    }
}

/// The same for one who has the lock.
pub fn repair_locked(repository: &Repository, _lock: &RenderLock) -> Result<Repaired, Failure> {
    if let Some(beside_lock) = repository.lock().parent() {
        atomic::sweep(beside_lock, 0);
    }
    repair_with(repository, &Disk::default())
}

fn repair_with(repository: &Repository, disk: &Disk) -> Result<Repaired, Failure> {
    let mut repaired = Repaired::Nothing;
    for workspace in leftovers(repository)? {
        let place = Place {
            root: repository.root(),
            workspace: &workspace,
            disk,
        };
        repaired = end(&place).map_err(|error| {
            Failure::io("repair", repository.display(&workspace), &error)
                .detail("an interrupted render is half-done: some files are old and some are new")
        })?;
    }
    Ok(repaired)
}

fn end(place: &Place<'_>) -> io::Result<Repaired> {
    let repaired = match place.read()? {
        None => Repaired::Cleared,
        Some(journal) => match place.forward(&journal) {
            Ok(()) => Repaired::Completed,
            Err(_) => place.backward(&journal).map(|()| Repaired::RolledBack)?,
        },
    };
    place.close().map(|()| repaired)
}

/// Returns the workspaces of renders that did not end.
fn leftovers(repository: &Repository) -> Result<Vec<PathBuf>, Failure> {
    let directory = repository.workspace();
    let fail = |error: io::Error| Failure::io("read", repository.display(&directory), &error);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fail(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if is_directory(&entry.path()) && !entry.file_name().to_string_lossy().starts_with(KEPT) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the repository hold what was rendered. Where it fails, nothing has changed.
pub fn commit(
    repository: &Repository,
    tree: &Tree,
    changes: &Changes,
    _lock: &RenderLock,
) -> Result<(), Failure> {
    commit_with(repository, tree, changes, &Disk::default())
}

fn commit_with(
    repository: &Repository,
    tree: &Tree,
    changes: &Changes,
    disk: &Disk,
) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let workspace = repository
        .workspace()
        .join(ulid::Ulid::generate().to_string());
    let place = Place {
        root: repository.root(),
        workspace: &workspace,
        disk,
    };
    let journal = Journal {
        moves: changes.moves.clone(),
    };
    let intact = |error: io::Error| {
        Failure::io("write", "the rendered files", &error).detail("nothing was changed")
    };
    if let Err(error) = stage(&place, tree, changes).and_then(|()| place.decide(&journal)) {
        // The journal may have been written and only its directory not synced: without it nothing has been decided.
        let _ = place.close();
        return Err(intact(error));
    }
    let moved = place.forward(&journal);
    let undone = if moved.is_err() {
        place.backward(&journal)
    } else {
        Ok(())
    };
    match (moved, undone) {
        (Ok(()), _) => {
            // What cannot be cleared away now is cleared away by the next command.
            let _ = place.close();
            Ok(())
        }
        (Err(error), Ok(())) => {
            let _ = place.close();
            Err(intact(across(error)))
        }
        (Err(error), Err(undo)) => Err(Failure::io("write", "the rendered files", &error)
            .detail(format!("and putting the old ones back failed too: {undo}"))
            .detail(format!(
                "everything is kept in `{}`",
                repository.display(&workspace)
            ))
            .help("remove the cause and run any ztc command: it ends what was begun")),
    }
}

fn across(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::CrossesDevices => io::Error::other(
            "`.zerotouch-cache` is not on the same file system as `platform` and `bootstrap`",
        ),
        _ => error,
    }
}

/// Writes every new and changed file into the workspace.
fn stage(place: &Place<'_>, tree: &Tree, changes: &Changes) -> io::Result<()> {
    let incoming: Vec<&String> = changes.added.iter().chain(&changes.changed).collect();
    let durable = incoming.len() <= DURABLE_FILES;
    place.disk.make_directory(place.workspace)?;
    let mut parent = PathBuf::new();
    for path in incoming {
        let staged = place.staged(path);
        let directory = staged.parent().unwrap_or(Path::new(""));
        if directory != parent {
            place.disk.make_directory(directory)?;
            parent = directory.to_owned();
        }
        let output = &tree[path];
        place
            .disk
            .write(&staged, &output.content, output.executable, durable)?;
    }
    Ok(())
}

/// Keeps files of a failed render for reading, in place of those kept before. Returns the directory.
pub fn keep(
    repository: &Repository,
    files: &std::collections::BTreeMap<String, Vec<u8>>,
) -> Result<PathBuf, Failure> {
    let parent = repository.workspace();
    let directory = parent.join(format!("{KEPT}{}", ulid::Ulid::generate()));
    let fail = |error: io::Error| Failure::io("write", repository.display(&directory), &error);
    crate::atomic::private_directory(&directory)?;
    for entry in fs::read_dir(&parent).map_err(fail)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(KEPT) && entry.path() != directory {
            fs::remove_dir_all(entry.path()).map_err(fail)?;
        }
    }
    for (path, content) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&directory))
            .and_then(|()| fs::write(&path, content))
            .map_err(fail)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests;
