//! `ztc plugins upgrade`: first what it changes, then, when somebody agrees, the change.

use std::path::Path;

use semver::{Version, VersionReq};
use serde::Serialize;

use crate::adapter::builtin;
use crate::commands::Context;
use crate::commands::plugins::install::{Failed, exit_of, requirement, say, say_lock};
use crate::commands::plugins::installed::part_of_ztc;
use crate::commands::plugins::project::Project;
use crate::commands::plugins::stop::Stop;
use crate::commands::plugins::together::ask_all;
use crate::commands::plugins::work::Work;
use crate::commands::running::consent;
use crate::error::{Exit, Failure, did_you_mean};
use crate::foreign::printable;
use crate::lock;
use crate::paths::Machine;
use crate::plugins::agreed::NewPowers;
use crate::plugins::follow::Network;
use crate::plugins::index::Beyond;
use crate::plugins::install::{self, Done, Mode, Terms, Wish};
use crate::plugins::locked;
use crate::plugins::powers::Power;
use crate::plugins::source::Source;
use crate::plugins::store::{Record, Store};
use crate::plugins::taken_back;
use crate::plugins::tree::{Tree, Unsigned};
use crate::plugins::upgrade::{self, InputChanges, Newer, Step, Words};
use crate::shell::word;

/// Options of `ztc plugins upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Adapters, each with a range of versions where only that is wanted [default: all that are installed and used here]
    #[arg(value_name = "NAME[@RANGE]")]
    names: Vec<String>,
    /// Agree that new versions touch more than the old ones: variables, secrets, network, tools
    #[arg(long)]
    accept: bool,
    /// Upgrade without being asked
    #[arg(long)]
    yes: bool,
    /// Take what nobody has signed
    #[arg(long)]
    allow_unsigned: bool,
    /// Show what would change
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// What becomes of the adapters, as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    /// What changes, or would.
    upgrades: Vec<&'a Step>,
    /// What has no newer version.
    current: &'a [Current],
    dry_run: bool,
    /// Why nothing was done.
    refused: Option<&'a str>,
    /// What could not be looked at, and why.
    failed: &'a [Failed],
    installed: &'a [Done],
}

#[derive(Serialize)]
struct Current {
    name: String,
    version: Version,
    source: String,
    /// The newest release, where it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    newer: Option<Newer>,
    /// Why its publisher has taken it back.
    yanked: Option<String>,
}

/// One upgrade, ready to be done.
struct Job {
    step: Step,
    tree: Tree,
    version: Version,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let terms = Terms {
        unsigned: Unsigned::of(arguments.allow_unsigned),
        // What is new is in the plan, and nothing is installed before it is agreed to.
        powers: NewPowers::Accept,
        ..Terms::plain(match arguments.dry_run {
            true => Mode::DryRun,
            false => Mode::Install,
        })
    };
    for one in Store::new(&context.machine).unreadable() {
        context.ui.finding(&one.finding());
    }
    let project = Project::read(context)?;
    let (mut jobs, mut current, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = wanted(context, arguments, &project)?;
    let is_alone = wanted.len() == 1;
    let questions = wanted.iter().map(|one| (one.record.source.clone(), one));
    let (machine, root) = (&context.machine, context.repository.root());
    let trees = ask_all(&context.ui, questions.collect(), |one: &Candidate| {
        open(machine, root, &project, &one.record, &terms)
    });
    for (wanted, tree) in wanted.into_iter().zip(trees) {
        let name = wanted.record.name.clone();
        match tree.and_then(|tree| plan(context, &project, wanted, tree, &terms)) {
            Ok(Ok(job)) => jobs.push(job),
            Ok(Err(one)) => current.push(one),
            Err(failure) if is_alone => return Err(failure),
            // One source that is away does not keep the others from it.
            Err(error) => failed.push(Failed { name, error }),
        }
    }
    let refused = match arguments.accept {
        true => None,
        false => more_power(&jobs),
    };
    if !context.ui.is_json() {
        failed.iter().for_each(|one| context.ui.failure(&one.error));
        show(context, &jobs, &current, failed.len());
    }
    let report = |refused: Option<&str>, installed: &[Done]| {
        context.ui.json(&Report {
            upgrades: jobs.iter().map(|job| &job.step).collect(),
            current: &current,
            dry_run: arguments.dry_run,
            refused,
            failed: &failed,
            installed,
        });
    };
    let command = command(&arguments.names);
    match refused {
        Some(refused) if context.ui.is_json() => {
            report(Some(&refused), &[]);
            return Ok(match arguments.dry_run {
                true => exit_of(&failed),
                false => Exit::Refused,
            });
        }
        Some(refused) if arguments.dry_run => {
            context
                .ui
                .warning(format!("{refused}: this needs `--accept`"));
            return Ok(exit_of(&failed));
        }
        Some(refused) => {
            return Err(Failure::new(Exit::Refused, refused)
                .help(format!("where that is right, run `{command} --accept`")));
        }
        None => {}
    }
    let mut installed = Vec::new();
    if !arguments.dry_run && !jobs.is_empty() {
        let asked = match arguments.accept {
            true => format!("{command} --accept"),
            false => command,
        };
        consent(context, arguments.yes, "Upgrade?", &asked)?;
        installed = upgrade_all(context, &project, &jobs, &terms)?;
    }
    if context.ui.is_json() {
        report(None, &installed);
    }
    Ok(exit_of(&failed))
}

/// An installed version that may have a newer one.
struct Candidate {
    record: Record,
    range: Option<VersionReq>,
}

/// Returns what is to be upgraded.
fn wanted(
    context: &Context,
    arguments: &Arguments,
    project: &Project,
) -> Result<Vec<Candidate>, Failure> {
    let installed = Store::new(&context.machine).installed();
    if !arguments.names.is_empty() {
        let named = arguments.names.iter().map(|text| {
            let (name, range) = match text.split_once('@') {
                Some((name, range)) => (name, Some(requirement(range)?)),
                None => (text.as_str(), None),
            };
            let record = used(project, &installed, name)?.ok_or_else(|| {
                if builtin::find(name).is_some() {
                    return part_of_ztc(name);
                }
                let failure = Failure::new(Exit::Missing, format!("`{name}` is not installed"));
                let names = installed.iter().map(|record| record.name.as_str());
                failure.help(did_you_mean(name, names).unwrap_or_else(|| {
                    format!("run `ztc plugins install {} --source SOURCE`", word(name))
                }))
            })?;
            if record.is_file() {
                return Err(Failure::invalid(format!(
                    "`{name}` was installed from a single file, which has no newer versions"
                ))
                .help("install the newer file: `ztc plugins install PATH --allow-unsigned`"));
            }
            Ok(Candidate {
                range: range.or_else(|| project.asked_range(name)),
                record: record.clone(),
            })
        });
        return named.collect();
    }
    let mut names: Vec<&str> = installed
        .iter()
        .map(|record| record.name.as_str())
        .collect();
    names.dedup();
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| uses(project, name)) {
        match used(project, &installed, name)? {
            Some(record) if !record.is_file() => all.push(Candidate {
                range: project.asked_range(name),
                record: record.clone(),
            }),
            _ => {}
        }
    }
    Ok(all)
}

/// The installed version that is used here: the one of the lock, else the newest.
fn used<'a>(
    project: &Project,
    installed: &'a [Record],
    name: &str,
) -> Result<Option<&'a Record>, Failure> {
    let mut own = installed.iter().filter(|record| record.name == name);
    let Some(locked) = project.pin(name) else {
        return Ok(own.next());
    };
    let found = own.find(|record| record.version.to_string() == locked.version);
    found.map(Some).ok_or_else(|| {
        Failure::new(
            Exit::Missing,
            format!("`{name}` {} is locked and not installed", locked.version),
        )
        .help("run `ztc plugins install`")
    })
}

/// Whether the platform has something to do with an adapter; everything has where there is no platform.
fn uses(project: &Project, name: &str) -> bool {
    let platform = project.platform.as_ref();
    platform.is_none_or(|platform| {
        let plugin = platform.plugins.get(name);
        if plugin.is_some_and(|plugin| plugin.path.is_some()) {
            return false;
        }
        plugin.is_some()
            || platform
                .sections
                .iter()
                .any(|section| section.adapter == name)
    }) || project.pin(name).is_some()
}

/// Opens the source of what is installed.
fn open(
    machine: &Machine,
    root: &Path,
    project: &Project,
    record: &Record,
    terms: &Terms,
) -> Result<Tree, Failure> {
    project.refuse_contradiction(&record.name)?;
    let source = Source::parse(&record.source, root)?;
    match project.pin(&record.name) {
        Some(locked) => locked::open(machine, project.root(), source, locked, terms),
        None => install::open(machine, source, terms),
    }
}

/// Finds out what an upgrade would change; what is current already comes back as that.
fn plan(
    context: &Context,
    project: &Project,
    Candidate { record, range }: Candidate,
    tree: Tree,
    terms: &Terms,
) -> Result<Result<Job, Current>, Failure> {
    let place = tree.source.name();
    project.refuse_moved(&record.name, &place, tree.signer.key(), terms)?;
    let choice = tree
        .index
        .choose(&place, &record.name, range.as_ref(), &lock::machine())?;
    let newer = newer(project, &tree, &record, range.as_ref(), &choice.version);
    let version = record.version.to_string();
    let reason = taken_back::reason(&tree.index, &place, &record.name, &version);
    if choice.version <= record.version {
        if let Some(reason) = &reason {
            context.ui.finding(&reason.finding());
        }
        return Ok(Err(Current {
            name: record.name,
            version: record.version,
            source: place,
            newer,
            yanked: reason.map(|reason| reason.why),
        }));
    }
    if let Some(reason) = reason {
        // What to type is the plan itself.
        context
            .ui
            .warning(taken_back::message(&record.name, &version, &reason.why));
    }
    let mut step = upgrade::step(&record, &place, &choice);
    step.newer = newer;
    step.not_locked = project.unwanted(&record.name, &choice.version);
    Ok(Ok(Job {
        step,
        version: choice.version,
        tree,
    }))
}

/// Names what is newer still, and why it is not taken.
fn newer(
    project: &Project,
    tree: &Tree,
    record: &Record,
    range: Option<&VersionReq>,
    chosen: &Version,
) -> Option<Newer> {
    let name = &record.name;
    let newest = chosen.max(&record.version);
    let entry = tree.index.adapters.get(name)?;
    let (version, why) = entry.beyond(newest, range, &lock::machine())?;
    let why = match why {
        Beyond::Unfit(why) => why,
        Beyond::Outside(range) => project
            .unwanted(name, &version)
            .unwrap_or_else(|| format!("is outside of `{range}`")),
    };
    Some(Newer {
        version: version.to_string(),
        why,
    })
}

fn line_of(newer: &Newer) -> String {
    format!("  newer     {} {}", newer.version, printable(&newer.why))
}

/// Says which upgrades touch more than before; nothing where none does.
fn more_power(jobs: &[Job]) -> Option<String> {
    let more: Vec<String> = jobs
        .iter()
        .filter_map(|Job { step, .. }| {
            let mut powers: Vec<String> = step.new_powers.iter().map(Power::to_string).collect();
            powers.extend((!step.powers_known).then(|| "something that is not known".to_owned()));
            (!powers.is_empty()).then(|| format!("`{}` {}", step.name, powers.join(", ")))
        })
        .collect();
    (!more.is_empty()).then(|| {
        format!(
            "new versions may touch more than the old ones: {}",
            more.join("; ")
        )
    })
}

fn upgrade_all(
    context: &Context,
    project: &Project,
    jobs: &[Job],
    terms: &Terms,
) -> Result<Vec<Done>, Failure> {
    let work = Work {
        context,
        project,
        terms,
        instead: None,
        network: Network::Use,
        stop: Stop::listen(&context.ui),
    };
    let mut all = Vec::new();
    for job in jobs {
        let name = &job.step.name;
        let wish = Wish {
            name: Some(name.clone()),
            range: format!("={}", job.version).parse().ok(),
            source: job.tree.source.clone(),
            locked: None,
        };
        let done = work.tree(&job.tree, wish)?;
        if !context.ui.is_json() {
            say(context, &done);
            say_lock(context, &done);
        }
        all.push(done);
    }
    project.remember(context, terms.mode);
    Ok(all)
}

/// The command that was typed, without its options.
fn command(names: &[String]) -> String {
    let mut words = vec!["ztc plugins upgrade".to_owned()];
    words.extend(names.iter().map(|name| word(name)));
    words.join(" ")
}

fn show(context: &Context, jobs: &[Job], current: &[Current], failed: usize) {
    for Current {
        name,
        version,
        source,
        newer,
        yanked,
    } in current
    {
        let newest = match yanked {
            None => "is the newest that fits",
            Some(_) => "has no newer one that fits",
        };
        context
            .ui
            .say(format!("{name} {version} {newest}, from {source}"));
        if let Some(newer) = newer {
            context.ui.say(line_of(newer));
        }
    }
    if jobs.is_empty() && current.is_empty() && failed == 0 {
        context
            .ui
            .say("nothing is installed that could be upgraded");
    }
    for Job { step, .. } in jobs {
        context.ui.say(lines(step).join("\n"));
        if let Some(why) = &step.not_locked {
            context.ui.warning(format!(
                "`{}` {} would be installed and not used here, because it {why}: change that line first",
                step.name, step.to.version
            ));
        }
    }
}

/// Tells one upgrade.
fn lines(step: &Step) -> Vec<String> {
    let Step {
        name,
        source,
        from,
        to,
        ..
    } = step;
    let mut lines = vec![
        format!("{name} {} -> {} from {source}", from.version, to.version),
        format!("  sha256    {} -> {}", from.sha256, to.sha256),
    ];
    let (old, new) = (from.protocols.join(", "), to.protocols.join(", "));
    lines.push(match old == new {
        true => format!("  protocol  {new}"),
        false => format!("  protocol  {old} -> {new}"),
    });
    lines.extend(words("provides", &step.provides));
    lines.extend(words("requires", &step.requires));
    match &step.inputs {
        None => lines.push(
            "  inputs    not known: one of the versions was published without them".to_owned(),
        ),
        Some(changes) if changes.is_empty() => lines.push("  inputs    as before".to_owned()),
        Some(changes) => lines.extend(inputs(changes)),
    }
    let powers = |sign: &str, powers: &[Power]| -> Vec<String> {
        let line = |it| format!("  {sign} touches {it}");
        powers.iter().map(line).collect()
    };
    match step.new_powers.is_empty() && step.gone_powers.is_empty() {
        _ if !step.powers_known => lines.push(
            "  touches   not known: nobody has asked the new version when it was published"
                .to_owned(),
        ),
        true => lines.push("  touches   what it touched before".to_owned()),
        false => {
            lines.extend(powers("+", &step.new_powers));
            lines.extend(powers("-", &step.gone_powers));
        }
    }
    lines.extend(step.newer.iter().map(line_of));
    lines
}

fn words(what: &str, words: &Words) -> Vec<String> {
    let signed = |sign: &str, all: &[String]| -> Vec<String> {
        let line = |word| format!("  {sign} {what} {word}");
        all.iter().map(line).collect()
    };
    [signed("+", &words.added), signed("-", &words.removed)].concat()
}

fn inputs(changes: &InputChanges) -> Vec<String> {
    let one = |sign: &str, (place, text): (&String, &String)| {
        format!("  {sign} input {}: {}", printable(place), printable(text))
    };
    let added = changes.added.iter().map(|it| one("+", it));
    let removed = changes.removed.iter().map(|it| one("-", it));
    let changed = changes.changed.iter().map(|(place, (before, after))| {
        format!(
            "  ~ input {}: {} -> {}",
            printable(place),
            printable(before),
            printable(after)
        )
    });
    added.chain(removed).chain(changed).collect()
}
