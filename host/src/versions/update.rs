//! Fetching newer tables: the index verified as for an installation, the texts against their digests, and each table shown to its adapter, which takes or
//! refuses it. Only what was taken is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapter::{Discovery, Supervisor};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure};
use crate::lock::LockedTable;
use crate::paths::Machine;
use crate::plugins::index::Asset;
use crate::plugins::install::{self, Mode, NewKey, Terms};
use crate::plugins::source::Source;
use crate::plugins::tables::{Head, Table};
use crate::plugins::tree::{Tree, Unsigned};
use crate::ui::Ui;
use crate::versions::channel::Channel;
use crate::versions::{Offer, Origin, Scope, Tables, Used, kept};

/// How many new tables of an adapter are looked at, from the newest on: only one will be used.
const LOOKED_AT: usize = 4;

/// What a channel has.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) channel: Channel,
    pub(crate) tree: Tree,
    /// By adapter; those that are kept already without their texts.
    pub(crate) offers: BTreeMap<String, Vec<Offer>>,
}

/// A table that its adapter does not take.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) adapter: String,
    pub(crate) serial: u64,
    pub(crate) failure: Failure,
}

/// What is asked of a tree of versions.
pub(crate) fn terms(channel: &Channel) -> Terms {
    Terms {
        key: channel.key.clone(),
        unsigned: Unsigned::Never(
            "tables of versions are taken from signed trees only: its publisher signs it with `ztc plugins publish`",
        ),
        ..Terms::plain(Mode::Install)
    }
}

/// Fetches what a channel has for these adapters. Asks the network, writes nothing.
pub(crate) fn fetch(
    machine: &Machine,
    channel: &Channel,
    adapters: &BTreeSet<String>,
) -> Result<Fetched, Failure> {
    let tree = install::open(machine, channel.source.clone(), &terms(channel))?;
    let mut offers: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for (adapter, tables) in channel.scope(&tree.index.versions) {
        if !adapters.contains(adapter) {
            continue;
        }
        for table in tables.iter().rev().take(LOOKED_AT) {
            let text = match kept::has(&machine.data(), &table.sha256) {
                true => None,
                false => Some(text(&tree.source, &pin(&tree.source, table))?),
            };
            offers.entry(adapter.clone()).or_default().push(Offer {
                table: table.clone(),
                source: tree.source.name(),
                origin: Origin::Remote,
                scope: channel.speaks(),
                text,
            });
        }
    }
    Ok(Fetched {
        channel: channel.clone(),
        tree,
        offers,
    })
}

fn pin(source: &Source, table: &Table) -> LockedTable {
    LockedTable {
        serial: table.serial,
        sha256: table.sha256.clone(),
        source: source.name(),
        path: table.path.clone(),
        size: table.size,
    }
}

/// Fetches the text of a table whose digest is known.
pub(crate) fn text(source: &Source, table: &LockedTable) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let asset = Asset {
        path: table.path.clone(),
        size: table.size,
        sha256: table.sha256.clone(),
    };
    let sha256 = source.copy(&asset, &mut bytes, |_| {})?;
    let refused = |why: &str| {
        Failure::new(
            Exit::Refused,
            format!("`{}` of `{}` {why}", table.path, source.name()),
        )
        .detail(format!("expected: {}", table.sha256))
        .detail(format!("found: {sha256}"))
        .help("do not use this tree: tell its publisher by another way than this source")
    };
    if sha256 != table.sha256 {
        return Err(refused("does not have the bytes that were signed"));
    }
    String::from_utf8(bytes).map_err(|_| refused("is not text"))
}

/// Shows the new tables to their adapters and leaves out what they refuse. An adapter is started with each, in its sandbox and granted nothing.
pub(crate) async fn shown_to_adapters(
    discovery: &Discovery,
    ui: &Ui,
    fetched: &mut Fetched,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (adapter, offers) in &mut fetched.offers {
        let mut taken = Vec::new();
        for offer in std::mem::take(offers) {
            if offer.text.is_none() {
                taken.push(offer);
                continue;
            }
            let serial = offer.table.serial;
            match try_one(discovery, ui, adapter, &offer).await {
                Ok(Shown::Taken) => taken.push(offer),
                Ok(Shown::NotForIt(_)) => {}
                Err(failure) => refusals.push(Refusal {
                    adapter: adapter.clone(),
                    serial,
                    failure,
                }),
            }
        }
        *offers = taken;
    }
    refusals
}

/// What became of a table that was shown to an adapter.
#[derive(Debug)]
pub(crate) enum Shown {
    Taken,
    /// The adapter was not asked: this is the table that it works with, and its own version.
    NotForIt(String),
}

async fn try_one(
    discovery: &Discovery,
    ui: &Ui,
    adapter: &str,
    offer: &Offer,
) -> Result<Shown, Failure> {
    let offers = BTreeMap::from([(adapter.to_owned(), vec![offer.clone()])]);
    let supervisor = Supervisor::new(discovery.clone().granting_nothing(), ui.clone())
        .with_tables(Tables::only(offers));
    let started = supervisor.start(adapter).await;
    supervisor.shutdown().await;
    let adapter = started?;
    let version = &adapter.manifest.version;
    Ok(match &adapter.versions {
        Some(used) if used.table.sha256 == offer.table.sha256 => Shown::Taken,
        Some(used) => Shown::NotForIt(format!("{version} has table {}", used.table.serial)),
        None => Shown::NotForIt(format!("{version} takes no tables")),
    })
}

/// Shows a text that nobody has published yet to its adapter.
pub(crate) async fn try_text(
    discovery: &Discovery,
    ui: &Ui,
    adapter: &str,
    head: &Head,
    text: &str,
) -> Result<Shown, Failure> {
    let offer = Offer {
        table: Table {
            serial: head.serial,
            adapter: head.adapter.to_string(),
            sha256: sha256_hex(text.as_bytes()),
            ..Table::default()
        },
        source: "this directory".to_owned(),
        origin: Origin::Remote,
        scope: Scope::Everybody,
        text: Some(text.to_owned()),
    };
    try_one(discovery, ui, adapter, &offer)
        .await
        .map_err(|failure| {
            let message = format!(
                "`{adapter}` does not take table {} of its versions",
                head.serial
            );
            Failure::invalid(message)
                .detail(failure.message)
                .help("correct the table; nothing was published")
        })
}

/// Keeps what was taken, pins the key where it is new, and remembers the index. The store is held.
pub(crate) fn save(
    machine: &Machine,
    fetched: &Fetched,
    new_key: NewKey<'_>,
) -> Result<(), Failure> {
    let texts = fetched
        .offers
        .values()
        .flatten()
        .filter_map(|offer| offer.text.as_ref());
    for text in texts {
        kept::save(&machine.data(), text)?;
    }
    install::remember(machine, &fetched.tree, &terms(&fetched.channel), new_key)
}

/// Says which table each adapter works with. Adapters that do not start are left out.
pub(crate) async fn in_use(
    discovery: &Discovery,
    ui: &Ui,
    tables: Tables,
    adapters: &BTreeSet<String>,
) -> BTreeMap<String, Result<Used, Failure>> {
    let supervisor =
        Supervisor::new(discovery.clone().granting_nothing(), ui.clone()).with_tables(tables);
    let names: Vec<String> = adapters.iter().cloned().collect();
    let started = supervisor.start_each(&names).await;
    supervisor.shutdown().await;
    let used = started
        .into_iter()
        .filter_map(|(name, started)| match started {
            Ok(adapter) => Some((name, Ok(adapter.versions.clone()?))),
            Err(failure) => Some((name, Err(failure))),
        });
    used.collect()
}
