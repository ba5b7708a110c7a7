//! What this machine has signed: the last index of each tree, below `$XDG_DATA_HOME/ztc/signed`, so that a publisher does not go on from an older one
//! that somebody has put back. A tree is known by the indexes that followed each other in it, wherever its files lie, and by its directory where
//! somebody else has signed between; so one key may have several trees, and a tree a new key. Knows nothing of what other machines have signed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Existing};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure};
use crate::plugins::index::{self, Index};
use crate::plugins::previous::Previous;

const FORMAT: u32 = 1;

/// One tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// Where it was signed last.
    directory: PathBuf,
    /// Its adapters, and those that it has tables of versions of.
    names: BTreeSet<String>,
    key: String,
    serial: u64,
    /// When, RFC 3339, UTC.
    issued: String,
    /// SHA-256 of the last index.
    index: String,
    /// And of all before it.
    earlier: BTreeSet<String>,
}

/// What is known of the tree in a directory.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The file of its record.
    file: PathBuf,
    record: Option<Record>,
}

/// Whether the publisher has said which serial the next index gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serial {
    /// The one after the last.
    Next,
    /// One that begins anew.
    Said,
}

impl Memory {
    /// Refuses to go on from an index that is not the last one that was signed here. `next` is the index that would be signed.
    pub(crate) fn read(
        data: &Path,
        directory: &Path,
        previous: &Previous,
        (next, serial): (&Index, Serial),
    ) -> Result<Self, Failure> {
        let all = all(data)?;
        let known = |record: &&(PathBuf, Record)| {
            let (_, record) = record;
            previous
                .digest
                .as_ref()
                .is_some_and(|digest| record.index == *digest || record.earlier.contains(digest))
        };
        let key = match previous.digest {
            Some(_) => &previous.index.publisher.key,
            None => &next.publisher.key,
        };
        let names = names(next);
        let same_place = |record: &&(PathBuf, Record)| {
            let (_, record) = record;
            record.directory == directory && record.key == *key && !record.names.is_disjoint(&names)
        };
        let found = all.iter().find(known);
        let found = found.or_else(|| all.iter().find(same_place));
        let Some((file, record)) = found else {
            let name = sha256_hex(format!("{}\n{}", directory.display(), next.issued).as_bytes());
            return Ok(Self {
                file: data.join("signed").join(format!("{name}.json")),
                record: None,
            });
        };
        // Of another key's serials nothing follows.
        let is_above = next.serial > record.serial || next.publisher.key != record.key;
        match record.is_last(previous) || (serial == Serial::Said && is_above) {
            true => Ok(Self {
                file: file.clone(),
                record: Some(record.clone()),
            }),
            false => Err(record.older(directory, previous)),
        }
    }

    /// Remembers what was signed.
    pub(crate) fn save(
        self,
        directory: &Path,
        previous: &Previous,
        (text, next): (&[u8], &Index),
    ) -> Result<(), Failure> {
        let mut earlier = BTreeSet::new();
        if let Some(record) = self.record {
            earlier.extend(record.earlier);
            earlier.insert(record.index);
        }
        earlier.extend(previous.digest.clone());
        let record = Record {
            format: FORMAT,
            directory: directory.to_owned(),
            names: names(next),
            key: next.publisher.key.clone(),
            serial: next.serial,
            issued: next.issued.clone(),
            index: sha256_hex(text),
            earlier,
        };
        let text = serde_json::to_vec_pretty(&record).map_err(|error| {
            Failure::failed("failed to write what was signed")
                .detail(error)
                .help("report this to the authors of ztc, with the whole command")
        })?;
        atomic::private(&self.file, &text, Existing::Replace)
    }
}

impl Record {
    /// Whether nothing was signed here after an index.
    fn is_last(&self, previous: &Previous) -> bool {
        match &previous.digest {
            None => false,
            Some(digest) if self.earlier.contains(digest) => false,
            Some(digest) if self.index == *digest => true,
            // Somebody else has gone on, as a CI does.
            Some(_) => previous.index.serial > self.serial,
        }
    }

    fn older(&self, directory: &Path, previous: &Previous) -> Failure {
        let shown = directory.display();
        let has = match previous.digest {
            Some(_) => format!("has serial {}", previous.index.serial),
            None => format!("has no `{}`", index::FILE),
        };
        let help = format!(
            "bring `{}` and `{}` back from where the tree is served, both from the same publication; somebody may have put older ones there",
            index::FILE,
            index::SIGNATURE
        );
        let lost = match self.serial.checked_add(1) {
            Some(next) => format!("`--serial {next}`"),
            None => "a new key (`--replace-key --serial 1`)".to_owned(),
        };
        Failure::new(
            Exit::Refused,
            format!(
                "`{shown}` {has}, and this machine has signed serial {} of it",
                self.serial
            ),
        )
        .detail(format!(
            "last signed: {} in `{}`",
            self.issued,
            self.directory.display()
        ))
        .help(format!(
            "{help}; where the last one is lost, {lost} goes on from what is here"
        ))
    }
}

fn names(index: &Index) -> BTreeSet<String> {
    let names = index.adapters.keys().chain(index.versions.keys());
    names.cloned().collect()
}

/// All records, by their files.
fn all(data: &Path) -> Result<Vec<(PathBuf, Record)>, Failure> {
    let directory = data.join("signed");
    let fail = |error: std::io::Error| Failure::io("read", &directory, &error);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            // What a killed one has left.
            continue;
        }
        let text = fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            Failure::failed(format!("`{}` cannot be read", path.display()))
                .detail(error)
                .help("it says what was signed last on this machine: restore it, or remove it when the tree is the one that is served")
        })?;
        if record.format > FORMAT {
            return Err(Failure::failed(format!(
                "`{}` has format {}, and this program reads {FORMAT}",
                path.display(),
                record.format
            ))
            .help("upgrade ztc"));
        }
        all.push((path, record));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}
