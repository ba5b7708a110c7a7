//! `ztc render`: artifacts, pipeline and lock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::adapter::Source;
use crate::commands::bootstrap::refused;
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding};
use crate::lock::{Lock, LockedAdapter};
use crate::pipeline::file::Pipeline;
use crate::pipeline::run_lock;
use crate::plugins::projects;
use crate::render::assemble::Rendered;
use crate::render::bundles::Missing;
use crate::render::output::{LOCK, SCRIPTS};
use crate::render::trace::Trace;
use crate::render::workspace::{self, Changes, RenderLock};
use crate::render::{Request, Strictness, diff, partial, refuse_locked};
use crate::secrets::git;
use crate::session::{OnlyFound, Session};
use crate::versions::{Pins, Used};
use crate::yaml;

/// How many files of a kind are named.
const NAMED: usize = 10;

/// Options of `ztc render`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment: merges platform.<ENV>.yaml over platform.yaml
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Change only files of this adapter and of those that depend on it; where others would change too, write nothing (repeatable)
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) partial: Vec<String>,
    /// When the render fails, keep what went to adapters and came back, and say where
    #[arg(long)]
    pub(crate) debug: bool,
    /// Write nothing: print the differences and exit with 3 where there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Look facts up again (server ids, architectures) instead of using those of the lock: of these adapters, or of all
    #[arg(long, value_name = "ADAPTER", num_args = 0..)]
    pub(crate) refresh: Option<Vec<String>>,
    /// Take the newest tables of versions that this machine has instead of those that the lock pins: of these adapters, or of all
    #[arg(long, value_name = "ADAPTER", num_args = 0..)]
    pub(crate) new_versions: Option<Vec<String>>,
    /// Look nothing up, and write nothing that would change the lock
    #[arg(long, conflicts_with_all = ["refresh", "new_versions"])]
    pub(crate) locked: bool,
}

/// The result, as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    environment: &'a str,
    /// Whether anything was written; with `--check`, whether anything would be.
    changed: bool,
    written: bool,
    artifacts: usize,
    stages: usize,
    #[serde(flatten)]
    changes: &'a Changes,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    /// The table of versions that each adapter worked with.
    versions: BTreeMap<&'a str, &'a Used>,
    warnings: Vec<Finding>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    wait_for(async {
        let guard = prepare(context, arguments.check)?;
        git::refuse_tracked(&context.repository).await?;
        let pins = match arguments.new_versions.as_deref() {
            None => Pins::Hold,
            Some([]) => Pins::Dropped,
            Some(names) => Pins::HoldExcept(names.iter().cloned().collect()),
        };
        let found = match arguments.locked {
            true => OnlyFound::AsLocked,
            false => OnlyFound::AsTheyAre,
        };
        let session = Session::open_with(
            &context.repository,
            &context.machine,
            &context.ui,
            arguments.env.as_deref(),
            (&pins, found),
        )
        .await
        .map_err(refused)?;
        let trace = Trace::new(arguments.debug);
        let result = work(context, arguments, &session, &trace, guard.as_ref()).await;
        session.close().await;
        result.map_err(|failure| explain(context, &trace, failure))
    })
}

/// Ends what an earlier render left half-done, and keeps other renders away from one that writes.
fn prepare(context: &Context, check: bool) -> Result<Option<RenderLock>, Failure> {
    let (guard, repaired) = if check {
        (None, workspace::repair(&context.repository)?)
    } else {
        let guard = RenderLock::take(&context.repository, Duration::ZERO)?;
        let repaired = workspace::repair_locked(&context.repository, &guard)?;
        (Some(guard), repaired)
    };
    if let Some(message) = repaired.message() {
        context.ui.warning(message);
    }
    Ok(guard)
}

/// Keeps away from files that a bootstrap is using: it stops where they differ from what it began with.
pub(crate) fn refuse_during_a_run<'a>(
    context: &Context,
    mut environments: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    match environments.find_map(|name| Some((name, run_lock::live(&context.repository, name)?))) {
        None => Ok(()),
        Some((environment, holder)) => Err(Failure::new(
            Exit::Refused,
            format!(
                "a bootstrap of `{environment}` is running (process {}, since {})",
                holder.pid, holder.since
            ),
        )
        .help("wait for its end (`ztc status --follow`), or see what would change with `ztc render --check`")),
    }
}

async fn work(
    context: &Context,
    arguments: &Arguments,
    session: &Session,
    trace: &Trace,
    guard: Option<&RenderLock>,
) -> Result<Exit, Failure> {
    let repository = &context.repository;
    let old = Lock::load(repository)?;
    if !arguments.check {
        let locked = old.as_ref().map(|lock| lock.environment.as_str());
        let environments = [Some(session.platform.environment.as_str()), locked];
        refuse_during_a_run(context, environments.into_iter().flatten())?;
    }
    let chosen = match arguments.partial.is_empty() {
        true => session.resolution.waves.iter().flatten().cloned().collect(),
        false => partial::chosen(&arguments.partial, &session.resolution)?,
    };
    let rendered = Request {
        repository,
        mask: context.ui.mask(),
        session,
        old: old.as_ref(),
        refresh: match arguments.refresh.as_deref() {
            None => BTreeSet::new(),
            Some([]) => chosen.clone(),
            Some(names) => partial::named(names, &session.resolution)?,
        },
        strictness: Strictness::of(arguments.locked),
        missing: if arguments.check {
            Missing::Warning
        } else {
            Missing::Refused
        },
        trace,
    }
    .render()
    .await?;
    trace.files(&rendered.tree);
    let changes = Changes::find(repository.root(), &rendered.tree)?;
    if !arguments.partial.is_empty() {
        partial::refuse_others(
            &chosen,
            &rendered,
            before(context, &rendered).as_ref(),
            &changes,
        )?;
    }
    if let Some(guard) = guard {
        if arguments.locked {
            refuse_change(&changes)?;
        }
        workspace::commit(repository, &rendered.tree, &changes, guard)?;
        projects::remember(&context.machine, repository, &rendered.lock.plugins);
    }
    Ok(report(
        context,
        session,
        rendered,
        &changes,
        guard.is_some(),
    ))
}

/// Refuses to write another lock than the one that is there.
fn refuse_change(changes: &Changes) -> Result<(), Failure> {
    let all = [
        ("added", &changes.added),
        ("changed", &changes.changed),
        ("removed", &changes.removed),
    ];
    if !all
        .iter()
        .any(|(_, paths)| paths.iter().any(|path| path == LOCK))
    {
        return Ok(());
    }
    let lines = all.iter().flat_map(|(word, paths)| {
        let lines = paths.iter().map(move |path| format!("{word}: {path}"));
        lines.collect::<Vec<_>>()
    });
    let mut lines: Vec<String> = lines.collect();
    if lines.len() > NAMED {
        let more = lines.len() - NAMED;
        lines.truncate(NAMED);
        lines.push(format!("… and {more} more"));
    }
    refuse_locked(lines, &[])
}

/// Reads the pipeline that is there; one that cannot be read is none.
fn before(context: &Context, rendered: &Rendered) -> Option<Pipeline> {
    let text =
        std::fs::read_to_string(context.repository.root().join(&rendered.lock.pipeline.path))
            .ok()?;
    yaml::parse(&text).ok()
}

fn report(
    context: &Context,
    session: &Session,
    rendered: Rendered,
    changes: &Changes,
    write: bool,
) -> Exit {
    let ui = &context.ui;
    let mut warnings = session.warnings.clone();
    warnings.extend(
        rendered
            .warnings
            .iter()
            .filter(|warning| !session.warnings.contains(warning))
            .cloned(),
    );
    warnings.iter().for_each(|warning| ui.finding(warning));
    let diff = (!write && !changes.is_empty())
        .then(|| diff::unified(context.repository.root(), &rendered.tree, changes));
    if ui.is_json() {
        ui.json(&Report {
            environment: &session.platform.environment,
            changed: !changes.is_empty(),
            written: write && !changes.is_empty(),
            artifacts: rendered.lock.artifacts.len(),
            stages: rendered.pipeline.stages.len(),
            changes,
            diff,
            versions: versions(session),
            warnings,
        });
    } else if let Some(diff) = diff {
        ui.data(&diff);
    }
    say(context, session, &rendered, changes, write);
    if write || changes.is_empty() {
        Exit::Done
    } else {
        Exit::Differences
    }
}

fn versions(session: &Session) -> BTreeMap<&str, &Used> {
    let adapters = session.adapters.values();
    let used = adapters
        .filter_map(|adapter| Some((adapter.manifest.name.as_str(), adapter.versions.as_ref()?)));
    used.collect()
}

fn say(context: &Context, session: &Session, rendered: &Rendered, changes: &Changes, write: bool) {
    let ui = &context.ui;
    if !session.supervisor.tables().is_plain() {
        for (adapter, used) in versions(session) {
            ui.say(used.text(adapter));
        }
    }
    let environment = &session.platform.environment;
    let size = format!(
        "{} artifacts, {} stages",
        rendered.lock.artifacts.len(),
        rendered.pipeline.stages.len()
    );
    if changes.is_empty() {
        ui.done(format!("nothing changed for `{environment}`: {size}"));
        return;
    }
    let Changes {
        added,
        changed,
        removed,
        unchanged,
        ..
    } = changes;
    for (word, paths) in [("added", added), ("changed", changed), ("removed", removed)] {
        for path in paths.iter().take(NAMED) {
            ui.say(format!("  {word:<8} {path}"));
        }
        if paths.len() > NAMED {
            ui.say(format!("  {word:<8} … and {} more", paths.len() - NAMED));
        }
    }
    let count = format!(
        "{} added, {} changed, {} removed, {unchanged} unchanged",
        added.len(),
        changed.len(),
        removed.len()
    );
    if write {
        ui.done(format!("rendered `{environment}`: {size} ({count})"));
        for directory in scripts_of_others(session, added.iter().chain(changed)) {
            ui.say(format!(
                "  read what is new in {directory}: `ztc bootstrap` runs it as you, outside of the sandbox"
            ));
        }
        let is_dev = |adapter: &LockedAdapter| adapter.source == Source::Dev.word();
        match rendered.unmade.is_empty() {
            true if rendered.lock.adapters.values().any(is_dev) => ui.next(
                "unset ZTC_PLUGIN_DEV && ztc render",
                "renders what a bootstrap takes: an author's build is never locked",
            ),
            true => ui.next("ztc plan", "shows what a bootstrap would do"),
            false => ui.next(
                "ztc secrets generate",
                "makes the secrets that the artifacts refer to",
            ),
        }
    } else {
        ui.say(format!(
            "a render of `{environment}` would change files: {count}"
        ));
        ui.next("ztc render", "writes them");
    }
}

/// The directories below which scripts came or changed whose adapter is no part of ztc.
fn scripts_of_others<'a>(
    session: &Session,
    paths: impl Iterator<Item = &'a String>,
) -> BTreeSet<String> {
    let below = format!("{SCRIPTS}/");
    let sections = paths.filter_map(|path| path.strip_prefix(&below)?.split_once('/'));
    let is_other = |section: &str| {
        let adapter = session.adapters.get(section);
        adapter.is_some_and(|adapter| adapter.candidate.source != Source::BuiltIn)
    };
    sections
        .filter(|(section, _)| is_other(section))
        .map(|(section, _)| format!("{SCRIPTS}/{section}"))
        .collect()
}

/// Keeps the record of a failed render and says where it is.
fn explain(context: &Context, trace: &Trace, failure: Failure) -> Failure {
    let files = trace.take(context.ui.mask());
    if files.is_empty() {
        return failure;
    }
    match workspace::keep(&context.repository, &files) {
        Ok(directory) => failure.detail(format!(
            "kept for reading: `{}`",
            context.repository.display(&directory)
        )),
        Err(other) => failure.detail(format!("and keeping the record failed: {other}")),
    }
}
