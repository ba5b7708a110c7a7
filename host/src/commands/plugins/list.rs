//! `ztc plugins list`: one row for each adapter, and one for each other version that is installed. A broken or missing one is a row with its
//! reason. `--explain` shows everything that a name could mean, and why it does or does not.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::adapter::discovery::Contender;
use crate::adapter::{Candidate, Discovery, Source};
use crate::commands::Context;
use crate::commands::plugins::{Introduction, discovery, introduce};
use crate::error::{Exit, Failure};
use crate::plugins::locked;
use crate::plugins::projects::{self, Project};
use crate::plugins::store::{Record, Store};
use crate::plugins::taken_back::TakenBack;
use crate::ui::table::table;

/// Options of `ztc plugins list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Show every adapter that a name could mean, and why it does or does not
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Default, Serialize)]
struct Row {
    name: String,
    version: Option<String>,
    /// How it was found; nothing: it is missing.
    source: Option<Source>,
    /// Where it is, or was to be, installed from.
    installed_from: Option<String>,
    trust: Option<Trust>,
    publisher_key: Option<String>,
    program: Option<String>,
    /// Its bytes, which tell two publishers of one version apart.
    #[serde(skip)]
    sha256: Option<String>,
    protocol: Option<String>,
    provides: Vec<String>,
    /// Whether it is what its name means here; another installed version is not.
    used: bool,
    /// `ok`, or why it cannot be used.
    status: String,
    /// Why its publisher has taken this version back.
    yanked: Option<String>,
    /// The repositories of this machine whose locks name it.
    locked_by: Vec<String>,
    /// Everything that the name could mean; only with `--explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<Explained>>,
}

/// Why an adapter is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Trust {
    /// It is part of ztc.
    BuiltIn,
    /// Its publisher has signed it.
    Signed,
    /// Nobody has.
    Unsigned,
}

impl Trust {
    pub(super) fn of(candidate: &Candidate, publisher_key: Option<&String>) -> Self {
        match (candidate.source, publisher_key) {
            (Source::BuiltIn, _) => Self::BuiltIn,
            (_, Some(_)) => Self::Signed,
            (_, None) => Self::Unsigned,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Signed => "signed",
            Self::Unsigned => "unsigned",
        }
    }
}

#[derive(Debug, Serialize)]
struct Explained {
    source: Source,
    version: Option<String>,
    program: String,
    used: bool,
    why: String,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let discovery = discovery(context);
    for one in Store::new(&context.machine).unreadable() {
        context.ui.finding(&one.finding());
    }
    let projects = projects::all(&context.machine);
    let found: BTreeMap<String, Result<Candidate, Failure>> = discovery
        .names()
        .into_iter()
        .map(|name| (name.clone(), discovery.find(&name)))
        .collect();
    let candidates: Vec<Candidate> = found
        .values()
        .filter_map(|found| found.as_ref().ok().cloned())
        .collect();
    let mut introductions = introduce(context, discovery.clone(), &candidates)?;
    let mut rows = Vec::new();
    for (name, found) in found {
        let explained = arguments
            .explain
            .then(|| discovery.contenders(&name).into_iter().map(explained));
        let mut row = match &found {
            Err(failure) => missing(&discovery, &name, failure),
            Ok(candidate) => match introductions.remove(&name) {
                Some(introduction) => row(&discovery, candidate, introduction),
                None => continue,
            },
        };
        row.candidates = explained.map(Iterator::collect);
        rows.push(locked_by(row, &projects));
        let is_other = |record: &&Record| {
            let used = found.as_ref().ok().and_then(|used| used.sha256.as_ref());
            record.name == name && record.asset().map(|asset| &asset.sha256) != used
        };
        let others = discovery.records().iter().filter(is_other);
        rows.extend(others.map(|record| locked_by(unused(record), &projects)));
    }
    name_taken_back(context, &mut rows);
    if context.ui.is_json() {
        context.ui.json(&serde_json::json!({ "plugins": rows }));
    } else if arguments.explain {
        context.ui.data(&reasons(&rows));
    } else {
        context.ui.data(&text(&rows));
    }
    Ok(Exit::Done)
}

/// Says which of what is installed or locked was taken back by its publisher, as far as its source has shown it here.
fn name_taken_back(context: &Context, rows: &mut [Row]) {
    let mut taken_back = TakenBack::new(&context.machine);
    for row in rows {
        let (Some(from), Some(version)) = (&row.installed_from, &row.version) else {
            continue;
        };
        let place = locked::place(from, context.repository.root());
        let place = place.unwrap_or_else(|| from.clone());
        if let Some(reason) = taken_back.find(&place, &row.name, version) {
            context.ui.finding(&reason.finding());
            row.yanked = Some(reason.why);
        }
    }
    for finding in taken_back.broken() {
        context.ui.finding(&finding);
    }
}

fn row(
    discovery: &Discovery,
    candidate: &Candidate,
    introduction: Result<Introduction, Failure>,
) -> Row {
    let (introduction, status) = match introduction {
        Ok(introduction) => (Some(introduction), "ok".to_owned()),
        Err(failure) => (None, failure.message),
    };
    let provides = introduction
        .iter()
        .flat_map(|introduction| &introduction.manifest.provides);
    let (installed_from, publisher_key) = origin(discovery, candidate);
    Row {
        name: candidate.name.clone(),
        source: Some(candidate.source),
        trust: Some(Trust::of(candidate, publisher_key.as_ref())),
        installed_from,
        publisher_key,
        program: Some(candidate.program.display().to_string()),
        sha256: candidate.sha256.clone(),
        provides: provides
            .map(|provision| format!("{} {}", provision.capability, provision.version))
            .collect(),
        protocol: introduction
            .as_ref()
            .map(|introduction| introduction.protocol.to_string()),
        version: introduction.map(|introduction| introduction.manifest.version),
        used: true,
        status,
        ..Row::default()
    }
}

/// Returns where an adapter was installed from and whose key signed it.
pub(super) fn origin(
    discovery: &Discovery,
    candidate: &Candidate,
) -> (Option<String>, Option<String>) {
    if candidate.source != Source::Installed {
        return (None, None);
    }
    match (
        discovery.installation(candidate),
        discovery.locked(&candidate.name),
    ) {
        (Some(record), _) => (Some(record.source.clone()), record.publisher_key.clone()),
        (None, Some(locked)) => (Some(locked.source.clone()), locked.publisher_key.clone()),
        (None, None) => (None, None),
    }
}

/// An adapter that somebody asks for and that is not there.
fn missing(discovery: &Discovery, name: &str, failure: &Failure) -> Row {
    let locked = discovery
        .locked(name)
        .filter(|locked| locked.is_installed());
    Row {
        name: name.to_owned(),
        version: locked.map(|locked| locked.version.clone()),
        installed_from: locked.map(|locked| locked.source.clone()),
        publisher_key: locked.and_then(|locked| locked.publisher_key.clone()),
        sha256: locked.and_then(|locked| Some(locked.here()?.sha256.clone())),
        status: failure.message.clone(),
        ..Row::default()
    }
}

/// An installed version that is not what its name means here.
fn unused(record: &Record) -> Row {
    Row {
        name: record.name.clone(),
        version: Some(record.version.to_string()),
        source: Some(Source::Installed),
        installed_from: Some(record.source.clone()),
        trust: Some(match record.publisher_key {
            Some(_) => Trust::Signed,
            None => Trust::Unsigned,
        }),
        publisher_key: record.publisher_key.clone(),
        sha256: record.asset().map(|asset| asset.sha256.clone()),
        protocol: record.release.protocols.last().cloned(),
        provides: record.release.provides.clone(),
        status: "not used here".to_owned(),
        ..Row::default()
    }
}

fn locked_by(row: Row, projects: &[Project]) -> Row {
    let is_installed = row.source.is_none_or(|source| source == Source::Installed);
    let version = row.version.clone().filter(|_| is_installed);
    let lockers = projects.iter().filter(|project| {
        let version = version.as_ref();
        version.is_some_and(|version| project.locks(&row.name, version, row.sha256.as_deref()))
    });
    Row {
        locked_by: lockers
            .map(|project| project.path.display().to_string())
            .collect(),
        ..row
    }
}

fn explained(contender: Contender) -> Explained {
    Explained {
        source: contender.candidate.source,
        version: contender.version,
        program: contender.candidate.program.display().to_string(),
        used: contender.is_used,
        why: contender.why,
    }
}

fn text(rows: &[Row]) -> String {
    let cell = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let cells = rows.iter().map(|row| {
        let place = row.source.map(Source::word);
        let locked_by = row.locked_by.join(", ");
        vec![
            row.name.clone(),
            cell(row.version.as_deref()),
            cell(row.installed_from.as_deref().or(place)),
            cell(row.trust.map(Trust::word)),
            cell(row.protocol.as_deref()),
            row.status.clone(),
            cell(Some(locked_by.as_str()).filter(|text| !text.is_empty())),
        ]
    });
    table(
        &[
            "NAME",
            "VERSION",
            "SOURCE",
            "TRUST",
            "PROTOCOL",
            "STATUS",
            "LOCKED BY",
        ],
        &cells.collect::<Vec<_>>(),
    )
}

/// Writes why each name means what it means: a block for each name, and below each candidate its program, which is long.
fn reasons(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let Some(candidates) = &row.candidates else {
            continue;
        };
        lines.push(row.name.clone());
        if row.source.is_none() {
            lines.push(format!("  missing   {}", row.status));
        }
        for candidate in candidates {
            let word = if candidate.used { "used" } else { "not used" };
            let version = candidate
                .version
                .iter()
                .map(|version| format!(" {version}"));
            let what: String = std::iter::once(candidate.source.word().to_owned())
                .chain(version)
                .collect();
            lines.push(format!("  {word:<9} {what}: {}", candidate.why));
            if candidate.source != Source::BuiltIn {
                lines.push(format!("            {}", candidate.program));
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_adapter_is_a_row_with_its_reason() {
        let row = |name: &str, version: Option<&str>, status: &str| Row {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            source: Some(Source::Path),
            trust: Some(Trust::Unsigned),
            protocol: version.map(|_| "1.0".to_owned()),
            used: true,
            status: status.to_owned(),
            ..Row::default()
        };
        let rows = [
            row("good", Some("1.2.0"), "ok"),
            row(
                "bad",
                None,
                "adapter `bad` exited with code 3 during `initialize`",
            ),
            Row {
                installed_from: Some("https://example.org".into()),
                locked_by: vec!["/a".into(), "/b".into()],
                ..row("locked", Some("1.0.0"), "ok")
            },
        ];
        assert_eq!(
            text(&rows),
            "NAME    VERSION  SOURCE               TRUST     PROTOCOL  STATUS                                                LOCKED BY
good    1.2.0    PATH                 unsigned  1.0       ok                                                    -
bad     -        PATH                 unsigned  -         adapter `bad` exited with code 3 during `initialize`  -
locked  1.0.0    https://example.org  unsigned  1.0       ok                                                    /a, /b"
        );
    }
}
