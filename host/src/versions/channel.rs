//! The channels: the one that this machine's operator has configured, in `$XDG_CONFIG_HOME/ztc/versions.yaml`, and the trees from which adapters were
//! installed, each for those adapters only. A repository names none: it does not decide whom a machine believes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::error::{Failure, Location};
use crate::paths::Machine;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tables::Table;
use crate::versions::Scope;
use crate::yaml;

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    /// The tree: `https://`, `file://` or a directory.
    pub(crate) source: String,
    /// The public key of its publisher; without it, the one that was pinned when it was first used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// A tree that may have newer tables.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) source: Source,
    pub(crate) key: Option<Key>,
    /// For which adapters it speaks; nothing: for all.
    pub(crate) adapters: Option<BTreeSet<String>>,
}

impl Channel {
    /// For whom it speaks.
    pub(crate) fn speaks(&self) -> Scope {
        match self.adapters {
            None => Scope::Everybody,
            Some(_) => Scope::Installed,
        }
    }

    /// Leaves out what it has no say in.
    pub(crate) fn scope<'a>(
        &'a self,
        all: &'a BTreeMap<String, Vec<Table>>,
    ) -> impl Iterator<Item = (&'a String, &'a Vec<Table>)> {
        all.iter().filter(|(name, _)| {
            self.adapters
                .as_ref()
                .is_none_or(|adapters| adapters.contains(*name))
        })
    }
}

/// Where the setting is.
pub(crate) fn path(machine: &Machine) -> PathBuf {
    machine.config.join("versions.yaml")
}

/// Reads the setting; nothing where there is none.
pub(crate) fn setting(machine: &Machine) -> Result<Option<Setting>, Failure> {
    let path = path(machine);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", &path, &error)),
    };
    yaml::parse(&text).map(Some).map_err(|error| {
        Failure::invalid("the setting of the versions channel cannot be read")
            .at(Location {
                file: path.display().to_string(),
                line: error.line,
                column: error.column,
            })
            .detail(error.message)
            .help("write `source: https://…` into it, or remove it with `ztc update-versions --forget`")
    })
}

/// Writes the setting.
pub(crate) fn save(machine: &Machine, setting: &Setting) -> Result<(), Failure> {
    let text = yaml::write(setting).map_err(|error| {
        Failure::failed("failed to write the setting of the channel").detail(error)
    })?;
    atomic::private(&path(machine), text.as_bytes(), Existing::Replace)
}

/// Removes the setting; says whether there was one.
pub(crate) fn forget(machine: &Machine) -> Result<bool, Failure> {
    let path = path(machine);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::io("remove", &path, &error)),
    }
}

/// Opens a setting.
pub(crate) fn open(machine: &Machine, setting: &Setting) -> Result<Channel, Failure> {
    let at = |failure: Failure| failure.at(Location::file(path(machine).display().to_string()));
    Ok(Channel {
        source: Source::parse(&setting.source, Path::new("/")).map_err(at)?,
        key: setting
            .key
            .as_deref()
            .map(Key::parse)
            .transpose()
            .map_err(at)?,
        adapters: None,
    })
}

/// Lists all channels, the configured one first.
pub(crate) fn all(machine: &Machine) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::new();
    if let Some(setting) = setting(machine)? {
        channels.push(open(machine, &setting)?);
    }
    let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in Store::new(machine).installed() {
        // What nobody has signed has no publisher who could sign tables.
        if record.publisher_key.is_some() {
            others.entry(record.source).or_default().insert(record.name);
        }
    }
    for (source, adapters) in others {
        let Ok(source) = Source::parse(&source, Path::new("/")) else {
            continue;
        };
        if channels.iter().any(|known| known.source == source) {
            continue;
        }
        channels.push(Channel {
            source,
            key: None,
            adapters: Some(adapters),
        });
    }
    Ok(channels)
}
