//! Finding the one source that has an adapter, where nobody names it: all that come into question are asked at the same time. What only a lock has
//! brought is the word of one repository, so its source is shown and said elsewhere, and nothing is installed from it. Trusts nobody.

use std::collections::BTreeSet;

use crate::commands::Context;
use crate::commands::plugins::together::ask_all;
use crate::error::{Exit, Failure};
use crate::plugins::index::and;
use crate::plugins::install::{self, Moved, Terms};
use crate::plugins::projects;
use crate::plugins::source::Source;
use crate::plugins::store::{Record, Store};
use crate::plugins::tree::Tree;
use crate::plugins::trust::Trust;
use crate::shell::word;

/// What the source is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Only a trusted source will do.
    Install,
    /// What something was installed from may be shown and copied, too.
    Look,
}

/// Finds the one source that has an adapter.
pub(crate) fn find(
    context: &Context,
    terms: &Terms,
    name: &str,
    purpose: Purpose,
) -> Result<Tree, Failure> {
    if name.is_empty() {
        return Err(nameless());
    }
    let machine = &context.machine;
    let trust = Trust::load(machine)?;
    let installed = Store::new(machine).installed();
    let own = installed
        .iter()
        .filter(|record| record.name == name && !record.is_file());
    let own: Vec<&Record> = own.collect();
    let places = places(&trust, &own, terms, purpose);
    let mut questions = Vec::new();
    for place in places {
        let source = Source::parse(&place, context.repository.root())?;
        questions.push((place, source));
    }
    let trees = ask_all(&context.ui, questions, |source| {
        install::open(machine, source, terms)
    });
    let mut found = Vec::new();
    for tree in trees {
        let tree = tree?;
        if tree.index.adapters.contains_key(name) {
            found.push(tree);
        }
    }
    let verb = match purpose {
        Purpose::Install => "install",
        Purpose::Look => "info",
    };
    match found.len() {
        0 => Err(none(context, name, &own, &trust, verb)),
        1 => Ok(found.remove(0)),
        _ => {
            let places: Vec<String> = found.iter().map(|tree| tree.source.name()).collect();
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            let message = format!("several trusted sources have an adapter `{name}`");
            Err(Failure::invalid(message)
                .detail(format!("they are {}", and(&places)))
                .help(format!(
                    "choose one: `ztc plugins {verb} {} --source {}`",
                    word(name),
                    word(places[0])
                )))
        }
    }
}

/// Says that a name is missing.
pub(crate) fn nameless() -> Failure {
    Failure::invalid("an adapter has a name, and none was given")
        .help("`ztc plugins search` shows which there are")
}

/// The sources that come into question: those that the adapter was installed from, where it was, since another one would be refused.
fn places(trust: &Trust, own: &[&Record], terms: &Terms, purpose: Purpose) -> BTreeSet<String> {
    let trusted = |place: &String| trust.sources.contains_key(place);
    let from: BTreeSet<String> = own
        .iter()
        .map(|record| record.source.clone())
        .filter(|place| purpose == Purpose::Look || trusted(place))
        .collect();
    match from.is_empty() || terms.moved == Moved::Allow {
        true => trust.sources.keys().cloned().chain(from).collect(),
        false => from,
    }
}

/// Says that nobody has it, and what is known of it all the same.
fn none(context: &Context, name: &str, own: &[&Record], trust: &Trust, verb: &str) -> Failure {
    let message = format!("no trusted source has an adapter `{name}`");
    let failure = Failure::new(Exit::Missing, message);
    let strange = own
        .iter()
        .find(|record| !trust.sources.contains_key(&record.source));
    if let Some(record) = strange {
        return of_a_lock(context, failure, record);
    }
    failure.help(match context.repository.root().join(name).exists() {
        true => format!(
            "where you mean what lies here under that name, write `ztc plugins install {}`",
            word(&format!("./{name}"))
        ),
        false => format!(
            "say where it comes from: `ztc plugins {verb} {} --source SOURCE`",
            word(name)
        ),
    })
}

/// Says of what is installed from a source that no key is pinned for, by whose word it is here.
fn of_a_lock(context: &Context, failure: Failure, record: &Record) -> Failure {
    let Record {
        name,
        version,
        source,
        ..
    } = record;
    let projects = projects::all(&context.machine);
    let version = version.to_string();
    let sha256 = record.asset().map(|asset| asset.sha256.as_str());
    let locks = projects
        .iter()
        .find(|project| project.locks(name, &version, sha256));
    let failure = failure.detail(match locks {
        Some(project) => format!(
            "{version} is here from {source} by the lock of {}, which speaks for that repository alone",
            project.path.display()
        ),
        None => format!("{version} is here from {source}, for which no key is pinned"),
    });
    let source = word(source);
    match &record.publisher_key {
        Some(key) => failure.help(format!(
            "compare its key with what the publisher shows elsewhere, then `ztc plugins trust add {source} {}` pins it for this machine",
            word(key)
        )),
        None => failure.help(format!(
            "nobody has signed it: `ztc plugins install {} --source {source} --allow-unsigned`",
            word(name)
        )),
    }
}
