//! Versions that their publishers have taken back (`yanked`), of what is installed or locked: by the index of a source that was seen last, so nothing
//! is asked. Changes nothing.

use std::collections::BTreeMap;

use crate::error::{Failure, Finding};
use crate::lock;
use crate::paths::Machine;
use crate::plugins::index::Index;
use crate::plugins::seen;
use crate::shell::word;

/// What the sources have shown last.
pub(crate) struct TakenBack<'a> {
    machine: &'a Machine,
    /// Each that was asked for; nothing: it was never seen.
    sources: BTreeMap<String, Option<Index>>,
    /// Those that cannot be read.
    broken: Vec<Failure>,
}

/// A version that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Its publisher's words.
    pub(crate) why: String,
    message: String,
    help: String,
}

impl Reason {
    /// Says it as a warning.
    pub(crate) fn finding(&self) -> Finding {
        Finding::warning(&self.message).help(&self.help)
    }
}

impl<'a> TakenBack<'a> {
    pub(crate) fn new(machine: &'a Machine) -> Self {
        Self {
            machine,
            sources: BTreeMap::new(),
            broken: Vec::new(),
        }
    }

    /// Says why a version of a source was taken back; nothing where it was not, or nobody knows.
    pub(crate) fn find(&mut self, source: &str, name: &str, version: &str) -> Option<Reason> {
        if !self.sources.contains_key(source) {
            let index = match seen::load(&self.machine.data(), source) {
                Ok(seen) => seen.map(|seen| seen.index),
                Err(failure) => {
                    self.broken.push(failure);
                    None
                }
            };
            self.sources.insert(source.to_owned(), index);
        }
        let index = self.sources.get(source)?.as_ref()?;
        reason(index, source, name, version)
    }

    /// What was seen of a source and cannot be read, so that nobody knows what it has taken back.
    pub(crate) fn broken(&self) -> impl Iterator<Item = Finding> {
        self.broken.iter().map(|failure| {
            let help = failure.help.clone().unwrap_or_default();
            Finding::warning(&failure.message).help(help)
        })
    }
}

/// Says why an index has taken a version back; nothing where it has not.
pub(crate) fn reason(index: &Index, source: &str, name: &str, version: &str) -> Option<Reason> {
    let release = index.adapters.get(name)?.versions.get(version)?;
    let why = release.yanked.clone()?;
    let other = index.choose(source, name, None, &lock::machine());
    Some(Reason {
        message: message(name, version, &why),
        help: match other {
            Ok(other) => {
                let mut help = format!(
                    "where it is not wanted any more, run `ztc plugins install {} --source {}`",
                    word(&format!("{name}@{}", other.version)),
                    word(source)
                );
                // Of those that are installed the newest is used, where no lock names another.
                if version.parse().is_ok_and(|version| other.version < version) {
                    let what = word(&format!("{name}@{version}"));
                    help.push_str(&format!(", then `ztc plugins remove {what}`"));
                }
                help
            }
            Err(_) => {
                "ask its publisher for another version: there is none for this machine".to_owned()
            }
        },
        why,
    })
}

/// The same words wherever it is said.
pub(crate) fn message(name: &str, version: &str, why: &str) -> String {
    format!("`{name}` {version} was taken back by its publisher: {why}")
}
