//! The publishers that this machine trusts: `$XDG_CONFIG_HOME/ztc/trust.json`, one key for each source, pinned when it is first used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::error::{Failure, Location};
use crate::foreign::printable;
use crate::paths::Machine;
use crate::pipeline::journal::now;
use crate::plugins::signature::Key;
use crate::shell::word;

const FORMAT: u32 = 1;

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trust {
    format: u32,
    /// Every pinned key by the name of its source.
    pub(crate) sources: BTreeMap<String, Pin>,
    /// The sources whose keys an operator has forgotten: the next one is new, whatever was installed from there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) forgotten: BTreeSet<String>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) key: String,
    /// When it was pinned, RFC 3339, UTC.
    pub(crate) since: String,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            format: FORMAT,
            sources: BTreeMap::new(),
            forgotten: BTreeSet::new(),
        }
    }
}

/// Where it lies.
pub(crate) fn path(machine: &Machine) -> PathBuf {
    machine.config.join("trust.json")
}

impl Trust {
    /// Reads it; empty where there is none.
    pub(crate) fn load(machine: &Machine) -> Result<Self, Failure> {
        let path = path(machine);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::io("read", &path, &error)),
        };
        let trust: Self = serde_json::from_slice(&text).map_err(|error| {
            Failure::invalid("the list of trusted publishers cannot be read")
                .at(Location::file(path.display().to_string()))
                .detail(error)
                .detail("without it nobody here knows any more whose a source is, but where something was installed from it or it was seen")
                .help(format!(
                    "put it back from a copy; or move it away with `mv {} {}` and pin each key that is in it again, with `ztc plugins trust add SOURCE KEY`",
                    word(&path.display().to_string()),
                    word(&format!("{}.old", path.display()))
                ))
        })?;
        match trust.format {
            ..=FORMAT => Ok(trust),
            newer => Err(Failure::invalid(format!(
                "the list of trusted publishers has format {newer}, and this program reads {FORMAT}"
            ))
            .help("upgrade ztc")),
        }
    }

    /// The key of a source.
    pub(crate) fn key(&self, source: &str) -> Result<Option<Key>, Failure> {
        let pin = self.sources.get(source);
        pin.map(|pin| {
            Key::parse(&pin.key).map_err(|_| {
                Failure::invalid(format!(
                    "the list of trusted publishers has no key for `{source}`: `{}` is none",
                    printable(&pin.key)
                ))
                .help(format!(
                    "put the right one in its place with `ztc plugins trust add {} KEY`",
                    word(source)
                ))
            })
        })
        .transpose()
    }

    /// Pins a key, in place of the one that was there.
    pub(crate) fn pin(&mut self, source: &str, key: &Key) {
        let pin = Pin {
            key: key.text().to_owned(),
            since: now(),
        };
        self.sources.insert(source.to_owned(), pin);
        self.forgotten.remove(source);
    }

    /// Forgets the key of a source by an operator's word.
    pub(crate) fn forget(&mut self, source: &str) {
        self.sources.remove(source);
        self.forgotten.insert(source.to_owned());
    }

    /// Writes it.
    pub(crate) fn save(&self, machine: &Machine) -> Result<(), Failure> {
        let path = path(machine);
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::failed("failed to write the list of trusted publishers")
                .detail(error)
                .help("report this to the authors of ztc, with the whole command")
        })?;
        text.push(b'\n');
        atomic::private(&path, &text, Existing::Replace)
    }
}
