//! What all commands that run stages share: the lock of the run, how many tasks run at once, the live socket, consent, and the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::commands::{Context, interrupt};
use crate::error::{Exit, Failure, Finding};
use crate::pipeline::cache::Cache;
use crate::pipeline::event::{Outcome, RunKind};
use crate::pipeline::file::Pipeline;
use crate::pipeline::gates::Action;
use crate::pipeline::journal;
use crate::pipeline::live::Live;
use crate::pipeline::manual::Desk;
use crate::pipeline::plan::Plan;
use crate::pipeline::prepared::Prepared;
use crate::pipeline::run_lock::{Holder, RunLock};
use crate::pipeline::runner::{Runner, Setting, Told, Urgency, Wish, exit};
use crate::pipeline::site::Site;
use crate::pipeline::state::RunState;
use crate::pipeline::tasks::Tasks;
use crate::process;
use crate::report::history::History;
use crate::report::meter::Meter;
use crate::ui;
use crate::ui::run::{NextCommands, RunView, duration, end, not_required};
use crate::ui::table::table_within;

/// How many tasks run at the same time at least, unless the operator says otherwise: stages mostly wait for other machines.
const JOBS: usize = 16;

/// How many open files one running stage takes, and how many ztc itself.
const FILES: (u64, u64) = (8, 100);

/// How long a stage may take to end when asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What of an item's context an operator recognizes a machine by.
const RECOGNIZED: [&str; 7] = [
    "server_id",
    "id",
    "server_name",
    "machine",
    "disk",
    "install_disk",
    "role",
];

/// How stages run: options of every command that runs them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Pace {
    /// How many stages and items run at the same time [default: 16, or all items of the stage that has most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Stop the whole run after this time, such as 45m or 1h30m, as Ctrl-C would
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    pub(crate) timeout: Option<Limit>,
    /// Write the run's metrics to FILE in Prometheus' text format, at every change
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
    /// Write `ZTC_STEP:<stage>:<START|OK|FAIL>:<json>` to stdout for every stage and item
    #[arg(long)]
    pub(crate) tokens: bool,
}

impl Pace {
    /// The commands that go on, at the same pace.
    pub(crate) fn kept(&self, next: NextCommands) -> NextCommands {
        match self.jobs {
            Some(jobs) => next.with("--jobs", Some(&jobs.to_string())),
            None => next,
        }
    }
}

/// A time limit as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    text: String,
    duration: Duration,
}

fn limit(text: &str) -> Result<Limit, String> {
    let duration = text
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero());
    match duration {
        Some(duration) => Ok(Limit {
            text: text.to_owned(),
            duration,
        }),
        None => Err("give a time such as `90s`, `45m` or `1h30m`".to_owned()),
    }
}

/// Takes the lock of an environment; says where its last holder ended without a word.
pub(crate) fn lock(context: &Context, environment: &str) -> Result<RunLock, Failure> {
    let lock = RunLock::acquire(&context.repository, environment)?;
    if let Some(holder) = &lock.died {
        context.ui.warning(format!(
            "run {} ended without a word ({}); going on from its journal",
            holder.run,
            holder.end()
        ));
    }
    Ok(lock)
}

/// Runs a plan under the lock, for everybody to see, and says how it ended.
pub(crate) async fn execute(
    context: &Context,
    lock: &mut RunLock,
    (site, plan, cache): (Site, Plan, Cache),
    (kind, pace): (RunKind, &Pace),
    next: &NextCommands,
) -> Result<Exit, Failure> {
    if pace.tokens && context.ui.is_json() {
        return Err(Failure::invalid(
            "`--tokens` and `--json` both want stdout; nothing has been run",
        )
        .help("leave one of them out"));
    }
    let meter = pace.metrics_file.as_deref().map(Meter::open).transpose()?;
    let site = Arc::new(site);
    let setting = Setting {
        kind,
        jobs: jobs(pace, &site.tasks),
        host: Holder::host_name(),
    };
    let runner = Runner::new(site.clone(), plan, cache, setting)?;
    let run = runner.name().to_owned();
    let (wish, wishes) = mpsc::unbounded_channel();
    interrupt::listen(&wish)?;
    let live = match Live::open(&site.repository, &site.environment, wish.clone()) {
        Ok(live) => Some(live),
        Err(error) => {
            context.ui.warning(format!(
                "`ztc status` sees this run by its journal only, and `ztc cancel` by signals: {error}"
            ));
            None
        }
    };
    let socket = live.as_ref().map(|live| live.path().to_owned());
    lock.sign(&Holder::this(runner.name(), socket))
        .map_err(|error| Failure::failed("failed to write who runs").detail(error))?;
    context.ui.say(format!("run {}", runner.name()));
    if let Some(limit) = pace.timeout.clone() {
        end_after(limit, wish);
    }
    let mut view = match pace.tokens {
        true => RunView::tokens(&context.ui),
        false => RunView::new(
            &context.ui,
            History::read(&site.repository, &site.environment, Some(&run)),
        ),
    };
    let ran = runner
        .run(wishes, |told: Told<'_>| {
            if let Some(live) = &live {
                live.publish(&told);
            }
            if let (Some(meter), Told::Record(record, _)) = (&meter, &told) {
                meter.add(record);
            }
            view.show(&told);
        })
        .await;
    drop(view);
    if let Some(Err(failure)) = meter.map(Meter::close) {
        context.ui.finding(&Finding::warning(failure.message));
    }
    if let Some(live) = live {
        live.close().await;
    }
    finish(context, &site, &ran?, next)
}

/// How many tasks run at the same time: enough that all items of a stage do, as far as this process may open files.
fn jobs(pace: &Pace, tasks: &Tasks) -> usize {
    let widest = tasks.of_stage.iter().map(Vec::len).max().unwrap_or(1);
    let wanted = pace.jobs.map_or_else(|| widest.max(JOBS), usize::from);
    let files = process::open_files(FILES.1 + FILES.0 * wanted as u64);
    wanted.min((files.saturating_sub(FILES.1) / FILES.0).max(1) as usize)
}

/// Wishes that the run ends when its time is over.
fn end_after(limit: Limit, wish: mpsc::UnboundedSender<Wish>) {
    tokio::spawn(async move {
        tokio::time::sleep(limit.duration).await;
        let _ = wish.send(Wish {
            signal: format!("--timeout {}", limit.text),
            urgency: Urgency::Ask,
        });
    });
}

/// Finds out who answers manual stages. Where one would run and nobody can, nothing runs.
pub(crate) fn desk(
    context: &Context,
    yes: bool,
    prepared: &Prepared,
    next: &NextCommands,
) -> Result<Desk, Failure> {
    if yes {
        return Ok(Desk::Yes);
    }
    let manual: Vec<(&str, &str)> = prepared
        .plan
        .running()
        .filter_map(|task| match &prepared.inputs[task].action {
            Action::Manual(text) => Some((prepared.tasks.list[task].name.as_str(), text.as_str())),
            Action::Script | Action::Health(_) => None,
        })
        .collect();
    if manual.is_empty() {
        return Ok(Desk::Nobody);
    }
    if context.ui.is_interactive() {
        return Ok(Desk::Person(ui::desk::open(&context.ui)));
    }
    let mut failure = Failure::new(
        Exit::Refused,
        "stages are to be confirmed by a person, and nobody is there; nothing has been run",
    )
    .help(format!(
        "do what they say; then run `{} --yes`",
        next.resume()
    ));
    for (task, text) in manual {
        failure.details.push(format!("`{task}`:"));
        failure
            .details
            .extend(text.lines().map(|line| format!("  {line}")));
    }
    Err(failure)
}

/// Lists the tasks that are about to destroy something, with what an operator recognizes them by; nothing where there are none.
/// `columns` is the width of the terminal, where there is one.
pub(crate) fn destroyed(
    pipeline: &Pipeline,
    prepared: &Prepared,
    columns: Option<usize>,
) -> Option<String> {
    let mut rows: Vec<Vec<String>> = prepared
        .destructive(pipeline)
        .map(|task| row(pipeline, prepared, task))
        .collect();
    let mut titles = vec!["STAGE", "ITEM", "KEY", "WHY", "WHAT"];
    if rows
        .iter()
        .all(|row| row.last().is_none_or(String::is_empty))
    {
        titles.pop();
        rows.iter_mut().for_each(|row| row.truncate(titles.len()));
    }
    (!rows.is_empty()).then(|| {
        format!(
            "these destroy data:\n{}",
            table_within(&titles, &rows, columns)
        )
    })
}

fn row(pipeline: &Pipeline, prepared: &Prepared, task: usize) -> Vec<String> {
    let (why, inputs) = (&prepared.plan.why[task], &prepared.inputs[task]);
    let task = &prepared.tasks.list[task];
    let facts = RECOGNIZED.iter().filter_map(|key| {
        let value = inputs.context.get(*key)?;
        Some(format!(
            "{key} {}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        ))
    });
    vec![
        task.entry(pipeline).name.clone(),
        task.item(pipeline)
            .map_or(String::new(), |item| item.name.clone()),
        task.item_key(pipeline).to_owned(),
        why.to_string(),
        facts.collect::<Vec<_>>().join(", "),
    ]
}

/// Goes on only with the name of the cluster, given beforehand or typed under the list. `refusal` says what nobody is there to confirm,
/// `command` what to type with the name behind it.
pub(crate) fn named(
    context: &Context,
    given: Option<&str>,
    cluster: &str,
    list: &str,
    (refusal, command): (String, String),
) -> Result<(), Failure> {
    let given = match given {
        Some(name) => {
            context.ui.say(list);
            name.to_owned()
        }
        None if context.ui.is_interactive() => context.ui.ask(
            list,
            &format!("Type the name of the cluster, `{cluster}`, to go on"),
        )?,
        None => {
            context.ui.say(list);
            return Err(Failure::new(Exit::Refused, refusal).help(format!(
                "read the list above; then run `{command} --confirm {cluster}`"
            )));
        }
    };
    match given.trim() == cluster {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` is not the name of the cluster; nothing has been run",
                given.trim()
            ),
        )
        .help(format!(
            "the name is `{cluster}`; make sure that this is the cluster you mean"
        ))),
    }
}

/// Goes on only where it was confirmed beforehand or somebody says yes.
pub(crate) fn consent(
    context: &Context,
    yes: bool,
    question: &str,
    command: &str,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !context.ui.is_interactive() {
        return Err(Failure::new(
            Exit::Refused,
            "this is to be confirmed, and nobody is there; nothing has been done",
        )
        .help(format!("read the list above; then run `{command} --yes`")));
    }
    match context.ui.confirm(question)? {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            "not confirmed; nothing has been done",
        )),
    }
}

/// Says how the run ended.
fn finish(
    context: &Context,
    site: &Site,
    state: &RunState,
    next: &NextCommands,
) -> Result<Exit, Failure> {
    let logs = journal::directory(&site.repository, &state.run);
    let log = |task: &str| {
        let found = site.tasks.list.iter().find(|other| other.name == task);
        let name = found.map_or_else(|| task.to_owned(), |task| task.file_name());
        site.repository.display(&logs.join(format!("{name}.log")))
    };
    let (outcome, seconds) = state.outcome.unwrap_or((Outcome::Failed, 0.0));
    if let Some(failure) = end(state, log, next) {
        return context.ui.run_failure(failure);
    }
    let count = state.phases.len();
    let took = duration(seconds);
    if outcome == Outcome::Degraded {
        let failed = not_required(state, log);
        failed
            .iter()
            .for_each(|warning| context.ui.finding(warning));
        context.ui.finding(
            &Finding::warning(format!(
                "{count} tasks in {took}, {} of which failed and are not required",
                failed.len()
            ))
            .help(format!("`{}` tries them again", next.resume())),
        );
    } else {
        context.ui.done(format!("{count} tasks in {took}"));
    }
    Ok(exit(outcome))
}
