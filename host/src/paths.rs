//! Where everything lies: the operator's repository and the directories of this machine. Makes no file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};

/// The operator's repository: the directory that holds `platform.yaml`.
#[derive(Clone, Debug)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// Takes a directory as the repository.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Takes the directory that was asked for, or the current one.
    pub fn find(directory: Option<&Path>) -> Result<Self, Failure> {
        let root = match directory {
            Some(directory) => std::fs::canonicalize(directory).map_err(|error| {
                Failure::io("open", directory, &error)
                    .help("give `--directory` a directory that exists")
            })?,
            None => std::env::current_dir().map_err(|error| {
                Failure::new(Exit::Failed, "failed to find the current directory").detail(error)
            })?,
        };
        Ok(Self { root })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `platform.yaml`.
    pub fn platform(&self) -> PathBuf {
        self.root.join("platform.yaml")
    }

    /// `platform.<environment>.yaml`, which merges over it.
    pub fn overlay(&self, environment: &str) -> PathBuf {
        self.root.join(format!("platform.{environment}.yaml"))
    }

    /// `platform/generated`.
    pub fn generated(&self) -> PathBuf {
        self.root.join("platform/generated")
    }

    /// `platform/lock.json`.
    pub fn lock(&self) -> PathBuf {
        self.root.join("platform/lock.json")
    }

    /// `bootstrap/pipeline/<environment>.yaml`.
    pub fn pipeline(&self, environment: &str) -> PathBuf {
        self.root
            .join(format!("bootstrap/pipeline/{environment}.yaml"))
    }

    /// `secrets`: what the operator stores here himself.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// `secrets/<environment>`: what belongs to one cluster and never to another.
    pub fn secrets_of(&self, environment: &str) -> PathBuf {
        self.secrets().join(environment)
    }

    /// `.zerotouch-cache`.
    pub fn cache(&self) -> PathBuf {
        self.root.join(".zerotouch-cache")
    }

    /// `.zerotouch-cache/workspace`, where a render is staged.
    pub fn workspace(&self) -> PathBuf {
        self.cache().join("workspace")
    }

    /// `.zerotouch-cache/runs`.
    pub fn runs(&self) -> PathBuf {
        self.cache().join("runs")
    }

    /// `.zerotouch-cache/state/<environment>`, which stages share.
    pub fn state(&self, environment: &str) -> PathBuf {
        self.cache().join("state").join(environment)
    }

    /// Returns a path as people should read it: relative to the repository where it is inside.
    pub fn display(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// Directories of this machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Installed plugins: `$XDG_DATA_HOME/ztc/plugins`.
    pub plugins: PathBuf,
    /// Caches: `$XDG_CACHE_HOME/ztc`.
    pub cache: PathBuf,
    /// Settings: `$XDG_CONFIG_HOME/ztc`.
    pub config: PathBuf,
    /// How this command runs adapters.
    pub running: Running,
}

/// How a command runs adapters.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// What keeps them in.
    pub confinement: Confinement,
    /// The adapters that run already, with their sockets.
    pub attached: BTreeMap<String, PathBuf>,
    /// Their authors' own builds, by name.
    pub dev: BTreeMap<String, PathBuf>,
    /// Where what is said with them is written.
    pub record: Option<PathBuf>,
    /// Where the files of all sources of plugins are read: a directory or an address that `ztc plugins mirror` has filled.
    pub mirror: Option<String>,
}

/// What keeps adapters in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// The sandbox, as far as the kernel has one.
    #[default]
    Sandbox,
    /// Nothing, because the operator says so.
    Nothing,
}

impl Machine {
    /// What ztc keeps on this machine: `$XDG_DATA_HOME/ztc`.
    pub fn data(&self) -> PathBuf {
        self.plugins.parent().unwrap_or(&self.plugins).to_owned()
    }

    /// Asks the system.
    pub fn find() -> Self {
        let home = || std::env::temp_dir().join("ztc-no-home");
        Self {
            plugins: dirs::data_dir().unwrap_or_else(home).join("ztc/plugins"),
            cache: dirs::cache_dir().unwrap_or_else(home).join("ztc"),
            config: dirs::config_dir().unwrap_or_else(home).join("ztc"),
            running: Running::default(),
        }
    }
}
