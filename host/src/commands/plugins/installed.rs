//! `ztc plugins verify` and `remove`: what is installed, against what was signed, and no more.

use std::path::{Path, PathBuf};

use semver::Version;
use serde::Serialize;

use crate::adapter::builtin;
use crate::commands::Context;
use crate::error::{Exit, Failure, did_you_mean};
use crate::intact;
use crate::lock::plugins::LockedPlugin;
use crate::plugins::locked::place;
use crate::plugins::projects;
use crate::plugins::store::{Record, Store, Unreadable};
use crate::plugins::taken_back::TakenBack;
use crate::shell::word;
use crate::ui::table::table;

/// Options of `ztc plugins remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The adapter, with a version where only that one is to go
    #[arg(value_name = "NAME[@VERSION]")]
    what: String,
    /// Remove what the lock of a repository on this machine names
    #[arg(long)]
    force: bool,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    version: String,
    /// The repositories whose locks name it.
    locked_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Verified {
    name: String,
    version: Version,
    source: String,
    publisher_key: Option<String>,
    sha256: String,
    /// `ok`, or what is wrong.
    status: String,
    /// The command that mends it.
    #[serde(skip)]
    remedy: Option<String>,
    /// The repositories whose locks name these bytes, where no record of what is installed does.
    only_locked_by: Vec<String>,
    /// Why its publisher has taken this version back.
    yanked: Option<String>,
}

/// Reads every installed byte again.
pub(crate) fn verify(context: &Context) -> Result<Exit, Failure> {
    let store = Store::new(&context.machine);
    let mut taken_back = TakenBack::new(&context.machine);
    let installed = store.installed();
    let mut rows: Vec<Verified> = installed
        .iter()
        .map(|record| verified(&store, record))
        .collect();
    rows.extend(only_locked(context, &store, &installed));
    for row in &mut rows {
        let reason = taken_back.find(&row.source, &row.name, &row.version.to_string());
        if let Some(reason) = reason {
            context.ui.finding(&reason.finding());
            row.yanked = Some(reason.why);
        }
    }
    for finding in taken_back.broken() {
        context.ui.finding(&finding);
    }
    let unreadable = store.unreadable();
    let bad: Vec<String> = rows
        .iter()
        .filter(|row| row.status != "ok")
        .map(|row| format!("{} {}: {}", row.name, row.version, row.status))
        .chain(unreadable.iter().map(|one| one.finding().message))
        .collect();
    if context.ui.is_json() {
        let unreadable: Vec<_> = unreadable
            .iter()
            .map(|one| serde_json::json!({ "record": one.path, "why": one.why }))
            .collect();
        context
            .ui
            .json(&serde_json::json!({ "plugins": rows, "unreadable": unreadable }));
    } else {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let trust = match row.publisher_key {
                    Some(_) => "signed",
                    None => "unsigned",
                };
                vec![
                    row.name.clone(),
                    row.version.to_string(),
                    trust.to_owned(),
                    row.source.clone(),
                    match row.only_locked_by.is_empty() {
                        true => row.status.clone(),
                        false => {
                            format!("{}, kept for {}", row.status, row.only_locked_by.join(", "))
                        }
                    },
                ]
            })
            .collect();
        context.ui.data(&table(
            &["NAME", "VERSION", "TRUST", "SOURCE", "STATUS"],
            &cells,
        ));
    }
    if bad.is_empty() {
        return Ok(Exit::Done);
    }
    let first = rows.iter().find_map(|row| row.remedy.as_deref());
    let help = match (first, unreadable.first().and_then(|one| one.finding().help)) {
        (Some(first), _) => format!("run `{first}`, and `ztc plugins verify` again"),
        (None, help) => help.unwrap_or_default(),
    };
    let mut failure = Failure::new(
        Exit::Refused,
        "installed adapters are not what was installed",
    )
    .help(help);
    failure.details = bad;
    match context.ui.is_json() {
        true => Ok(Exit::Refused),
        false => Err(failure),
    }
}

/// The command that brings what was installed once more, in a repository and outside of one.
fn again(record: &Record) -> String {
    if record.is_file() {
        let path = record.source.trim_start_matches("file://");
        return format!("ztc plugins install {} --allow-unsigned", word(path));
    }
    let what = format!("{}@{}", record.name, record.version);
    let unsigned = match record.publisher_key {
        Some(_) => "",
        None => " --allow-unsigned",
    };
    format!(
        "ztc plugins install {} --source {}{unsigned}",
        word(&what),
        word(&record.source)
    )
}

fn verified(store: &Store, record: &Record) -> Verified {
    let remedy;
    let (sha256, status) = match (record.asset(), store.program(record)) {
        (Some(asset), Some(program)) => {
            let flaw = intact::flaw(&program, &asset.sha256);
            let status = flaw
                .as_ref()
                .map_or_else(|| "ok".to_owned(), |flaw| flaw.word());
            remedy = flaw.map(|flaw| flaw.remedy(&program).unwrap_or_else(|| again(record)));
            (asset.sha256.clone(), status)
        }
        _ => {
            remedy = Some(again(record));
            (String::new(), "has no file for its platform".to_owned())
        }
    };
    Verified {
        name: record.name.clone(),
        version: record.version.clone(),
        source: record.source.clone(),
        publisher_key: record.publisher_key.clone(),
        sha256,
        status,
        remedy,
        only_locked_by: Vec::new(),
        yanked: None,
    }
}

/// Says that an adapter was never installed, because ztc brings it.
pub(crate) fn part_of_ztc(name: &str) -> Failure {
    Failure::new(
        Exit::Missing,
        format!("`{name}` is not installed: it is a part of ztc"),
    )
    .help("it comes and goes with ztc itself; `ztc version` says which one this is")
}

/// Reads the bytes that only the lock of a repository names: the record of their version is of those of another publisher.
fn only_locked(context: &Context, store: &Store, installed: &[Record]) -> Vec<Verified> {
    let mut rows: Vec<Verified> = Vec::new();
    for project in projects::all(&context.machine) {
        for (name, locked) in project.installed() {
            let Some(here) = locked.here() else { continue };
            let is_recorded = |record: &Record| {
                let asset = record.asset();
                asset.is_some_and(|asset| asset.sha256 == here.sha256)
            };
            let path = project.path.display().to_string();
            if let Some(row) = rows.iter_mut().find(|row| row.sha256 == here.sha256) {
                row.only_locked_by.push(path);
            } else if !installed.iter().any(is_recorded)
                && let Some(program) = store.bytes_of(&here.sha256, &here.path)
            {
                rows.extend(kept((name, locked), &program, &here.sha256, &project.path));
            }
        }
    }
    rows
}

fn kept(
    (name, locked): (&str, &LockedPlugin),
    program: &Path,
    sha256: &str,
    project: &Path,
) -> Option<Verified> {
    let flaw = intact::flaw(program, sha256);
    let path = project.display().to_string();
    let again = format!("ztc -C {} plugins install", word(&path));
    Some(Verified {
        name: name.to_owned(),
        version: locked.version.parse().ok()?,
        source: place(&locked.source, project).unwrap_or_else(|| locked.source.clone()),
        publisher_key: locked.publisher_key.clone(),
        sha256: sha256.to_owned(),
        status: flaw
            .as_ref()
            .map_or_else(|| "ok".to_owned(), |flaw| flaw.word()),
        remedy: flaw.map(|flaw| flaw.remedy(program).unwrap_or(again)),
        only_locked_by: vec![path],
        yanked: None,
    })
}

/// Removes.
pub(crate) fn remove(context: &Context, arguments: &Remove) -> Result<Exit, Failure> {
    let store = Store::new(&context.machine);
    let waiting = || {
        let ui = &context.ui;
        ui.say("another ztc installs something; waiting for it");
    };
    // Who only looks changes nothing.
    let hold = match arguments.dry_run {
        true => None,
        false => Some(store.hold(waiting)?),
    };
    let installed = store.installed();
    let (name, version) = match arguments.what.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (arguments.what.as_str(), None),
    };
    let is_meant = |record: &&Record| {
        record.name == name && version.is_none_or(|version| record.version.to_string() == version)
    };
    let meant: Vec<&Record> = installed.iter().filter(is_meant).collect();
    let unreadable = store.unreadable();
    let is_meant =
        |(own, its): &(String, String)| own == name && version.is_none_or(|version| its == version);
    let unreadable: Vec<(&Unreadable, (String, String))> = unreadable
        .iter()
        .filter_map(|one| Some((one, one.meant().filter(is_meant)?)))
        .collect();
    if meant.is_empty() && unreadable.is_empty() {
        if let Some(hold) = &hold {
            // Where a removal was killed that had forgotten it already, this is the rest of it.
            store.sweep(hold);
        }
        let is_known = installed.iter().any(|record| record.name == name);
        if builtin::find(name).is_some() && !is_known {
            return Err(part_of_ztc(name));
        }
        let failure = Failure::new(
            Exit::Missing,
            format!("`{}` is not installed", arguments.what),
        );
        let own = installed.iter().filter(|record| record.name == name);
        let own: Vec<String> = own.map(|record| record.version.to_string()).collect();
        let help = match own.is_empty() {
            true => did_you_mean(name, installed.iter().map(|record| record.name.as_str())),
            false => Some(format!("of `{name}` there is {}", own.join(", "))),
        };
        let needs = |project: &projects::Project| project.installed().any(|(own, _)| own == name);
        let needing = projects::all(&context.machine).into_iter().find(needs);
        let help = match needing.filter(|_| own.is_empty()) {
            Some(project) => Some(format!(
                "what the lock of {} names stays as long as it does",
                project.path.display()
            )),
            None => help,
        };
        return Err(failure.help(
            help.unwrap_or_else(|| "`ztc plugins list` shows what is installed".to_owned()),
        ));
    }
    let projects = projects::all(&context.machine);
    let names = meant.iter().map(|record| {
        let sha256 = record.asset().map(|asset| asset.sha256.as_str());
        (record.name.clone(), record.version.to_string(), sha256)
    });
    let unknown = unreadable
        .iter()
        .map(|(_, (name, version))| (name.clone(), version.clone(), None));
    let removed: Vec<Removed> = names
        .chain(unknown)
        .map(|(name, version, sha256)| Removed {
            locked_by: projects
                .iter()
                .filter(|project| project.locks(&name, &version, sha256))
                .map(|project| project.path.display().to_string())
                .collect(),
            name,
            version,
        })
        .collect();
    if !arguments.force {
        refuse_locked(&arguments.what, &removed)?;
        refuse_unknown(&arguments.what, &projects::unreadable(&context.machine))?;
        refuse_broken(&arguments.what, &projects::broken(&context.machine))?;
    }
    if let Some(hold) = &hold {
        for (one, _) in &unreadable {
            Store::remove_unreadable(one)?;
        }
        for record in &meant {
            store.remove(record)?;
        }
        store.sweep(hold);
    }
    for (one, _) in &unreadable {
        context.ui.warning(one.finding().message);
    }
    if context.ui.is_json() {
        context
            .ui
            .json(&serde_json::json!({ "removed": removed, "dry_run": arguments.dry_run }));
        return Ok(Exit::Done);
    }
    for one in &removed {
        let Removed { name, version, .. } = one;
        for path in &one.locked_by {
            context.ui.warning(format!(
                "the lock of {path} names `{name}` {version}: there `ztc plugins install` brings it back"
            ));
        }
        let what = match arguments.dry_run {
            true => "would remove",
            false => "removed",
        };
        context.ui.done(format!("{what} {name} {version}"));
    }
    Ok(Exit::Done)
}

/// Refuses to take away what a repository may need that cannot be asked.
fn refuse_unknown(what: &str, unreadable: &[PathBuf]) -> Result<(), Failure> {
    if unreadable.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{what}` may be needed by a repository whose lock cannot be read"),
    )
    .help(format!(
        "mend that lock (`git checkout -- platform/lock.json`), or remove it all the same with `ztc plugins remove {} --force`",
        word(what)
    ));
    failure.details = unreadable
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Err(failure)
}

/// Refuses to take away what a repository may need of which nobody knows any more where it is.
fn refuse_broken(what: &str, broken: &[PathBuf]) -> Result<(), Failure> {
    if broken.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{what}` may be needed by a repository that is not known any more: what names it cannot be read"),
    )
    .help(format!(
        "run `rm {}`, then `ztc validate` in each repository of yours, which names it again; or remove it all the same with `ztc plugins remove {} --force`",
        broken
            .iter()
            .map(|path| word(&path.display().to_string()))
            .collect::<Vec<_>>()
            .join(" "),
        word(what)
    ));
    failure.details = broken
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Err(failure)
}

/// Refuses to take away what other work on this machine needs.
fn refuse_locked(what: &str, removed: &[Removed]) -> Result<(), Failure> {
    let details: Vec<String> = removed
        .iter()
        .flat_map(|one| one.locked_by.iter().map(move |path| (one, path)))
        .map(|(one, path)| format!("{} {} is locked by {path}", one.name, one.version))
        .collect();
    if details.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{what}` is needed by repositories of this machine"),
    )
    .help(format!(
        "remove it all the same with `ztc plugins remove {} --force`; there, `ztc plugins install` brings it back",
        word(what)
    ));
    failure.details = details;
    Err(failure)
}
