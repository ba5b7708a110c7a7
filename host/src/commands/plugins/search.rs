//! `ztc plugins search`: what the known sources offer. Installs nothing and trusts nobody anew.

use semver::Version;
use serde::Serialize;

use crate::commands::Context;
use crate::commands::plugins::sources::Sources;
use crate::commands::plugins::together::ask_all;
use crate::error::{Exit, Failure};
use crate::foreign::printable;
use crate::plugins::agreed::{self, Powers};
use crate::plugins::index::{Entry, Index, Release};
use crate::plugins::install::{self, Mode, Terms};
use crate::plugins::seen;
use crate::plugins::store::{Record, Store};
use crate::plugins::tree::{Signed, Tree, Unsigned};
use crate::shell::word;
use crate::ui::table::table;

/// Options of `ztc plugins search`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Part of a name, of a description or of a capability
    word: Option<String>,
    /// Search this source only
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Search sources, too, that nobody has signed
    #[arg(long, conflicts_with = "offline")]
    allow_unsigned: bool,
    /// Ask nobody: search what the sources have shown last
    #[arg(long)]
    offline: bool,
}

/// What was searched and found, as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    plugins: &'a [Found],
    sources: &'a [Searched],
}

/// An adapter that a source offers.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    description: String,
    source: String,
    /// The newest first.
    versions: Vec<Offered>,
    /// The versions that are installed here, from wherever.
    installed: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Offered {
    version: Version,
    released: String,
    yanked: Option<String>,
    protocols: Vec<String>,
    platforms: Vec<String>,
    provides: Vec<String>,
    requires: Vec<String>,
    /// What it may touch, beside what is installed.
    powers: Powers,
}

/// A source.
#[derive(Debug, Serialize)]
struct Searched {
    source: String,
    /// Whether a publisher's key is pinned for it.
    trusted: bool,
    /// Whether nobody has signed what it shows.
    unsigned: bool,
    state: State,
    /// Why it is not what it shows now.
    why: Option<String>,
    /// What a person should know of its key.
    #[serde(skip)]
    about_key: Option<String>,
    serial: Option<u64>,
    issued: Option<String>,
}

/// How a source was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It was asked.
    Asked,
    /// Its last verified index was read.
    Remembered,
    /// It was not searched.
    Refused,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let terms = Terms {
        unsigned: Unsigned::of(arguments.allow_unsigned),
        ..Terms::plain(Mode::DryRun)
    };
    let sources = Sources::read(context, &terms)?;
    let asked = match &arguments.source {
        Some(text) => {
            let source = sources.parse(text)?;
            [(source.name(), source)].into()
        }
        None => sources.known()?,
    };
    if asked.is_empty() {
        return Err(Failure::new(Exit::Missing, "no source is known that could be searched")
            .help("name one with `--source SOURCE`; those that something was installed from, and those of platform.yaml, are known"));
    }
    let installed = Store::new(&context.machine).installed();
    let (mut found, mut searched, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let names: Vec<String> = asked.keys().cloned().collect();
    let questions = asked.into_iter().filter(|_| !arguments.offline).collect();
    let machine = &context.machine;
    let mut opened = ask_all(&context.ui, questions, |source| {
        install::open(machine, source, &terms)
    })
    .into_iter();
    for name in names {
        let trusted = sources.is_trusted(&name);
        let opened = opened.next();
        let about_key = match &opened {
            Some(Ok(tree)) if !trusted => about_key(&sources, &name, tree),
            _ => None,
        };
        let Answer {
            state,
            index,
            failure,
            unsigned,
        } = index_of(context, &name, opened, &terms)?;
        let why = failure.as_ref().map(|failure| failure.message.clone());
        searched.push(Searched {
            source: name.clone(),
            trusted,
            unsigned,
            state,
            why,
            about_key,
            serial: index.as_ref().map(|index| index.serial),
            issued: index.as_ref().map(|index| index.issued.clone()),
        });
        failures.extend(failure.filter(|_| state == State::Refused));
        for (adapter, entry) in index.iter().flat_map(|index| &index.adapters) {
            if fits(adapter, entry, arguments.word.as_deref()) {
                found.push(offer(adapter, entry, &name, &installed));
            }
        }
    }
    found.sort_by(|a, b| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
    let all_refused = failures.len() == searched.len();
    if context.ui.is_json() {
        context.ui.json(&Report {
            plugins: &found,
            sources: &searched,
        });
        let exit = failures.first().filter(|_| all_refused);
        return Ok(exit.map_or(Exit::Done, |failure| failure.exit));
    }
    if all_refused && failures.len() == 1 {
        return Err(failures.remove(0));
    }
    say(context, arguments, &found, &searched);
    match failures.first() {
        Some(first) if all_refused => Err(Failure::new(first.exit, "no source could be searched")
            .help("look at what is said above")),
        _ => Ok(Exit::Done),
    }
}

/// What a source shows.
struct Answer {
    state: State,
    index: Option<Index>,
    /// Why it is not what it shows now.
    failure: Option<Failure>,
    /// Whether nobody has signed it.
    unsigned: bool,
}

impl Answer {
    fn new(state: State, index: Option<Index>, failure: Option<Failure>) -> Self {
        Self {
            state,
            index,
            failure,
            unsigned: false,
        }
    }
}

/// Says by whose word the key of a source is known that is not pinned.
fn about_key(sources: &Sources<'_>, place: &str, tree: &Tree) -> Option<String> {
    let key = tree.signer.key()?;
    let pin = format!(
        "`ztc plugins trust add {} {}` pins it for this machine",
        word(place),
        word(key.text())
    );
    Some(match &tree.says {
        _ if sources.locks_key(place, key) => {
            format!("the key of {place} is the one that the lock of this repository names; {pin}")
        }
        Some(says) => format!("the key of {place} is the one of {says}, and not pinned; {pin}"),
        None => format!(
            "no key is pinned for {place}: whose it is will be shown by `ztc plugins install`"
        ),
    })
}

/// Returns what a source shows now, or what it has shown last; nothing: it was not asked.
fn index_of(
    context: &Context,
    name: &str,
    opened: Option<Result<Tree, Failure>>,
    terms: &Terms,
) -> Result<Answer, Failure> {
    let last = || seen::load(&context.machine.data(), name).map(|seen| seen.map(|seen| seen.index));
    let failure = match opened {
        None => {
            Failure::new(Exit::Missing, "`--offline` asks nobody").help("leave `--offline` out")
        }
        Some(opened) => match opened {
            Ok(tree) => {
                if matches!(tree.signer, Signed::Known(_)) {
                    match keep(context, &tree, terms) {
                        Ok(()) => {}
                        // To show it needs no place to write.
                        Err(failure) if failure.exit == Exit::Failed => {
                            context.ui.warning(format!(
                                "what {name} shows is not remembered: {}",
                                failure.message
                            ));
                        }
                        Err(failure) => {
                            return Ok(Answer::new(State::Refused, None, Some(failure)));
                        }
                    }
                }
                return Ok(Answer {
                    unsigned: tree.signer == Signed::Nobody,
                    ..Answer::new(State::Asked, Some(tree.index), None)
                });
            }
            Err(failure) => failure,
        },
    };
    // What contradicts what is known is not searched; what cannot be reached has been seen.
    match failure.exit {
        Exit::Refused | Exit::Invalid => Ok(Answer::new(State::Refused, None, Some(failure))),
        _ => Ok(match last()? {
            Some(index) => Answer::new(State::Remembered, Some(index), Some(failure)),
            None => Answer::new(State::Refused, None, Some(failure)),
        }),
    }
}

/// Remembers what a source shows.
fn keep(context: &Context, tree: &Tree, terms: &Terms) -> Result<(), Failure> {
    let store = Store::new(&context.machine);
    let _hold = store.hold(|| {})?;
    install::remember(&context.machine, tree, terms, &|_, _| {})
}

fn fits(name: &str, entry: &Entry, word: Option<&str>) -> bool {
    let Some(word) = word.map(str::to_lowercase) else {
        return true;
    };
    let provides = entry
        .versions
        .values()
        .flat_map(|release| &release.provides);
    let mut texts = [name, &entry.description]
        .into_iter()
        .chain(provides.map(String::as_str));
    texts.any(|text| text.to_lowercase().contains(&word))
}

fn offer(name: &str, entry: &Entry, source: &str, installed: &[Record]) -> Found {
    let newest = agreed::newest(installed, name);
    let offered = |(version, release): (Version, &Release)| Offered {
        version,
        released: release.released.clone(),
        yanked: release.yanked.clone(),
        protocols: release.protocols.clone(),
        platforms: release.platforms.keys().cloned().collect(),
        provides: release.provides.clone(),
        requires: release.requires.clone(),
        powers: Powers::of(release, newest.as_ref()),
    };
    let own = installed.iter().filter(|record| record.name == name);
    Found {
        name: name.to_owned(),
        description: entry.description.clone(),
        source: source.to_owned(),
        versions: entry.newest_first().into_iter().map(offered).collect(),
        installed: own.map(|record| record.version.clone()).collect(),
    }
}

fn say(context: &Context, arguments: &Arguments, found: &[Found], searched: &[Searched]) {
    for one in searched {
        let why = one.why.as_deref().unwrap_or_default();
        match (one.state, &one.issued) {
            (State::Asked, _) => {}
            (State::Remembered, Some(issued)) => context.ui.warning(format!(
                "{why}; shown is what {} has shown last, of {issued}",
                one.source
            )),
            (State::Remembered, None) | (State::Refused, _) => {
                context
                    .ui
                    .warning(format!("{} was not searched: {why}", one.source));
            }
        }
        if one.unsigned {
            context.ui.warning(format!(
                "nobody has signed {}: what it says of its adapters may be untrue",
                one.source
            ));
        } else if let Some(about) = one.about_key.as_ref().filter(|_| one.state == State::Asked) {
            context.ui.say(about);
        }
    }
    if found.is_empty() {
        let word = arguments
            .word
            .as_deref()
            .map(|word| format!(" with `{word}`"));
        context
            .ui
            .say(format!("no adapter{} was found", word.unwrap_or_default()));
        return;
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    context.ui.data(&table(
        &[
            "NAME",
            "VERSIONS",
            "PROTOCOL",
            "PLATFORMS",
            "INSTALLED",
            "SOURCE",
            "DESCRIPTION",
        ],
        &rows,
    ));
    if let [one] = found {
        let source = word(&one.source);
        let is_unsigned = searched
            .iter()
            .any(|it| it.source == one.source && it.unsigned);
        let unsigned = match is_unsigned {
            true => " --allow-unsigned",
            false => "",
        };
        context.ui.next(
            &format!("ztc plugins info {} --source {source}{unsigned}", one.name),
            "shows what it may touch",
        );
    }
}

/// How many versions are named in a line.
const SHOWN: usize = 3;

fn row(found: &Found) -> Vec<String> {
    let good: Vec<&Offered> = found
        .versions
        .iter()
        .filter(|it| it.yanked.is_none())
        .collect();
    let mut versions: Vec<String> = good
        .iter()
        .take(SHOWN)
        .map(|it| it.version.to_string())
        .collect();
    if good.len() > SHOWN {
        versions.push(format!("{} more", good.len() - SHOWN));
    }
    let newest = good.first();
    let of_newest = |list: fn(&Offered) -> &Vec<String>| {
        newest.map_or_else(String::new, |it| list(it).join(", "))
    };
    let installed: Vec<String> = found.installed.iter().map(Version::to_string).collect();
    vec![
        found.name.clone(),
        versions.join(", "),
        of_newest(|it| &it.protocols),
        of_newest(|it| &it.platforms),
        match installed.is_empty() {
            true => "no".to_owned(),
            false => installed.join(", "),
        },
        found.source.clone(),
        printable(&found.description),
    ]
}
