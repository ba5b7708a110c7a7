//! `ztc plugins verify` and `remove`: what is installed, against what was signed, and no more.

use std::path::PathBuf;

use semver::Version;
use serde::Serialize;

use crate::commands::Context;
use crate::error::{Exit, Failure, did_you_mean};
use crate::intact;
use crate::plugins::projects;
use crate::plugins::store::{Record, Store};
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
    version: Version,
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
    /// What mends it, beside another installation.
    #[serde(skip)]
    remedy: Option<String>,
}

/// Reads every installed byte again.
pub(crate) fn verify(context: &Context) -> Result<Exit, Failure> {
    let store = Store::new(&context.machine);
    let rows: Vec<Verified> = store
        .installed()
        .iter()
        .map(|record| verified(&store, record))
        .collect();
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
                    row.status.clone(),
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
    let remedies: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.remedy.as_deref())
        .collect();
    let help = match (remedies.len() == bad.len(), remedies.first()) {
        (true, Some(first)) => format!("run `{first}`, and `ztc plugins verify` again"),
        (_, _) => again(context),
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

/// How what is broken is brought back. Outside of a repository there is nothing that says what to install.
fn again(context: &Context) -> String {
    match context.repository.platform().exists() {
        true => "install them again: `ztc plugins install`".to_owned(),
        false => "install them again, each by its name: `ztc plugins install NAME --source SOURCE`"
            .to_owned(),
    }
}

fn verified(store: &Store, record: &Record) -> Verified {
    let mut remedy = None;
    let (sha256, status) = match (record.asset(), store.program(record)) {
        (Some(asset), Some(program)) => {
            let flaw = intact::flaw(&program, &asset.sha256);
            remedy = flaw.as_ref().and_then(|flaw| flaw.remedy(&program));
            let status = flaw.map_or_else(|| "ok".to_owned(), |flaw| flaw.word());
            (asset.sha256.clone(), status)
        }
        _ => (String::new(), "has no file for its platform".to_owned()),
    };
    Verified {
        name: record.name.clone(),
        version: record.version.clone(),
        source: record.source.clone(),
        publisher_key: record.publisher_key.clone(),
        sha256,
        status,
        remedy,
    }
}

/// Removes.
pub(crate) fn remove(context: &Context, arguments: &Remove) -> Result<Exit, Failure> {
    let store = Store::new(&context.machine);
    let _hold = store.hold(|| {
        context
            .ui
            .say("another ztc installs something; waiting for it");
    })?;
    let installed = store.installed();
    let (name, version) = match arguments.what.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (arguments.what.as_str(), None),
    };
    let is_meant = |record: &&Record| {
        record.name == name && version.is_none_or(|version| record.version.to_string() == version)
    };
    let meant: Vec<&Record> = installed.iter().filter(is_meant).collect();
    if meant.is_empty() {
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
        return Err(failure.help(
            help.unwrap_or_else(|| "`ztc plugins verify` shows what is installed".to_owned()),
        ));
    }
    let projects = projects::all(&context.machine);
    let removed: Vec<Removed> = meant
        .iter()
        .map(|record| Removed {
            name: record.name.clone(),
            version: record.version.clone(),
            locked_by: projects
                .iter()
                .filter(|project| project.locks(&record.name, &record.version.to_string()))
                .map(|project| project.path.display().to_string())
                .collect(),
        })
        .collect();
    if !arguments.force {
        refuse_locked(&arguments.what, &removed)?;
        refuse_unknown(&arguments.what, &projects::unreadable(&context.machine))?;
    }
    for record in meant.iter().filter(|_| !arguments.dry_run) {
        store.remove(record)?;
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
        "mend that lock (`git checkout -- platform/lock.json`), or remove it all the same with `ztc plugins remove {what} --force`"
    ));
    failure.details = unreadable
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
        "remove it all the same with `ztc plugins remove {what} --force`; there, `ztc plugins install` brings it back"
    ));
    failure.details = details;
    Err(failure)
}
