//! What adapters say about bundles that exist: validity and expiry. Reads, and changes nothing; messages hold no value.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ztc_protocol::manifest::SecretBundle;
use ztc_protocol::message::{CheckSecrets, CheckSecretsParams, CheckSecretsResult};

use crate::adapter::Adapter;
use crate::error::{Failure, Finding, Location, Severity};
use crate::paths::Repository;
use crate::secrets::bundle::Bundle;

/// How the facts are called that say when something ends.
const EXPIRES: &str = " expires";

/// A bundle that exists, and what its adapter says about it.
pub(crate) struct Checked {
    /// Its name.
    pub(crate) name: String,
    /// Its file, for people.
    pub(crate) file: String,
    /// What the adapter says.
    pub(crate) result: CheckSecretsResult,
}

impl Checked {
    /// Everything that is wrong with it, with its file.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let prefix = format!("secret bundle `{}`: ", self.name);
        findings(&prefix, &self.result)
            .into_iter()
            .map(|finding| finding.at(Location::file(&self.file)))
            .collect()
    }
}

/// Checks every bundle of an adapter that exists.
pub(crate) async fn existing(
    repository: &Repository,
    environment: &str,
    adapter: &Adapter,
) -> Result<Vec<Checked>, Failure> {
    let mut checked = Vec::new();
    for bundle in &adapter.manifest.bundles {
        let Some(content) = read(repository, environment, &bundle.name) else {
            continue;
        };
        let path = Bundle::path(repository, environment, &bundle.name);
        checked.push(Checked {
            name: bundle.name.clone(),
            file: repository.display(&path),
            result: ask(repository, environment, adapter, bundle, &content).await?,
        });
    }
    Ok(checked)
}

/// Asks an adapter about the text of a bundle.
pub(crate) async fn ask(
    repository: &Repository,
    environment: &str,
    adapter: &Adapter,
    bundle: &SecretBundle,
    content: &str,
) -> Result<CheckSecretsResult, Failure> {
    let from: BTreeMap<String, String> = bundle
        .from
        .iter()
        .filter_map(|source| Some((source.clone(), read(repository, environment, source)?)))
        .collect();
    let params = CheckSecretsParams {
        bundle: bundle.name.clone(),
        content: content.to_owned(),
        from,
        ..CheckSecretsParams::default()
    };
    adapter.call::<CheckSecrets>(params).await
}

fn read(repository: &Repository, environment: &str, name: &str) -> Option<String> {
    std::fs::read_to_string(Bundle::path(repository, environment, name)).ok()
}

/// Files below `secrets/` that others on this machine may read, and directories in which they may look or write; nothing where there are none.
pub(crate) fn open_files(repository: &Repository) -> Option<Finding> {
    let mut open = Open::default();
    look(&repository.secrets(), 0, &mut open);
    let (found, what) = match open.files.is_empty() {
        false => (&open.files, "can be read by others on this machine"),
        true => (&open.directories, "is open to others on this machine"),
    };
    let first = found.first()?;
    let shown = repository.display(first);
    let message = match (found.len(), open.files.is_empty()) {
        (1, _) => format!("`{shown}` holds secrets and {what}"),
        (count, false) => format!("`{shown}` and {} more hold secrets and {what}", count - 1),
        (count, true) => format!(
            "`{shown}` and {} more directories hold secrets and are open to others on this machine",
            count - 1
        ),
    };
    Some(
        Finding::warning(message)
            .at(Location::file(&shown))
            .help("run `chmod -R go-rwx secrets`"),
    )
}

#[derive(Default)]
struct Open {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

/// `depth` counts from `secrets/` itself, which tools of others may have made: there only writing is a finding. ztc makes those inside with 0700.
fn look(path: &Path, depth: usize, open: &mut Open) {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return;
    };
    let is_public = path.extension().is_some_and(|extension| extension == "pub");
    let mode = meta.permissions().mode();
    if meta.is_file() && !is_public && mode & 0o077 != 0 {
        open.files.push(path.to_owned());
    }
    if meta.is_dir() {
        let too_much = if depth == 0 { 0o022 } else { 0o077 };
        if mode & too_much != 0 {
            open.directories.push(path.to_owned());
        }
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        inside.sort();
        inside.iter().for_each(|path| look(path, depth + 1, open));
    }
}

/// Puts what an adapter says into words.
pub(crate) fn findings(prefix: &str, result: &CheckSecretsResult) -> Vec<Finding> {
    result
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let place = diagnostic.pointer.trim_start_matches('/').replace('/', ".");
            let message = if place.is_empty() {
                format!("{prefix}{}", diagnostic.message)
            } else {
                format!("{prefix}{place}: {}", diagnostic.message)
            };
            Finding {
                severity: diagnostic.severity,
                message,
                location: None,
                help: diagnostic.help.clone(),
                pointer: None,
            }
        })
        .collect()
}

/// The day on which the first certificate ends, where the adapter says so.
pub(crate) fn first_end(result: &CheckSecretsResult) -> Option<&str> {
    let ends = result
        .facts
        .iter()
        .filter(|(name, _)| name.ends_with(EXPIRES));
    ends.map(|(_, day)| day.as_str()).min()
}

/// Splits findings into warnings and a failure, where there is an error among them.
pub(crate) fn judge(checked: &[Checked]) -> Result<Vec<Finding>, Failure> {
    let found: Vec<Finding> = checked.iter().flat_map(Checked::findings).collect();
    if found
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Err(Failure::findings("secret bundles are not valid", found));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_that_others_can_open_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let inside = repository.secrets_of("lab");
        let file = inside.join("talos.yaml");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(&file, "a: b\n").unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let found = || open_files(&repository).map(|finding| finding.message);
        for (own, environment, bundle, expected) in [
            (0o700, 0o700, 0o600, None),
            (0o755, 0o700, 0o600, None),
            (
                0o775,
                0o700,
                0o600,
                Some("`secrets` holds secrets and is open to others on this machine"),
            ),
            (
                0o700,
                0o755,
                0o600,
                Some("`secrets/lab` holds secrets and is open to others on this machine"),
            ),
            (
                0o777,
                0o711,
                0o600,
                Some(
                    "`secrets` and 1 more directories hold secrets and are open to others on this machine",
                ),
            ),
            (
                0o700,
                0o755,
                0o644,
                Some(
                    "`secrets/lab/talos.yaml` holds secrets and can be read by others on this machine",
                ),
            ),
        ] {
            set(&repository.secrets(), own);
            set(&inside, environment);
            set(&file, bundle);
            assert_eq!(found().as_deref(), expected, "{own:o} {environment:o}");
        }
    }
}
