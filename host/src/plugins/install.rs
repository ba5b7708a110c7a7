//! Installing: a source is opened and believed or refused, a release chosen, its bytes fetched into the store, verified and recorded. Runs
//! nothing of what it installs.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::Serialize;

use crate::digest;
use crate::error::{Exit, Failure};
use crate::lock;
use crate::paths::Machine;
use crate::pipeline::journal::now;
use crate::plugins::index::{Asset, Choice, Release, and};
use crate::plugins::mirror;
use crate::plugins::name::FileName;
use crate::plugins::seen;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::{self, Record, Store};
use crate::plugins::tree::{Known, Signed, Tree, Unsigned};
use crate::plugins::trust::Trust;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The adapter; nothing: the only one that the source has.
    pub(crate) name: Option<String>,
    pub(crate) range: Option<VersionReq>,
    pub(crate) source: Source,
}

/// What the operator allows.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) unsigned: Unsigned,
    pub(crate) moved: Moved,
    /// The key that has to have signed, by the operator's own word.
    pub(crate) key: Option<Key>,
    pub(crate) mode: Mode,
}

/// Whether an adapter may come from another source than the one that it was installed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Refuse,
    Allow,
}

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Install,
    /// Everything is checked that needs no download, and nothing written.
    DryRun,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) platform: String,
    pub(crate) source: String,
    pub(crate) publisher_key: Option<String>,
    pub(crate) trust: TrustWord,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) program: Option<PathBuf>,
    pub(crate) state: State,
    /// The version that the lock of the repository named before; nothing: the lock was not changed.
    pub(crate) lock_was: Option<String>,
    /// What is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// Why the bytes are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrustWord {
    /// Signed with the key that was pinned before.
    Pinned,
    /// Signed with the key that the lock names.
    Locked,
    /// Signed with a key that is pinned now.
    FirstUse,
    /// Not signed.
    Unsigned,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Installed,
    /// It was there.
    Present,
    /// It would be installed.
    Planned,
}

/// Opens a source with all that this machine knows of it, at the mirror where one is used.
pub(crate) fn open(machine: &Machine, source: Source, terms: &Terms) -> Result<Tree, Failure> {
    let source = mirror::through(machine, source)?;
    let name = source.name();
    let pinned = Trust::load(machine)?.key(&name)?;
    let key = match (&terms.key, pinned) {
        (Some(key), _) => Some((key.clone(), "`--key`")),
        (None, Some(key)) => Some((key, "the list of trusted publishers")),
        (None, None) => None,
    };
    let known = Known {
        key,
        seen: seen::load(&machine.data(), &name)?,
        serial: 0,
        unsigned: terms.unsigned,
    };
    Tree::open(source, known, Timestamp::now())
}

/// Installs what is wanted from an open tree. The store is held. `progress` hears how many bytes of how many have come.
pub(crate) fn from_tree(
    machine: &Machine,
    tree: &Tree,
    wish: &Wish,
    terms: &Terms,
    progress: impl FnMut(u64, u64),
) -> Result<Done, Failure> {
    let store = Store::new(machine);
    let place = tree.source.name();
    let name = name(tree, wish)?;
    let range = both(wish.range.as_ref(), tree.source.range());
    let choice = tree
        .index
        .choose(&place, &name, range.as_ref(), &lock::machine())?;
    let before = store.installed();
    compare(&before, &choice, &place, terms.moved)?;
    let done = |state: State| Done {
        name: name.clone(),
        version: choice.version.clone(),
        platform: lock::machine(),
        source: place.clone(),
        publisher_key: tree.signer.key().map(|key| key.text().to_owned()),
        trust: match &tree.signer {
            Signed::Nobody => TrustWord::Unsigned,
            Signed::Known(_) => TrustWord::Pinned,
            Signed::New(_) => TrustWord::FirstUse,
        },
        size: choice.asset.size,
        sha256: choice.asset.sha256.clone(),
        program: None,
        state,
        lock_was: None,
        warnings: Vec::new(),
    };
    if terms.mode == Mode::DryRun {
        return Ok(done(State::Planned));
    }
    let (program, state) = take(machine, tree, &place, &choice, terms, progress)?;
    Ok(Done {
        program,
        ..done(state)
    })
}

/// Brings the bytes of a release into the store and records them as those of a source; says where they are.
pub(crate) fn take(
    machine: &Machine,
    tree: &Tree,
    place: &str,
    choice: &Choice,
    terms: &Terms,
    progress: impl FnMut(u64, u64),
) -> Result<(Option<PathBuf>, State), Failure> {
    let store = Store::new(machine);
    let is_there = store.has(&choice.asset);
    if !is_there {
        fetch(&store, &tree.source, &choice.asset, progress)?;
    }
    // Not before: who hears only of a download that failed has not been shown the key.
    remember(machine, tree, terms)?;
    let record = Record {
        format: store::format(),
        name: choice.name.clone(),
        version: choice.version.clone(),
        source: place.to_owned(),
        publisher_key: tree.signer.key().map(|key| key.text().to_owned()),
        index_serial: tree.index.serial,
        installed: now(),
        platform: lock::machine(),
        release: choice.release.clone(),
    };
    let known = store.installed().iter().any(|old| {
        let same = Record {
            installed: old.installed.clone(),
            index_serial: old.index_serial,
            ..record.clone()
        };
        *old == same
    });
    if !known {
        store.save(&record)?;
    }
    let state = match is_there && known {
        true => State::Present,
        false => State::Installed,
    };
    Ok((store.program(&record), state))
}

/// Installs an executable of the operator's own. The store is held.
pub(crate) fn from_file(machine: &Machine, path: &Path, terms: &Terms) -> Result<Done, Failure> {
    let shown = path.display();
    if terms.unsigned == Unsigned::Refuse {
        return Err(Failure::new(
            Exit::Refused,
            format!("`{shown}` has no signature: a single file never has one"),
        )
        .help("add `--allow-unsigned` where you know these bytes by another way"));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let parsed = FileName::parse(&file).ok_or_else(|| {
        Failure::invalid(format!("`{file}` does not say which adapter it is"))
            .help("give the file a name such as `ztc-adapter-NAME-1.0.0-linux-x86_64`")
    })?;
    if parsed.platform != lock::machine() {
        let message = format!(
            "`{file}` is for {}, and this machine is {}",
            parsed.platform,
            lock::machine()
        );
        return Err(Failure::new(Exit::Missing, message).help("take the file for this machine"));
    }
    let fail = |error: std::io::Error| Failure::io("read", path, &error);
    let sha256 = digest::file(path).map_err(fail)?;
    let size = std::fs::metadata(path).map_err(fail)?.len();
    let asset = Asset {
        path: file.to_string(),
        size,
        sha256,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let source = Source::Directory(directory.to_owned());
    let place = format!("file://{shown}");
    let choice = Choice {
        name: parsed.name.clone(),
        version: parsed.version.clone(),
        release: Release {
            released: now(),
            platforms: [(parsed.platform.clone(), asset.clone())].into(),
            ..Release::default()
        },
        asset: asset.clone(),
    };
    let store = Store::new(machine);
    let before = store.installed();
    // The same version may be built again: it is the author's own file, and nobody has signed it.
    let others: Vec<Record> = before
        .into_iter()
        .filter(|record| record.source != place)
        .collect();
    compare(&others, &choice, &place, terms.moved)?;
    let record = Record {
        format: store::format(),
        name: parsed.name.clone(),
        version: parsed.version.clone(),
        source: place.clone(),
        publisher_key: None,
        index_serial: 0,
        installed: now(),
        platform: parsed.platform.clone(),
        release: choice.release,
    };
    let mut state = State::Planned;
    if terms.mode == Mode::Install {
        state = State::Present;
        if !store.has(&asset) {
            fetch(&store, &source, &asset, |_, _| {})?;
            state = State::Installed;
        }
        store.save(&record)?;
    }
    Ok(Done {
        name: parsed.name,
        version: parsed.version,
        platform: parsed.platform,
        source: place,
        publisher_key: None,
        trust: TrustWord::Unsigned,
        size,
        sha256: asset.sha256,
        program: store
            .program(&record)
            .filter(|_| terms.mode == Mode::Install),
        state,
        lock_was: None,
        warnings: Vec::new(),
    })
}

/// Returns the adapter that is wanted: the only one, where none is named.
pub(crate) fn name(tree: &Tree, wish: &Wish) -> Result<String, Failure> {
    match &wish.name {
        Some(name) => Ok(name.clone()),
        None => only_one(tree),
    }
}

fn only_one(tree: &Tree) -> Result<String, Failure> {
    let names: Vec<&str> = tree.index.adapters.keys().map(String::as_str).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Failure::new(
            Exit::Missing,
            format!("`{}` has no adapters", tree.source.name()),
        )),
        names => Err(
            Failure::invalid(format!("`{}` has several adapters", tree.source.name()))
                .detail(format!("it has {}", and(names)))
                .help(format!(
                    "run `ztc plugins install NAME --source {}`",
                    tree.source.name()
                )),
        ),
    }
}

/// Refuses what contradicts what is installed.
fn compare(before: &[Record], choice: &Choice, place: &str, moved: Moved) -> Result<(), Failure> {
    for old in before.iter().filter(|old| old.name == choice.name) {
        if old.source != place && moved == Moved::Refuse {
            return Err(Failure::new(
                Exit::Refused,
                format!("`{}` was installed from another source", choice.name),
            )
            .detail(format!("installed: {} from {}", old.version, old.source))
            .detail(format!("now: {} from {place}", choice.version))
            .help("add `--moved` where its publisher has moved, and you know it from them"));
        }
        let known = old.asset().map(|asset| &asset.sha256);
        if old.version == choice.version
            && old.source == place
            && known.is_some_and(|known| *known != choice.asset.sha256)
        {
            let version = choice.version.to_string();
            return Err(seen::other_bytes(
                place,
                &choice.name,
                &version,
                &old.platform,
            ));
        }
    }
    Ok(())
}

/// Pins a new key and keeps the index. The store is held.
pub(crate) fn remember(machine: &Machine, tree: &Tree, terms: &Terms) -> Result<(), Failure> {
    let place = tree.source.name();
    if let Some(key) = tree.signer.key() {
        let mut trust = Trust::load(machine)?;
        let is_known = trust.key(&place)?.is_some_and(|known| known == *key);
        if !is_known && (terms.key.is_some() || matches!(tree.signer, Signed::New(_))) {
            trust.pin(&place, key);
            trust.save(machine)?;
        }
        seen::save(&machine.data(), &place, &tree.text)?;
    }
    Ok(())
}

/// Brings bytes into the store; they are kept only when they are what they should be.
fn fetch(
    store: &Store,
    source: &Source,
    asset: &Asset,
    progress: impl FnMut(u64, u64),
) -> Result<PathBuf, Failure> {
    let mut incoming = store.begin()?;
    verified_copy(source, asset, &mut incoming, progress)?;
    store.keep(incoming, asset)
}

/// Copies bytes and refuses others than were signed. What was written is of no use then.
pub(crate) fn verified_copy(
    source: &Source,
    asset: &Asset,
    to: &mut dyn Write,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let sha256 = source.copy(asset, to, |come| progress(come, asset.size))?;
    match sha256 == asset.sha256 {
        true => Ok(()),
        false => Err(source.read_at(
            Failure::new(
                Exit::Refused,
                format!(
                    "`{}` of `{}` does not have the bytes that were signed",
                    asset.path,
                    source.name()
                ),
            )
            .detail(format!("signed: {}", asset.sha256))
            .detail(format!("found: {sha256}"))
            .help("do not use this tree: tell its publisher by another way than this source"),
        )),
    }
}

/// What fits two ranges.
pub(crate) fn both(one: Option<&VersionReq>, other: Option<VersionReq>) -> Option<VersionReq> {
    let (mut range, other) = match (one, other) {
        (None, other) => return other,
        (Some(one), None) => return Some(one.clone()),
        (Some(one), Some(other)) => (other, one),
    };
    range.comparators.extend(other.comparators.iter().cloned());
    Some(range)
}

/// Says why a file cannot be the executable for a platform; nothing where it can, as far as its first bytes tell.
pub(crate) fn format_problem(path: &Path, platform: &str) -> Result<Option<String>, Failure> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(20).read_to_end(&mut head))
        .map_err(|error| Failure::io("read", path, &error))?;
    let (system, arch) = platform.split_once('-').unwrap_or((platform, ""));
    let machine = |low: u8, high: u8| match u16::from_le_bytes([low, high]) {
        0x3e => "x86_64".to_owned(),
        0xb7 => "aarch64".to_owned(),
        0xf3 => "riscv64".to_owned(),
        other => format!("ELF machine {other}"),
    };
    Ok(match head.as_slice() {
        [b'#', b'!', ..] => None,
        [0x7f, b'E', b'L', b'F', ..] if system != "linux" => {
            Some("it is a program for Linux".to_owned())
        }
        [0x7f, b'E', b'L', b'F', .., low, high] => {
            let built = machine(*low, *high);
            (built != arch).then(|| format!("it is a program for {built}"))
        }
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] if system != "macos" => {
            Some("it is a program for macOS".to_owned())
        }
        [0xcf, 0xfa, 0xed, 0xfe, low, _, _, 1, ..] => {
            let built = match low {
                0x07 => "x86_64",
                0x0c => "aarch64",
                _ => "another processor",
            };
            (built != arch).then(|| format!("it is a program for {built}"))
        }
        // One file for several processors.
        [0xca, 0xfe, 0xba, 0xbe, ..] => None,
        _ => Some("it is neither a program nor a script".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_for_which_platform_a_program_is() {
        let elf = |machine: u8| {
            let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
            head.resize(18, 0);
            head.extend([machine, 0]);
            head
        };
        let mach = |processor: u8| vec![0xcf, 0xfa, 0xed, 0xfe, processor, 0, 0, 1, 0, 0, 0, 0];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        for (head, fits) in [
            (b"#!/bin/sh\n".to_vec(), "lx la mx ma"),
            (elf(0x3e), "lx"),
            (elf(0xb7), "la"),
            (mach(0x07), "mx"),
            (mach(0x0c), "ma"),
            (vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], "mx ma"),
            (b"PK\x03\x04".to_vec(), ""),
            (Vec::new(), ""),
        ] {
            std::fs::write(&path, &head).unwrap();
            let platforms = [
                ("lx", "linux-x86_64"),
                ("la", "linux-aarch64"),
                ("mx", "macos-x86_64"),
                ("ma", "macos-aarch64"),
            ];
            let found: Vec<&str> = platforms
                .into_iter()
                .filter(|(_, platform)| format_problem(&path, platform).unwrap().is_none())
                .map(|(short, _)| short)
                .collect();
            assert_eq!(found.join(" "), fits, "{head:x?}");
        }
    }
}
