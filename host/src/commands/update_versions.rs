//! `ztc update-versions`: newer tables of versions, from the channel of this machine and the trees that adapters were installed from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use crate::adapter::Discovery;
use crate::commands::plugins::together::ask_all;
use crate::commands::plugins::trust::{key_or_file, show_key, show_planned_key};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding};
use crate::lock::{EMBEDDED, Lock, LockedTable};
use crate::platform::{Platform, Plugin};
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tables;
use crate::plugins::tree::Signed;
use crate::plugins::web;
use crate::ui::table::table;
use crate::versions::channel::{self, Channel, Setting};
use crate::versions::update::{self, Fetched};
use crate::versions::{Origin, Pins, Tables, Used, background, kept};

/// Options of `ztc update-versions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The tree that this machine takes newer versions from, from now on: a directory, `file://` or `https://`
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Its publisher's public key or `.pub` file, known from elsewhere: no other will do
    #[arg(long, value_name = "KEY", requires = "source")]
    key: Option<String>,
    /// Ask no network: show which tables the adapters work with, and why
    #[arg(long, conflicts_with_all = ["source", "forget"])]
    offline: bool,
    /// Take newer versions from nowhere any more
    #[arg(long, conflicts_with = "source")]
    forget: bool,
    /// Ask, check and show which tables the adapters would work with; nothing is kept, trusted or configured
    #[arg(long)]
    dry_run: bool,
}

/// Whether anything is kept, pinned or configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Update,
    DryRun,
}

/// What came over the network, before anything of it is kept.
#[derive(Default)]
struct Come {
    /// What the lock pins, with its text.
    pins: Vec<(String, LockedTable, String)>,
    channels: Vec<Fetched>,
    failures: Vec<Failure>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let machine = &context.machine;
    let mode = match arguments.dry_run {
        true => Mode::DryRun,
        false => Mode::Update,
    };
    if arguments.forget {
        return forget(context, mode);
    }
    let lock = Lock::load(&context.repository)?;
    let (discovery, adapters) = adapters(context);
    let (mut come, mut setting) = (Come::default(), None);
    if !arguments.offline {
        setting = wanted(context, arguments)?;
        let channels = channels(context, setting.as_ref())?;
        let missing = missing(context, lock.as_ref());
        if channels.is_empty() && missing.is_empty() {
            return Err(Failure::invalid("no channel of versions is configured")
                .detail("adapters work with the versions that they know themselves")
                .help("name a signed tree: `ztc update-versions --source https://…`"));
        }
        // The network may be slow; nobody else has to wait for it.
        come = ask(context, &discovery, &channels, &missing, &adapters);
        if mode == Mode::Update {
            let _hold = Store::new(machine).hold(|| {
                context
                    .ui
                    .say("another ztc installs something; waiting for it");
            })?;
            keep(context, &mut come, setting.as_ref())?;
        }
        say(context, &come, mode);
    }
    let mut tables = Tables::of(machine, lock.as_ref(), &Pins::Hold)?;
    for (_, table, text) in come.pins {
        tables.know(table.sha256, text);
    }
    for fetched in come.channels {
        let source = fetched.channel.source.name();
        tables.say(&fetched.channel, format!("{source} has no newer one"));
        tables.add(fetched.offers);
    }
    let held_back = tables.held_back(|name| discovery.source_of(name));
    let used =
        wait_for(async { Ok(update::in_use(&discovery, &context.ui, tables, &adapters).await) })?;
    show(context, &used, &held_back, setting, mode)?;
    let mut failures = come.failures.into_iter();
    match failures.next() {
        None => Ok(Exit::Done),
        Some(first) => {
            for failure in failures {
                context.ui.warning(failure.message);
            }
            Err(first)
        }
    }
}

/// Takes newer versions from nowhere any more.
fn forget(context: &Context, mode: Mode) -> Result<Exit, Failure> {
    let there = match mode {
        Mode::Update => channel::forget(&context.machine)?,
        Mode::DryRun => channel::setting(&context.machine)?.is_some(),
    };
    let said = match (there, mode) {
        (true, Mode::Update) => {
            "adapters work with their own tables of versions again, and with those that a lock pins"
        }
        (true, Mode::DryRun) => {
            "adapters would work with their own tables of versions again, and with those that a lock pins"
        }
        (false, _) => "no channel was configured",
    };
    match context.ui.is_json() {
        true => context
            .ui
            .json(&json!({ "channel": null, "dry_run": mode == Mode::DryRun })),
        false => context.ui.done(said),
    }
    Ok(Exit::Done)
}

/// Returns every adapter of this machine.
fn adapters(context: &Context) -> (Discovery, BTreeSet<String>) {
    let mut plugins: BTreeMap<String, Plugin> = BTreeMap::new();
    // What is wrong with platform.yaml is said where it is needed.
    if let Ok(platform) = Platform::load(&context.repository, None) {
        plugins = platform.plugins;
    }
    let discovery = Discovery::new(&context.machine, &context.repository, &plugins);
    let names = discovery.all().into_iter().map(|candidate| candidate.name);
    let names = names.collect();
    (discovery, names)
}

/// What is to be configured; nothing: what is.
fn wanted(context: &Context, arguments: &Arguments) -> Result<Option<Setting>, Failure> {
    let Some(source) = &arguments.source else {
        return Ok(None);
    };
    let key = arguments.key.as_deref();
    let key = key.map(|key| key_or_file(context, key)).transpose()?;
    let setting = Setting {
        source: Source::parse(source, context.repository.root())?.name(),
        key: key.map(|key| key.text().to_owned()),
    };
    Ok(Some(setting))
}

fn channels(context: &Context, setting: Option<&Setting>) -> Result<Vec<Channel>, Failure> {
    let machine = &context.machine;
    let Some(setting) = setting else {
        return channel::all(machine);
    };
    // Where one is being configured, it alone is asked.
    let source = Source::parse(&setting.source, Path::new("/"))?;
    Ok(vec![Channel {
        source,
        ..channel::open(machine, setting)?
    }])
}

/// The tables that the lock pins and this machine does not have.
fn missing(context: &Context, lock: Option<&Lock>) -> BTreeMap<String, LockedTable> {
    let pins = lock.into_iter().flat_map(|lock| &lock.versions);
    let is_missing = |table: &LockedTable| {
        table.source != EMBEDDED && kept::read(&context.machine.data(), &table.sha256).is_none()
    };
    pins.filter(|(_, table)| is_missing(table))
        .map(|(name, table)| (name.clone(), table.clone()))
        .collect()
}

/// Asks the network for everything. Writes nothing.
fn ask(
    context: &Context,
    discovery: &Discovery,
    channels: &[Channel],
    missing: &BTreeMap<String, LockedTable>,
    adapters: &BTreeSet<String>,
) -> Come {
    let (machine, root) = (&context.machine, context.repository.root());
    let pins = missing.iter().map(|(name, table)| {
        let place = table.source.clone();
        (place, Question::Pinned(name, table))
    });
    let channels = channels
        .iter()
        .map(|channel| (channel.source.name(), Question::Channel(channel)));
    let questions = pins.chain(channels).collect();
    let answers = ask_all(&context.ui, questions, |question| match question {
        Question::Pinned(name, table) => pinned(root, name, table)
            .map(|text| Answer::Pinned(name.to_owned(), table.clone(), text)),
        Question::Channel(channel) => update::fetch(machine, channel, adapters)
            .map(|fetched| Answer::Channel(Box::new(fetched))),
    });
    let mut come = Come::default();
    for answer in answers {
        match answer.and_then(|answer| taken(context, discovery, answer, &mut come)) {
            Ok(()) => {}
            Err(failure) => come.failures.push(of_versions(failure)),
        }
    }
    come
}

/// What the network is asked for.
#[derive(Clone, Copy)]
enum Question<'a> {
    Pinned(&'a str, &'a LockedTable),
    Channel(&'a Channel),
}

/// What it has answered.
enum Answer {
    Pinned(String, LockedTable, String),
    Channel(Box<Fetched>),
}

/// What helps where a source of adapters is away is not what helps here.
fn of_versions(failure: Failure) -> Failure {
    match failure.help.as_deref() == Some(web::AWAY) {
        true => failure.help(
            "check the network and run the same command again; until then adapters work with the tables that they have, `ztc update-versions --offline` shows which",
        ),
        false => failure,
    }
}

/// Fetches what the lock pins. Its digest says what the bytes are, so nobody has to be trusted for them.
fn pinned(root: &Path, name: &str, table: &LockedTable) -> Result<String, Failure> {
    if let Some(problem) = tables::asset_problem(&table.path, table.size, &table.sha256) {
        return Err(Failure::new(
            Exit::Refused,
            format!("platform/lock.json pins a table of the versions of `{name}` that nobody can have published: {problem}"),
        )
        .help("take the lock of git again, or `ztc render --new-versions`"));
    }
    let source = Source::parse(&table.source, root)?;
    update::text(&source, table)
}

/// Takes what has come, without what the adapters do not take.
fn taken(
    context: &Context,
    discovery: &Discovery,
    answer: Answer,
    come: &mut Come,
) -> Result<(), Failure> {
    let ui = &context.ui;
    match answer {
        Answer::Pinned(name, table, text) => come.pins.push((name, table, text)),
        Answer::Channel(mut fetched) => {
            let refusals = wait_for(async {
                Ok(update::shown_to_adapters(discovery, ui, &mut fetched).await)
            })?;
            refusals
                .iter()
                .for_each(|refusal| ui.finding(&background::refused(refusal)));
            come.channels.push(*fetched);
        }
    }
    Ok(())
}

/// Keeps what has come, and what the operator wants from now on. The store is held; what changed while the network was asked is refused.
fn keep(context: &Context, come: &mut Come, setting: Option<&Setting>) -> Result<(), Failure> {
    let machine = &context.machine;
    for (_, _, text) in &come.pins {
        kept::save(&machine.data(), text)?;
    }
    let mut good = Vec::new();
    for fetched in std::mem::take(&mut come.channels) {
        let new_key = |source: &str, key: &Key| show_key(&context.ui, source, key);
        match update::save(machine, &fetched, &new_key) {
            Ok(()) => {
                let configured = fetched.channel.adapters.is_none();
                if let Some(setting) = setting.filter(|_| configured) {
                    channel::save(machine, setting)?;
                }
                good.push(fetched);
            }
            Err(failure) => come.failures.push(failure),
        }
    }
    come.channels = good;
    Ok(())
}

/// Says what has come.
fn say(context: &Context, come: &Come, mode: Mode) {
    let ui = &context.ui;
    let fetched = match mode {
        Mode::Update => "fetched",
        Mode::DryRun => "would fetch",
    };
    for (name, table, _) in &come.pins {
        ui.done(format!(
            "{fetched} table {} of the versions of `{name}`, which platform/lock.json pins, from {}",
            table.serial, table.source
        ));
    }
    for Fetched { channel, tree, .. } in &come.channels {
        let source = channel.source.name();
        if let (Signed::New(key), Mode::DryRun) = (&tree.signer, mode) {
            show_planned_key(ui, &source, key.text());
        }
        ui.done(format!(
            "{source} has serial {}, valid until {}",
            tree.index.serial, tree.index.expires
        ));
    }
}

/// Shows what every adapter works with.
fn show(
    context: &Context,
    used: &BTreeMap<String, Result<Used, Failure>>,
    held_back: &[String],
    wanted: Option<Setting>,
    mode: Mode,
) -> Result<(), Failure> {
    let ui = &context.ui;
    let good: BTreeMap<&String, &Used> = used
        .iter()
        .filter_map(|(name, used)| Some((name, used.as_ref().ok()?)))
        .collect();
    if ui.is_json() {
        let would_be = wanted.filter(|_| mode == Mode::DryRun);
        let setting = match would_be {
            Some(setting) => Some(setting),
            None => channel::setting(&context.machine)?,
        };
        let dry_run = mode == Mode::DryRun;
        ui.json(&json!({ "channel": setting, "dry_run": dry_run, "versions": good }));
    } else {
        let rows: Vec<Vec<String>> = good
            .iter()
            .map(|(name, used)| {
                let origin = match used.origin {
                    Origin::Embedded => "embedded",
                    Origin::Cached => "cached",
                    Origin::Remote => "remote",
                };
                let source = match used.table.source.as_str() {
                    EMBEDDED => "-".to_owned(),
                    source => source.to_owned(),
                };
                vec![
                    (*name).clone(),
                    used.table.serial.to_string(),
                    origin.to_owned(),
                    source,
                    used.why.clone(),
                ]
            })
            .collect();
        ui.data(&table(
            &["ADAPTER", "TABLE", "ORIGIN", "SOURCE", "WHY"],
            &rows,
        ));
    }
    for (name, failure) in used
        .iter()
        .filter_map(|(name, used)| Some((name, used.as_ref().err()?)))
    {
        ui.finding(&Finding {
            help: failure.help.clone(),
            ..Finding::warning(format!("adapter `{name}` is left out: {}", failure.message))
        });
    }
    if !held_back.is_empty() {
        let what = format!(
            "takes what is newer than the lock for {}",
            held_back.join(", ")
        );
        ui.next("ztc render --new-versions", &what);
    }
    Ok(())
}
