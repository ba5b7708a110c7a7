//! What has to move so that a repository holds exactly what was rendered. Reads, and changes nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;

use super::disk::{exists, is_directory};
use super::journal::Move;
use crate::error::{Exit, Failure};
use crate::lock::compare::is_litter;
use crate::render::output::{GENERATED, Output, Tree};

/// Directories that belong to the operator: what lies in their place is never moved away.
const SHARED: [&str; 4] = [
    "platform",
    "bootstrap",
    "bootstrap/pipeline",
    ".zerotouch-cache",
];

/// What a commit will do. Paths are relative to the repository.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Changes {
    /// New files.
    pub added: Vec<String>,
    /// Files with other content or mode.
    pub changed: Vec<String>,
    /// Files that go: those that are no longer rendered and those that somebody put below `platform/generated`.
    pub removed: Vec<String>,
    /// How many files stay untouched.
    pub unchanged: usize,
    #[serde(skip)]
    pub(super) moves: Vec<Move>,
}

impl Changes {
    /// Compares a repository with what was rendered.
    pub fn find(root: &Path, tree: &Tree) -> Result<Self, Failure> {
        refuse_strangers(root)?;
        let mut changes = Self::default();
        let mut directories = HashSet::new();
        for (path, output) in tree {
            changes
                .compare(root, path, output, &mut directories)
                .map_err(|error| Failure::io("read", path, &error))?;
        }
        changes
            .sweep(root, GENERATED, tree)
            .map_err(|error| Failure::io("read", GENERATED, &error))?;
        Ok(changes)
    }

    /// Whether nothing has to move.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// All paths that change.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.added.iter().chain(&self.changed).chain(&self.removed)
    }

    fn compare(
        &mut self,
        root: &Path,
        path: &str,
        output: &Output,
        directories: &mut HashSet<String>,
    ) -> io::Result<()> {
        if let Some(top) = missing_directory(root, path, directories) {
            // The whole directory comes in with one move; its files follow each other in the tree.
            let step = Move::Put(top);
            if self.moves.last() != Some(&step) {
                self.moves.push(step);
            }
            self.added.push(path.to_owned());
        } else if same(&root.join(path), output)? {
            self.unchanged += 1;
        } else {
            let list = if exists(&root.join(path)) {
                &mut self.changed
            } else {
                &mut self.added
            };
            list.push(path.to_owned());
            self.moves.push(Move::Put(path.to_owned()));
        }
        Ok(())
    }

    /// Finds what is below a directory and was not rendered.
    fn sweep(&mut self, root: &Path, directory: &str, tree: &Tree) -> io::Result<()> {
        if !is_directory(&root.join(directory)) {
            return Ok(());
        }
        for entry in fs::read_dir(root.join(directory))? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else {
                return Err(io::Error::other(format!(
                    "the name `{}` is not UTF-8",
                    name.display()
                )));
            };
            let path = format!("{directory}/{name}");
            if tree.contains_key(&path) || is_litter(&path) {
                continue;
            }
            if is_parent(&path, tree) {
                self.sweep(root, &path, tree)?;
            } else {
                list_files(root, &path, &mut self.removed)?;
                self.moves.push(Move::Remove(path));
            }
        }
        self.removed.sort();
        Ok(())
    }
}

/// Whether something that was rendered lies below.
fn is_parent(path: &str, tree: &Tree) -> bool {
    let prefix = format!("{path}/");
    tree.range(prefix.clone()..)
        .next()
        .is_some_and(|(next, _)| next.starts_with(&prefix))
}

/// Returns the uppermost directory of a path that is not there, or in whose place something else is.
fn missing_directory(root: &Path, path: &str, known: &mut HashSet<String>) -> Option<String> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if known.contains(parent) {
        return None;
    }
    for (end, _) in path.match_indices('/') {
        let directory = &path[..end];
        if !known.contains(directory) {
            if !is_directory(&root.join(directory)) {
                return Some(directory.to_owned());
            }
            known.insert(directory.to_owned());
        }
    }
    None
}

/// Whether a file is there, with this content and mode.
fn same(path: &Path, output: &Output) -> io::Result<bool> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let executable = metadata.permissions().mode() & 0o111 != 0;
    if !metadata.is_file()
        || metadata.len() != output.content.len() as u64
        || executable != output.executable
    {
        return Ok(false);
    }
    Ok(fs::read(path)? == output.content)
}

fn list_files(root: &Path, path: &str, files: &mut Vec<String>) -> io::Result<()> {
    if !is_directory(&root.join(path)) {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(root.join(path))? {
        list_files(
            root,
            &format!("{path}/{}", entry?.file_name().display()),
            files,
        )?;
    }
    Ok(())
}

/// Refuses where a directory that is not ours alone is a link or a file.
fn refuse_strangers(root: &Path) -> Result<(), Failure> {
    match SHARED
        .iter()
        .find(|path| exists(&root.join(path)) && !is_directory(&root.join(path)))
    {
        None => Ok(()),
        Some(path) => Err(Failure::new(
            Exit::Refused,
            format!("`{path}` is not a directory, and ztc does not write through links"),
        )
        .help(format!(
            "move `{path}` away, make a directory in its place, and run the command again"
        ))),
    }
}
