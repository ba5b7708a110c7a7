//! Installing: a source is opened and believed or refused, a release chosen, its bytes fetched into the store, verified and recorded. Runs
//! nothing of what it installs.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::Serialize;

use crate::error::{Exit, Failure};
use crate::lock;
use crate::lock::plugins::LockedPlugin;
use crate::paths::Machine;
use crate::pipeline::journal::now;
use crate::plugins::agreed::{self, NewPowers, Powers};
use crate::plugins::index::{Asset, Choice, and};
use crate::plugins::mirror;
use crate::plugins::remembered;
use crate::plugins::seen::{self, Seen};
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::{self, Incoming, Record, Store};
use crate::plugins::taken_back;
use crate::plugins::tree::{Known, OPTION, PIN, Signed, Tree, Unsigned};
use crate::plugins::trust::Trust;
use crate::shell::word;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The adapter; nothing: the only one that the source has.
    pub(crate) name: Option<String>,
    pub(crate) range: Option<VersionReq>,
    pub(crate) source: Source,
    /// What the lock of the repository has of it.
    pub(crate) locked: Option<LockedPlugin>,
}

/// What the operator allows.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) unsigned: Unsigned,
    pub(crate) moved: Moved,
    /// The key that has to have signed, by the operator's own word.
    pub(crate) key: Option<Key>,
    /// What no version before could touch.
    pub(crate) powers: NewPowers,
    pub(crate) mode: Mode,
}

impl Terms {
    /// Those of who says nothing.
    pub(crate) fn plain(mode: Mode) -> Self {
        Self {
            unsigned: Unsigned::Never(
                "where you know these bytes by another way, `ztc plugins install` takes them with `--allow-unsigned`",
            ),
            moved: Moved::Refuse,
            key: None,
            powers: NewPowers::Refuse,
            mode,
        }
    }
}

/// Who hears of what takes time.
pub(crate) struct Watch<'a> {
    /// Another program changes what is installed; it is waited for.
    pub(crate) waiting: &'a dyn Fn(),
    /// How many bytes of how many have come.
    pub(crate) progress: &'a dyn Fn(u64, u64),
    /// A key is about to be pinned.
    pub(crate) new_key: NewKey<'a>,
    /// Bytes begin to come into a file.
    pub(crate) begins: &'a dyn Fn(&Path),
    /// They have come: what is installed is about to change.
    pub(crate) has_come: &'a dyn Fn(),
}

/// Shows the key of a source before it is pinned: whatever happens next, nobody trusts a key that was never shown.
pub(crate) type NewKey<'a> = &'a dyn Fn(&str, &Key);

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
    /// What it may touch.
    pub(crate) powers: Powers,
    /// The version that the lock of the repository named before; nothing: the lock was not changed.
    pub(crate) lock_was: Option<String>,
    /// The serial that the lock named before, where it names a smaller one now: the tree began anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lock_serial_was: Option<u64>,
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
    let known = Known {
        key: match &terms.key {
            Some(key) => Some((key.clone(), OPTION)),
            None => remembered::key(machine, &name)?,
        },
        seen: last_seen(machine, &name, terms)?,
        serial: 0,
        unsigned: terms.unsigned,
    };
    let tree = Tree::open(source, known, Timestamp::now())?;
    notice(machine, &tree, terms);
    Ok(tree)
}

/// Keeps what a source of a known publisher shows, although nothing may be installed from it: from then on nothing older is believed. Where that
/// cannot be written, or somebody else is writing, it was seen in vain.
pub(crate) fn notice(machine: &Machine, tree: &Tree, terms: &Terms) {
    let is_plain = terms.key.is_none() && terms.moved == Moved::Refuse;
    if terms.mode == Mode::DryRun || !is_plain || !matches!(tree.signer, Signed::Known(_)) {
        return;
    }
    if let Ok(Some(_hold)) = Store::new(machine).hold_now() {
        // What contradicts the last one was refused when the tree was opened.
        let _ = remember(machine, tree, terms, &|_, _| {});
    }
}

/// Returns what a source has shown last; nothing where the operator says that it begins anew.
pub(crate) fn last_seen(
    machine: &Machine,
    place: &str,
    terms: &Terms,
) -> Result<Option<Seen>, Failure> {
    match terms.moved {
        Moved::Refuse => seen::load(&machine.data(), place),
        Moved::Allow => Ok(None),
    }
}

/// Installs what is wanted from an open tree.
pub(crate) fn from_tree(
    machine: &Machine,
    tree: &Tree,
    wish: &Wish,
    terms: &Terms,
    watch: &Watch<'_>,
) -> Result<Done, Failure> {
    let store = Store::new(machine);
    let place = tree.source.name();
    let name = name(tree, wish)?;
    let range = both(wish.range.as_ref(), tree.source.range());
    let choice = tree
        .index
        .choose(&place, &name, range.as_ref(), &lock::machine())?;
    let before = store.installed();
    let locked = wish.locked.as_ref();
    compare(&before, &choice, tree, terms.moved)?;
    if let Some(locked) = locked {
        compare_locked(locked, &choice, tree, terms.moved)?;
    }
    let earlier = agreed::earlier(&before, locked, Some(&tree.index), &choice);
    let mut done = Done {
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
        state: State::Planned,
        powers: Powers::of(&choice.release, earlier.as_ref()),
        lock_was: None,
        lock_serial_was: None,
        warnings: Vec::new(),
    };
    if let Some(why) = &choice.release.yanked {
        let version = choice.version.to_string();
        done.warnings
            .push(taken_back::message(&name, &version, why));
    }
    let question = done.powers.question(&name, &choice.version.to_string());
    match question.filter(|_| terms.powers == NewPowers::Refuse) {
        Some(question) if terms.mode == Mode::DryRun => {
            done.warnings
                .push(format!("{question}: this needs `--accept`"));
        }
        Some(question) => {
            let what = format!("{name}@{} --source {}", choice.version, word(&place));
            return Err(agreed::refusal(question, &what, terms));
        }
        None => {}
    }
    if terms.mode == Mode::Install {
        let again = |now: &[Record]| compare(now, &choice, tree, terms.moved);
        (done.program, done.state) = take(machine, tree, &place, &choice, terms, watch, again)?;
    }
    Ok(done)
}

/// Brings the bytes of a release into the store and records them as those of a source; says where they are. The store is held when the bytes
/// have come, and not while a server takes its time; `again` then sees what is installed by then.
pub(crate) fn take(
    machine: &Machine,
    tree: &Tree,
    place: &str,
    choice: &Choice,
    terms: &Terms,
    watch: &Watch<'_>,
    again: impl FnOnce(&[Record]) -> Result<(), Failure>,
) -> Result<(Option<PathBuf>, State), Failure> {
    let store = Store::new(machine);
    let bring = || fetch(&store, &tree.source, &choice.asset, watch);
    let is_there = store.has(&choice.asset);
    let come = match is_there {
        true => None,
        false => Some(bring()?),
    };
    let hold = store.hold(watch.waiting)?;
    (watch.has_come)();
    again(&store.installed())?;
    match come {
        Some(incoming) => drop(store.keep(incoming, &choice.asset)?),
        // Somebody has removed it meanwhile.
        None if !store.has(&choice.asset) => {
            let incoming = bring()?;
            (watch.has_come)();
            store.keep(incoming, &choice.asset)?;
        }
        None => {}
    }
    // Not before: who hears only of a download that failed has not been shown the key.
    remember(machine, tree, terms, watch.new_key)?;
    let record = Record {
        format: store::format(),
        name: choice.name.clone(),
        version: choice.version.clone(),
        source: place.to_owned(),
        publisher_key: tree.signer.key().map(|key| key.text().to_owned()),
        index_serial: tree.index.serial,
        installed: now(),
        platform: lock::machine(),
        file: false,
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
    // A tree that began anew has smaller serials than the record.
    if !known || terms.moved == Moved::Allow {
        store.save(&record)?;
    }
    store.sweep(&hold);
    let state = match is_there && known {
        true => State::Present,
        false => State::Installed,
    };
    Ok((store.program(&record), state))
}

/// Returns the adapter that is wanted: the one of the address, or the only one, where none is named.
pub(crate) fn name(tree: &Tree, wish: &Wish) -> Result<String, Failure> {
    match (&wish.name, tree.source.adapter()) {
        (Some(name), Some(of)) if name != of => Err(Failure::invalid(format!(
            "the address names a version of `{of}`, and `{name}` is asked for"
        ))
        .help(format!(
            "run `ztc plugins install {name} --source {}`",
            word(&tree.source.name())
        ))),
        (Some(name), _) => Ok(name.clone()),
        (None, Some(of)) => Ok(of.to_owned()),
        (None, None) => only_one(tree),
    }
}

fn only_one(tree: &Tree) -> Result<String, Failure> {
    let names: Vec<&str> = tree.index.adapters.keys().map(String::as_str).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Failure::new(
            Exit::Missing,
            format!("`{}` has no adapters", tree.source.name()),
        )
        .help("name another source: `ztc plugins install NAME --source SOURCE`")),
        names => Err(
            Failure::invalid(format!("`{}` has several adapters", tree.source.name()))
                .detail(format!("it has {}", and(names)))
                .help(format!(
                    "run `ztc plugins install {} --source {}`",
                    match tree.source.range() {
                        None => "NAME".to_owned(),
                        Some(range) =>
                            format!("NAME@{}", range.to_string().trim_start_matches('=')),
                    },
                    word(&tree.source.name())
                )),
        ),
    }
}

/// Refuses what contradicts what is installed.
fn compare(before: &[Record], choice: &Choice, tree: &Tree, moved: Moved) -> Result<(), Failure> {
    let place = tree.source.name();
    refuse_moved(before, choice, &place, moved)?;
    // A key that is new here by an operator's word begins anew: what another one has signed is no promise of its own.
    let is_other_key = |old: &Record| match &tree.signer {
        Signed::Known(key) => old.publisher_key.as_deref() != Some(key.text()),
        Signed::New(_) | Signed::Nobody => false,
    };
    let same = before.iter().find(|old| {
        (&old.name, &old.version) == (&choice.name, &choice.version) && old.source == place
    });
    let Some(old) = same.filter(|old| !is_other_key(old)) else {
        return Ok(());
    };
    match old.asset() {
        Some(known) if known.sha256 != choice.asset.sha256 => {
            let version = choice.version.to_string();
            Err(
                seen::other_bytes(&place, &choice.name, &version, &old.platform)
                    .detail(format!("installed: {}", known.sha256))
                    .detail(format!("now: {}", choice.asset.sha256)),
            )
        }
        _ => Ok(()),
    }
}

/// Refuses an adapter from another source than the one that it is installed from.
pub(crate) fn refuse_moved(
    before: &[Record],
    choice: &Choice,
    place: &str,
    moved: Moved,
) -> Result<(), Failure> {
    let other = |old: &&Record| old.name == choice.name && old.source != place;
    match before.iter().find(other).filter(|_| moved == Moved::Refuse) {
        None => Ok(()),
        Some(old) => Err(Failure::new(
            Exit::Refused,
            format!("`{}` was installed from another source", choice.name),
        )
        .detail(format!("installed: {} from {}", old.version, old.source))
        .detail(format!("now: {} from {place}", choice.version))
        .help("add `--moved` to `ztc plugins install` where its publisher has moved, and you know it from them")),
    }
}

/// Refuses other bytes of the version that a lock has, for any platform, by the same publisher.
fn compare_locked(
    locked: &LockedPlugin,
    choice: &Choice,
    tree: &Tree,
    moved: Moved,
) -> Result<(), Failure> {
    let key = tree.signer.key().map(Key::text);
    let is_its = match key {
        Some(_) => key == locked.publisher_key.as_deref(),
        // Nobody has signed it, so only its place says whose it is.
        None => moved == Moved::Refuse,
    };
    if !is_its || choice.version.to_string() != locked.version {
        return Ok(());
    }
    for (platform, executable) in &locked.platforms {
        let asset = choice.release.platforms.get(platform);
        if let Some(asset) = asset.filter(|asset| asset.sha256 != executable.sha256) {
            let (place, version) = (tree.source.name(), &locked.version);
            return Err(seen::other_bytes(&place, &choice.name, version, platform)
                .detail(format!("locked: {}", executable.sha256))
                .detail(format!("now: {}", asset.sha256)));
        }
    }
    Ok(())
}

/// Pins a new key, which is shown before, and keeps the index. The store is held, so what others have pinned and seen since the tree was opened is
/// compared here.
pub(crate) fn remember(
    machine: &Machine,
    tree: &Tree,
    terms: &Terms,
    new_key: NewKey<'_>,
) -> Result<(), Failure> {
    let place = tree.source.name();
    let Some(key) = tree.signer.key() else {
        return Ok(());
    };
    let mut trust = Trust::load(machine)?;
    let pinned = trust.key(&place)?;
    let is_pins = tree.says.as_deref().is_none_or(|says| says == PIN);
    match pinned {
        Some(pinned) if pinned == *key => {}
        Some(pinned) if is_pins => {
            return Err(Failure::new(
                Exit::Refused,
                format!("another key of `{place}` was pinned while this one was read"),
            )
            .detail(format!("pinned: {}", pinned.text()))
            .detail(format!("read: {}", key.text()))
            .help("run the same command again, and `ztc plugins trust list` where it stays so"));
        }
        _ if terms.key.is_some() || matches!(tree.signer, Signed::New(_)) => {
            if matches!(tree.signer, Signed::New(_)) {
                new_key(&place, key);
            }
            trust.pin(&place, key);
            trust.save(machine).map_err(|failure| {
                failure.detail(format!("the key of `{place}` is not trusted yet"))
            })?;
        }
        _ => {}
    }
    let last = last_seen(machine, &place, terms)?;
    let last = last.filter(|last| last.index.publisher.key == key.text());
    if let Some(last) = &last {
        if last.text == tree.text {
            return Ok(());
        }
        last.compare(&place, (&tree.text, &tree.index))?;
    }
    seen::save(
        &machine.data(),
        &place,
        last.as_ref(),
        (&tree.text, &tree.index),
    )
}

/// Brings bytes beside the store; they can be kept only when they are what they should be.
fn fetch(
    store: &Store,
    source: &Source,
    asset: &Asset,
    watch: &Watch<'_>,
) -> Result<Incoming, Failure> {
    let mut incoming = store.begin()?;
    (watch.begins)(incoming.path());
    verified_copy(source, asset, &mut incoming, watch.progress)?;
    Ok(incoming)
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
