//! The journal of a commit: a list of moves that can be done, done again and undone from whatever point they were left at.
//!
//! ```text
//! workspace/<id>/new/<path>    what comes in, as a file or a whole directory
//! workspace/<id>/old/<number>  what it replaces or what goes, by the number of the move
//! workspace/<id>/journal.json  the moves; while it exists, the commit is decided and has to be ended one way or the other
//! ```
//!
//! Everything moves by rename, so links are moved and never followed, and no step needs space.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, exists};

/// One move. Paths are relative to the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "move", content = "path", rename_all = "snake_case")]
pub(super) enum Move {
    /// What is staged takes its place; what was there goes to `old`.
    Put(String),
    /// What is there goes to `old`.
    Remove(String),
}

/// The moves of one commit.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) moves: Vec<Move>,
}

/// Where a commit works.
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) workspace: &'a Path,
    pub(super) disk: &'a Disk,
}

impl Place<'_> {
    pub(super) fn staged(&self, path: &str) -> PathBuf {
        self.workspace.join("new").join(path)
    }

    fn journal(&self) -> PathBuf {
        self.workspace.join("journal.json")
    }

    /// Reads the journal; nothing where the commit was not decided yet.
    pub(super) fn read(&self) -> io::Result<Option<Journal>> {
        match std::fs::read(self.journal()) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the journal in one step: from here on the commit is decided.
    pub(super) fn decide(&self, journal: &Journal) -> io::Result<()> {
        self.disk.make_directory(&self.workspace.join("old"))?;
        let draft = self.workspace.join("journal.draft");
        self.disk
            .write(&draft, &serde_json::to_vec(journal)?, false, true)?;
        self.disk.rename(&draft, &self.journal())?;
        self.disk.sync_directory(self.workspace)
    }

    /// Does all moves that are not done yet.
    pub(super) fn forward(&self, journal: &Journal) -> io::Result<()> {
        journal
            .moves
            .iter()
            .enumerate()
            .try_for_each(|(number, step)| {
                let old = self.workspace.join("old").join(number.to_string());
                match step {
                    Move::Put(path) => self.put(path, &old),
                    Move::Remove(path) => self.take_away(&self.root.join(path), &old),
                }
            })
    }

    fn put(&self, path: &str, old: &Path) -> io::Result<()> {
        let (staged, target) = (self.staged(path), self.root.join(path));
        if !exists(&staged) {
            return Ok(());
        }
        self.take_away(&target, old)?;
        self.disk.rename(&staged, &target)
    }

    fn take_away(&self, target: &Path, old: &Path) -> io::Result<()> {
        if exists(old) || !exists(target) {
            Ok(())
        } else {
            self.disk.rename(target, old)
        }
    }

    /// Undoes all moves that are done, the last first.
    pub(super) fn backward(&self, journal: &Journal) -> io::Result<()> {
        journal
            .moves
            .iter()
            .enumerate()
            .rev()
            .try_for_each(|(number, step)| {
                let old = self.workspace.join("old").join(number.to_string());
                let (Move::Put(path) | Move::Remove(path)) = step;
                let target = self.root.join(path);
                if matches!(step, Move::Put(_)) && !exists(&self.staged(path)) && exists(&target) {
                    self.disk.rename(&target, &self.staged(path))?;
                }
                if exists(&old) {
                    self.disk.rename(&old, &target)
                } else {
                    Ok(())
                }
            })
    }

    /// Ends the commit, however it went: first the journal goes, then everything else.
    pub(super) fn close(&self) -> io::Result<()> {
        if exists(&self.journal()) {
            self.disk.remove_file(&self.journal())?;
        }
        self.disk.remove_tree(self.workspace)
    }
}
