//! The repositories of this machine whose locks name what is installed: `$XDG_DATA_HOME/ztc/projects/<sha256 of the path>.json`. What one locks is
//! read from its lock whenever it is asked, so nothing here gets old; one that is gone is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::digest::sha256_hex;
use crate::lock::Lock;
use crate::lock::plugins::{LockedPlugin, LockedPlugins};
use crate::paths::{Machine, Repository};

const FORMAT: u32 = 1;

/// One file.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    /// The repository.
    path: PathBuf,
}

/// A repository with what its lock names.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) path: PathBuf,
    plugins: LockedPlugins,
}

/// Remembers a repository whose lock names something that is installed. Where that cannot be written, nothing can be removed either.
pub(crate) fn remember(machine: &Machine, repository: &Repository, plugins: &LockedPlugins) {
    if !plugins.values().any(LockedPlugin::is_installed) {
        return;
    }
    let path = fs::canonicalize(repository.root()).unwrap_or_else(|_| repository.root().to_owned());
    let file = file_of(machine, &path);
    // One that a full disk or a crash has cut short is written again.
    if read(&file).is_some_and(|known| known.path == path) {
        return;
    }
    let content = File {
        format: FORMAT,
        path,
    };
    let written = serde_json::to_vec_pretty(&content)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            atomic::private(&file, &text, Existing::Replace).map_err(|failure| failure.to_string())
        });
    if let Err(why) = written {
        tracing::debug!("the repository is not remembered as one that locks plugins: {why}");
    }
}

/// Returns all repositories that are still there and whose lock can be read, by path.
pub(crate) fn all(machine: &Machine) -> Vec<Project> {
    let mut projects: Vec<Project> = remembered(machine)
        .into_iter()
        .filter_map(|repository| {
            Some(Project {
                path: repository.root().to_owned(),
                plugins: Lock::load(&repository).ok()??.plugins,
            })
        })
        .collect();
    projects.sort_by(|a, b| a.path.cmp(&b.path));
    projects
}

/// Returns the repositories whose lock cannot be read: what they need nobody knows.
pub(crate) fn unreadable(machine: &Machine) -> Vec<PathBuf> {
    let repositories = remembered(machine).into_iter();
    let mut paths: Vec<PathBuf> = repositories
        .filter(|repository| Lock::load(repository).is_err())
        .map(|repository| repository.root().to_owned())
        .collect();
    paths.sort();
    paths
}

/// Returns every digest that the lock of a repository names, for any platform; nothing where somebody may name one that nobody can read.
pub(crate) fn locked_digests(machine: &Machine) -> Option<BTreeSet<String>> {
    match fs::read_dir(directory(machine)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return None,
        _ => {}
    }
    let is_known = broken(machine).is_empty() && unreadable(machine).is_empty();
    let projects = is_known.then(|| all(machine))?;
    let plugins = projects.iter().flat_map(|project| project.plugins.values());
    let executables = plugins.flat_map(|plugin| plugin.platforms.values());
    Some(executables.map(|one| one.sha256.clone()).collect())
}

/// Returns the files that name a repository and cannot be read: which one nobody knows.
pub(crate) fn broken(machine: &Machine) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory(machine)).into_iter().flatten();
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_broken = |path: &PathBuf| {
        let is_ours = path.extension().is_some_and(|it| it == "json");
        is_ours && path.exists() && read(path).is_none()
    };
    let mut broken: Vec<PathBuf> = files.filter(is_broken).collect();
    broken.sort();
    broken
}

fn read(file: &Path) -> Option<File> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Returns all repositories that are still there. The others are forgotten.
fn remembered(machine: &Machine) -> Vec<Repository> {
    let entries = fs::read_dir(directory(machine)).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let file = read(&path)?;
            let repository = Repository::at(&file.path);
            // What cannot be asked for now, a disk of others for one, is not gone.
            if matches!(repository.lock().try_exists(), Ok(false)) {
                // It comes back with its next render.
                let _ = fs::remove_file(&path);
                return None;
            }
            Some(repository)
        })
        .collect()
}

impl Project {
    /// Whether its lock names a version of an adapter that is installed, with these bytes: two publishers may have the same version. A lock that
    /// does not know them for this machine may mean any.
    pub(crate) fn locks(&self, name: &str, version: &str, sha256: Option<&str>) -> bool {
        let is_it = |plugin: &LockedPlugin| match (plugin.here(), sha256) {
            (Some(locked), Some(sha256)) => locked.sha256 == sha256,
            (None, _) | (_, None) => true,
        };
        let plugin = self.plugins.get(name);
        plugin.is_some_and(|plugin| {
            plugin.is_installed() && plugin.version == version && is_it(plugin)
        })
    }

    /// What its lock names of what is installed.
    pub(crate) fn installed(&self) -> impl Iterator<Item = (&String, &LockedPlugin)> {
        let plugins = self.plugins.iter();
        plugins.filter(|(_, plugin)| plugin.is_installed())
    }
}

fn directory(machine: &Machine) -> PathBuf {
    machine.data().join("projects")
}

fn file_of(machine: &Machine, path: &Path) -> PathBuf {
    let name = sha256_hex(path.as_os_str().as_encoded_bytes());
    directory(machine).join(format!("{name}.json"))
}
