//! Keeps answers, stores typed secrets and writes `platform.yaml`. Every file is written in one step.
//!
//! A secret's value goes into `secrets/<name>` and nowhere else, and not before `.gitignore` names that directory.

use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};
use crate::error::Failure;
use crate::mask::Mask;
use crate::paths::Repository;
use crate::secrets::git;
use crate::wizard::prompter::World;
use crate::wizard::{Draft, document};
use crate::yaml::YamlError;

/// The operator's repository and environment.
pub struct Files {
    repository: Repository,
    mask: Mask,
    keeps: bool,
}

impl Files {
    /// Makes the world of the terminal, where every answer is kept at once.
    pub fn keeping(repository: &Repository, mask: &Mask) -> Self {
        Self {
            repository: repository.clone(),
            mask: mask.clone(),
            keeps: true,
        }
    }

    /// Makes the world of the twin, which writes nothing before all is well.
    pub fn writing_nothing(repository: &Repository, mask: &Mask) -> Self {
        Self {
            repository: repository.clone(),
            mask: mask.clone(),
            keeps: false,
        }
    }
}

impl World for Files {
    fn keep(&mut self, draft: &Draft) -> Result<(), Failure> {
        if !self.keeps {
            return Ok(());
        }
        git::ensure_ignored(&self.repository)?;
        atomic::private(
            &kept(&self.repository),
            text(document::write_answers(draft))?.as_bytes(),
            Existing::Replace,
        )
    }

    fn store(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        git::ensure_ignored(&self.repository)?;
        self.mask.add(name, value);
        atomic::private(
            &self.repository.secrets().join(name),
            value.as_bytes(),
            Existing::Replace,
        )
    }

    fn has_variable(&self, name: &str) -> bool {
        std::env::var_os(name).is_some_and(|value| !value.is_empty())
    }

    fn has_file(&self, path: &str) -> bool {
        self.repository.root().join(path).is_file()
    }
}

/// Where the answers of a conversation that has not ended are kept.
pub fn kept(repository: &Repository) -> PathBuf {
    repository.cache().join("init-answers.yaml")
}

/// Where the platform.yaml that was written over last is kept.
pub fn previous(repository: &Repository) -> PathBuf {
    repository.cache().join("platform.yaml.previous")
}

/// Forgets the answers of a conversation.
pub fn forget(repository: &Repository) -> Result<(), Failure> {
    let path = kept(repository);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Whether answers are kept that are newer than platform.yaml.
pub fn has_newer_answers(repository: &Repository) -> bool {
    let changed = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    changed(&kept(repository)).is_some_and(|answers| {
        changed(&repository.platform()).is_none_or(|platform| answers >= platform)
    })
}

/// Writes `platform.yaml` and keeps the one that it takes the place of. Returns whether there was one.
pub fn write(repository: &Repository, draft: &Draft) -> Result<bool, Failure> {
    git::ensure_ignored(repository)?;
    // A link stays a link.
    let path =
        std::fs::canonicalize(repository.platform()).unwrap_or_else(|_| repository.platform());
    let replaces = path.exists();
    if replaces {
        let old = std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        atomic::private(&previous(repository), &old, Existing::Replace)?;
    }
    atomic::public(&path, &text(document::write(draft))?)?;
    Ok(replaces)
}

fn text(written: Result<String, YamlError>) -> Result<String, Failure> {
    written.map_err(|error| Failure::failed("failed to write the answers as YAML").detail(error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(path: PathBuf) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_typed_secret_is_private_and_masked_and_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let mask = Mask::default();
        Files::keeping(&repository, &mask)
            .store("hetzner-api-token", "tok-123456")
            .unwrap();
        let path = directory.path().join("secrets/hetzner-api-token");
        assert_eq!(read(path.clone()), "tok-123456");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            std::fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        assert_eq!(mask.apply("tok-123456"), "********");
        assert!(read(directory.path().join(".gitignore")).contains("/secrets/"));
    }

    #[test]
    fn a_platform_that_is_written_over_is_kept_beside() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let draft = Draft {
            environment: Some("staging".into()),
            ..Draft::default()
        };
        assert!(!write(&repository, &draft).unwrap());
        let first = read(repository.platform());
        std::fs::set_permissions(
            repository.platform(),
            std::fs::Permissions::from_mode(0o640),
        )
        .unwrap();
        assert!(
            write(
                &repository,
                &Draft {
                    environment: Some("production".into()),
                    ..draft
                }
            )
            .unwrap()
        );
        assert_eq!(read(previous(&repository)), first);
        assert!(read(repository.platform()).contains("environment: production"));
        assert_eq!(
            std::fs::metadata(repository.platform())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o640
        );
    }
}
