//! Tables of versions (`versions.yaml`): which one each adapter works with, and why. An adapter has its own; a channel (a signed tree, see `plugins`)
//! may have newer ones, and a lock pins what a project was rendered with.
//!
//! ```text
//! channel ─► update: fetched, verified, taken by the adapter ─► kept ─► Tables::choose ─► `initialize` of the adapter ─► lock
//! ```
//!
//! Choosing asks no network. What a table may say is limited by its adapter, which refuses the rest.

pub(crate) mod background;
pub(crate) mod channel;
pub(crate) mod kept;
pub(crate) mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use semver::Version;
use serde::Serialize;
use ztc_protocol::Manifest;
use ztc_protocol::manifest::TableInUse;
use ztc_protocol::message::VersionTable;

use crate::error::{Exit, Failure};
use crate::lock::{EMBEDDED, Lock, LockedTable};
use crate::paths::Machine;
use crate::plugins::index::Index;
use crate::plugins::seen::{self, Seen};
use crate::plugins::tables::Table;
use crate::plugins::trust::Trust;
use crate::versions::channel::Channel;

/// Where a table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// It is part of the adapter.
    Embedded,
    /// It was fetched before.
    Cached,
    /// It was fetched by this command.
    Remote,
}

/// The table that an adapter works with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Used {
    pub(crate) origin: Origin,
    #[serde(flatten)]
    pub(crate) table: LockedTable,
    /// Why this one, in a few words.
    pub(crate) why: String,
}

/// What can be given to adapters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// Where texts lie; nothing: there are none.
    data: Option<PathBuf>,
    /// Texts that are not kept, by their digests.
    texts: BTreeMap<String, String>,
    /// What is handed over whatever else there is: the conversation is an old one.
    exact: BTreeMap<String, VersionTable>,
    pins: BTreeMap<String, LockedTable>,
    offers: BTreeMap<String, Vec<Offer>>,
    /// Why an adapter works with its own where nothing better is offered, by adapter; the empty name stands for all others.
    reasons: BTreeMap<String, String>,
}

/// A table that was verified and is kept on this machine, or comes with this command.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) table: Table,
    /// The name of its source.
    pub(crate) source: String,
    pub(crate) origin: Origin,
    pub(crate) scope: Scope,
    /// Its text; nothing: it is read where it is kept.
    pub(crate) text: Option<String>,
}

/// For whom a source speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For every adapter: the operator has configured it.
    Everybody,
    /// For what was installed from it. An adapter of ztc, or one with a path, has nothing to do with it, whatever its name is.
    Installed,
}

/// A table to hand over, with what is to be said about it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// Nothing: the adapter keeps its own.
    pub(crate) table: Option<VersionTable>,
    pub(crate) used: Used,
}

/// Whether the lock's tables hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pins {
    Hold,
    /// Not for these adapters.
    HoldExcept(BTreeSet<String>),
    /// For no adapter.
    Dropped,
}

impl Tables {
    /// Reads what this machine keeps and what a lock pins.
    pub(crate) fn of(machine: &Machine, lock: Option<&Lock>, pins: &Pins) -> Result<Self, Failure> {
        let mut tables = Self {
            data: Some(machine.data()),
            pins: lock.map(|lock| lock.versions.clone()).unwrap_or_default(),
            ..Self::default()
        };
        match pins {
            Pins::Hold => {}
            Pins::HoldExcept(names) => tables.pins.retain(|name, _| !names.contains(name)),
            Pins::Dropped => tables.pins.clear(),
        }
        tables
            .reasons
            .insert(String::new(), "no channel is configured".to_owned());
        let trust = Trust::load(machine)?;
        for channel in channel::all(machine)? {
            tables.read(machine, &channel, &trust, Timestamp::now())?;
        }
        Ok(tables)
    }

    /// Offers only these.
    pub(crate) fn only(offers: BTreeMap<String, Vec<Offer>>) -> Self {
        Self {
            offers,
            ..Self::default()
        }
    }

    /// Gives exactly these, by adapter.
    pub(crate) fn exactly(exact: BTreeMap<String, VersionTable>) -> Self {
        Self {
            exact,
            ..Self::default()
        }
    }

    /// Whether an adapter is given exactly one.
    pub(crate) fn gives(&self, adapter: &str) -> bool {
        self.exact.contains_key(adapter)
    }

    /// Adds what a channel has given before.
    fn read(
        &mut self,
        machine: &Machine,
        channel: &Channel,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let source = channel.source.name();
        let index = match seen::load(&machine.data(), &source) {
            Ok(Some(Seen { index, .. })) => index,
            Ok(None) => {
                self.say(channel, format!("nothing was fetched of {source} yet"));
                return Ok(());
            }
            // Nothing newer is taken from there; what is rendered and what runs needs it no more than any other source.
            Err(failure) => {
                self.say(channel, failure.message);
                return Ok(());
            }
        };
        let key = match &channel.key {
            Some(key) => Some(key.clone()),
            None => trust.key(&source)?,
        };
        if key.is_none_or(|key| key.text() != index.publisher.key) {
            self.say(channel, format!("the key of {source} is not trusted"));
            return Ok(());
        }
        if index.is_expired(now) {
            let why = format!(
                "what is cached of {source} is not valid any more since {}",
                index.expires
            );
            self.say(channel, why);
            return Ok(());
        }
        self.say(channel, format!("{source} has no newer one"));
        self.offer(&machine.data(), channel, &source, &index);
        Ok(())
    }

    fn offer(&mut self, data: &std::path::Path, channel: &Channel, source: &str, index: &Index) {
        for (adapter, tables) in channel.scope(&index.versions) {
            let kept = tables.iter().filter(|table| kept::has(data, &table.sha256));
            let offers = kept.map(|table| Offer {
                table: table.clone(),
                source: source.to_owned(),
                origin: Origin::Cached,
                scope: channel.speaks(),
                text: None,
            });
            self.offers
                .entry(adapter.clone())
                .or_default()
                .extend(offers);
        }
    }

    /// Adds what was fetched just now; what the adapters themselves refused is not among it.
    pub(crate) fn add(&mut self, fetched: BTreeMap<String, Vec<Offer>>) {
        for (adapter, offers) in fetched {
            let known = self.offers.entry(adapter).or_default();
            // The same table may be kept already.
            known.retain(|known| {
                offers
                    .iter()
                    .all(|new| new.table.sha256 != known.table.sha256)
            });
            known.extend(offers);
        }
    }

    /// Names the adapters for which there is something newer than what the lock pins. `installed` says which source each was installed from.
    pub(crate) fn held_back(&self, installed: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let is_newer = |(name, pin): &(&String, &LockedTable)| {
            let from = installed(name);
            let mut offers = self.offers.get(*name).into_iter().flatten();
            offers.any(|offer| offer.speaks_for(from.as_deref()) && offer.table.serial > pin.serial)
        };
        let held_back = self.pins.iter().filter(is_newer);
        held_back.map(|(name, _)| name.clone()).collect()
    }

    /// Adds the text of a table that is not kept.
    pub(crate) fn know(&mut self, sha256: String, text: String) {
        self.texts.insert(sha256, text);
    }

    /// Says why the adapters of a channel work with their own tables.
    pub(crate) fn say(&mut self, channel: &Channel, why: String) {
        match &channel.adapters {
            None => drop(self.reasons.insert(String::new(), why)),
            Some(names) => {
                let reasons = names.iter().map(|name| (name.clone(), why.clone()));
                self.reasons.extend(reasons);
            }
        }
    }

    /// Whether there is anything but adapters' own tables.
    pub(crate) fn is_plain(&self) -> bool {
        let own = |pin: &LockedTable| pin.source == EMBEDDED;
        self.offers.values().all(Vec::is_empty)
            && self.pins.values().all(own)
            && self
                .reasons
                .get("")
                .is_none_or(|why| why == "no channel is configured")
    }

    /// Chooses the table of an adapter that has said which one is its own; nothing: it has none. `installed` is the source that it was installed
    /// from.
    pub(crate) fn choose(
        &self,
        manifest: &Manifest,
        installed: Option<&str>,
    ) -> Result<Option<Chosen>, Failure> {
        let Some(own) = &manifest.versions else {
            return Ok(None);
        };
        let keeps = |why: String| Chosen {
            table: None,
            used: Used {
                origin: Origin::Embedded,
                table: LockedTable {
                    serial: own.serial,
                    sha256: own.sha256.clone(),
                    source: EMBEDDED.to_owned(),
                    ..LockedTable::default()
                },
                why,
            },
        };
        if let Some(table) = self.exact.get(&manifest.name) {
            let pin = LockedTable {
                serial: table.serial,
                sha256: table.sha256.clone(),
                source: "the recording".to_owned(),
                ..LockedTable::default()
            };
            let why = "it was given this one then";
            return Ok(Some(chosen(
                Origin::Cached,
                pin,
                table.content.clone(),
                why,
            )));
        }
        if let Some(pin) = self.pins.get(&manifest.name) {
            return match pin.source == EMBEDDED || pin.sha256 == own.sha256 {
                true => Ok(Some(keeps("platform/lock.json pins it".to_owned()))),
                false => self.pinned(&manifest.name, pin).map(Some),
            };
        }
        let version = Version::parse(&manifest.version).ok();
        let is_for = |offer: &&Offer| {
            version
                .as_ref()
                .is_some_and(|version| offer.table.range().matches(version))
        };
        let offers = self.offers.get(&manifest.name).into_iter().flatten();
        let newest = offers
            .filter(is_for)
            .filter(|offer| offer.speaks_for(installed))
            .filter(|offer| offer.table.serial > own.serial)
            .max_by_key(|offer| offer.table.serial);
        let Some(offer) = newest else {
            let of_its_source = installed.and_then(|_| self.reasons.get(&manifest.name));
            let why = of_its_source.or_else(|| self.reasons.get(""));
            return Ok(Some(keeps(why.cloned().unwrap_or_default())));
        };
        let text = match &offer.text {
            Some(text) => text.clone(),
            None => self.text(&manifest.name, &offer.table.sha256, &offer.source)?,
        };
        let why = match offer.origin {
            Origin::Remote => "it was fetched just now",
            Origin::Cached | Origin::Embedded => "it is the newest that was fetched",
        };
        Ok(Some(chosen(offer.origin, offer.pin(), text, why)))
    }

    fn pinned(&self, adapter: &str, pin: &LockedTable) -> Result<Chosen, Failure> {
        let text = self.text(adapter, &pin.sha256, &pin.source)?;
        Ok(chosen(
            Origin::Cached,
            pin.clone(),
            text,
            "platform/lock.json pins it",
        ))
    }

    fn text(&self, adapter: &str, sha256: &str, source: &str) -> Result<String, Failure> {
        let is_kept = || kept::read(self.data.as_deref()?, sha256);
        let text = self.texts.get(sha256).cloned().or_else(is_kept);
        text.ok_or_else(|| {
            Failure::new(
                Exit::Missing,
                format!("the table of versions of `{adapter}` that platform/lock.json pins is not on this machine"),
            )
            .detail(format!("from: {source}"))
            .detail(format!("sha256: {sha256}"))
            .help("run `ztc update-versions`, which fetches it; `ztc render --new-versions` takes what there is instead")
        })
    }
}

impl Offer {
    /// Whether its source has a say in an adapter that was installed from `installed`.
    fn speaks_for(&self, installed: Option<&str>) -> bool {
        match self.scope {
            Scope::Everybody => true,
            Scope::Installed => installed == Some(self.source.as_str()),
        }
    }

    fn pin(&self) -> LockedTable {
        LockedTable {
            serial: self.table.serial,
            sha256: self.table.sha256.clone(),
            source: self.source.clone(),
            path: self.table.path.clone(),
            size: self.table.size,
        }
    }
}

impl Chosen {
    /// Refuses an adapter that passed over the table that it was given.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<(), Failure> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let is_it = |used: &TableInUse| used.serial == table.serial && used.sha256 == table.sha256;
        match manifest.versions.as_ref().is_some_and(is_it) {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "adapter `{}` does not work with the table of versions that it was given",
                manifest.name
            ))
            .detail(format!(
                "it was table {} of {}",
                table.serial, self.used.table.source
            ))
            .help("this is a bug of the adapter: tell its author")),
        }
    }

    /// Says what a failure has to do with the table.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match &self.table {
            None => failure,
            Some(table) => failure
                .detail(format!(
                    "it was given table {} of its versions, of {} ({})",
                    table.serial, self.used.table.source, self.used.why
                ))
                .help("`ztc render --new-versions` takes the newest table that is kept; `ztc update-versions --forget` leaves adapters with their own"),
        }
    }
}

impl Used {
    /// Says it in one line.
    pub(crate) fn text(&self, adapter: &str) -> String {
        format!("versions of {adapter}: {}", self.short())
    }

    /// The same without the adapter's name.
    pub(crate) fn short(&self) -> String {
        let from = match self.origin {
            Origin::Embedded => "its own".to_owned(),
            Origin::Cached => format!("cached, of {}", self.table.source),
            Origin::Remote => format!("of {}", self.table.source),
        };
        format!("table {}, {from} ({})", self.table.serial, self.why)
    }
}

fn chosen(origin: Origin, table: LockedTable, content: String, why: &str) -> Chosen {
    Chosen {
        table: Some(VersionTable {
            serial: table.serial,
            sha256: table.sha256.clone(),
            content,
        }),
        used: Used {
            origin,
            table,
            why: why.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
