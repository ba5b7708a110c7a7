//! `ztc status`: the live run through its socket, or the last one, read from its journal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::commands::{Context, interrupt, wait_for, wait_for_all_of};
use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::pipeline::event::{Event, Outcome, Record, RunKind};
use crate::pipeline::journal;
use crate::pipeline::live::{Ask, Reader, Say};
use crate::pipeline::run_lock::{self, Holder};
use crate::pipeline::runner::Told;
use crate::pipeline::state::{Phase, RunState};
use crate::report::history::History;
use crate::ui::run::{Look, RunView, duration, lasts, overview};

/// How often a journal is looked at while it grows.
const LOOK: Duration = Duration::from_millis(200);

/// Options of `ztc status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of the lock]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Go on showing what happens until the run ends
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = environment(context, arguments.env.as_deref())?;
    if !arguments.follow {
        return wait_for(status(context, &environment, false));
    }
    wait_for_all_of(async {
        let mut wishes = interrupt::wishes()?;
        tokio::select! {
            seen = status(context, &environment, true) => seen,
            // Who follows runs nothing: there is nothing to say.
            Some(_) = wishes.recv() => Ok(Exit::Interrupted),
        }
    })
}

async fn status(context: &Context, environment: &str, follow: bool) -> Result<Exit, Failure> {
    let live = run_lock::live(&context.repository, environment);
    let ask = if follow { Ask::Follow } else { Ask::Snapshot };
    // What earlier runs took, for an estimate; whoever looks once sees none.
    let earlier = |follow: bool| match &live {
        Some(holder) if follow => {
            History::read(&context.repository, environment, Some(&holder.run))
        }
        _ => History::default(),
    };
    if let Some(holder) = &live
        && let Some(mut reader) = knock(holder, ask).await
    {
        let seen = watch(context, &mut reader, follow, earlier(follow)).await?;
        // One that was just opening its socket has said nothing yet; its journal has as much.
        if !seen.state.run.is_empty() {
            return Ok(show(context, &seen, live.as_ref(), follow));
        }
    }
    let Some(records) = last_run(context, environment)? else {
        return Err(Failure::new(
            Exit::Differences,
            format!("nothing has been run for `{environment}` yet"),
        )
        .help("see what would run with `ztc plan`, and run it with `ztc bootstrap`"));
    };
    let seen = if follow {
        follow_journal(context, environment, &records).await?
    } else {
        Seen {
            state: RunState::replay(&records),
            last: BTreeMap::new(),
        }
    };
    let live = live.filter(|holder| holder.run == seen.state.run);
    Ok(show(context, &seen, live.as_ref(), follow))
}

/// What was seen of a run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) state: RunState,
    /// The last line of every task that prints.
    last: BTreeMap<String, String>,
}

/// Knocks at a live run; nothing where it does not open.
pub(crate) async fn knock(holder: &Holder, ask: Ask) -> Option<Reader> {
    let path = holder.socket.as_ref().filter(|_| holder.is_here())?;
    Reader::connect(path, ask).await.ok()
}

/// Takes what a run says until it has said everything; with `aloud`, shows it as it comes.
pub(crate) async fn watch(
    context: &Context,
    reader: &mut Reader,
    aloud: bool,
    history: History,
) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut view = RunView::new(&context.ui, history);
    while let Some(say) = reader.next().await? {
        match say {
            Say::Last(last) => seen.last = last,
            Say::Record(record) => {
                seen.state.apply(&record).map_err(|why| {
                    Failure::failed("the run says what makes no sense").detail(why)
                })?;
                if aloud {
                    view.show(&Told::Record(&record, &seen.state));
                }
            }
            Say::Line { task, line } if aloud => view.show(&Told::Line {
                task: &task,
                line: &line,
            }),
            Say::Line { .. } => {}
        }
    }
    Ok(seen)
}

fn show(context: &Context, seen: &Seen, live: Option<&Holder>, followed: bool) -> Exit {
    let state = &seen.state;
    let live = live.filter(|_| state.outcome.is_none() && !followed);
    if followed {
        context.ui.say(headline(state, live));
    } else if context.ui.is_json() {
        context.ui.json(&Report::new(seen, live));
    } else {
        let look = Look {
            now: live.map(|_| jiff::Timestamp::now()),
            columns: context.ui.data_columns(),
        };
        context.ui.data(&overview(state, &seen.last, look));
        context.ui.say(headline(state, live));
    }
    exit(state, live.is_some())
}

/// The environment that was asked for, else that of the lock: a status must not need a valid platform.yaml.
pub(crate) fn environment(context: &Context, asked: Option<&str>) -> Result<String, Failure> {
    if let Some(environment) = asked {
        return Ok(environment.to_owned());
    }
    let lock = Lock::load(&context.repository)?;
    lock.map(|lock| lock.environment)
        .ok_or_else(|| Failure::invalid("nothing is rendered yet").help("run `ztc render` first"))
}

/// The records of the last run of an environment.
fn last_run(context: &Context, environment: &str) -> Result<Option<Vec<Record>>, Failure> {
    for run in journal::runs(&context.repository)?.into_iter().rev() {
        let records = journal::read(&context.repository, &run)?;
        let belongs = |record: &Record| match &record.event {
            Event::RunStarted(head) => {
                head.environment == environment && !matches!(head.kind, RunKind::Reset { .. })
            }
            _ => false,
        };
        if records.first().is_some_and(belongs) {
            return Ok(Some(records));
        }
    }
    Ok(None)
}

/// Shows every record, and those that are added, until the run ends or its ztc does: for a run whose socket does not open.
async fn follow_journal(
    context: &Context,
    environment: &str,
    records: &[Record],
) -> Result<Seen, Failure> {
    let run = records
        .first()
        .map(|record| record.run.clone())
        .unwrap_or_default();
    let mut seen = Seen::default();
    let history = History::read(&context.repository, environment, Some(&run));
    let mut view = RunView::new(&context.ui, history);
    let mut shown = 0;
    loop {
        // Asked before reading: what is written before the end is read after it.
        let live = run_lock::live(&context.repository, environment)
            .is_some_and(|holder| holder.run == run);
        for record in journal::read(&context.repository, &run)?.iter().skip(shown) {
            // The journal was checked when it was read.
            let _ = seen.state.apply(record);
            view.show(&Told::Record(record, &seen.state));
            shown += 1;
        }
        if seen.state.outcome.is_some() || !live {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) fn headline(state: &RunState, live: Option<&Holder>) -> String {
    let count =
        |wanted: fn(&Phase) -> bool| state.phases.iter().filter(|phase| wanted(phase)).count();
    let settled = format!(
        "{} of {} tasks",
        count(Phase::is_settled),
        state.phases.len()
    );
    let what = match &state.head.kind {
        RunKind::Bootstrap | RunKind::Reset { .. } => "run".to_owned(),
        RunKind::Rollback { to } => format!("rollback to `{to}`,"),
    };
    let run = format!("{what} {} of `{}`", state.run, state.head.environment);
    match (state.outcome, live) {
        (Some((outcome, seconds)), _) => format!(
            "{run} {} after {}: {settled}",
            word(outcome),
            duration(seconds)
        ),
        (
            None,
            Some(Holder {
                pid, host, since, ..
            }),
        ) => {
            let lasts = lasts(since, jiff::Timestamp::now()).unwrap_or_else(|| since.clone());
            format!("{run} has been running for {lasts} (process {pid} on {host}): {settled}")
        }
        (None, None) => format!(
            "{run} was lost: its ztc ended without a word, its last record is of {}: {settled}; go on with `{}`",
            state.last,
            go_on(&state.head.kind)
        ),
    }
}

fn go_on(kind: &RunKind) -> String {
    match kind {
        RunKind::Bootstrap | RunKind::Reset { .. } => "ztc bootstrap".to_owned(),
        RunKind::Rollback { to } => format!("ztc rollback --to {to}"),
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Degraded => "succeeded but for tasks that are not required",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "was interrupted",
    }
}

fn exit(state: &RunState, live: bool) -> Exit {
    match (
        state.outcome.map(|(outcome, _)| outcome),
        state.outcome_so_far(),
    ) {
        (Some(Outcome::Failed), _) | (None, Outcome::Failed) => Exit::Failed,
        (Some(Outcome::Succeeded), _) => Exit::Done,
        (None, Outcome::Succeeded) if live => Exit::Done,
        _ => Exit::Differences,
    }
}

/// The state as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    run: &'a str,
    environment: &'a str,
    kind: &'a RunKind,
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a Holder>,
    outcome: Option<Outcome>,
    began: &'a str,
    last: &'a str,
    tasks: Vec<TaskReport<'a>>,
}

#[derive(Serialize)]
struct TaskReport<'a> {
    task: &'a str,
    stage: &'a str,
    adapter: &'a str,
    #[serde(flatten)]
    phase: &'a Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<&'a str>,
}

impl<'a> Report<'a> {
    fn new(seen: &'a Seen, holder: Option<&'a Holder>) -> Self {
        let state = &seen.state;
        let tasks = state.tasks().map(|(head, phase)| TaskReport {
            task: &head.task,
            stage: &head.stage,
            adapter: &head.adapter,
            phase,
            last_line: seen
                .last
                .get(&head.task)
                .filter(|_| phase.is_busy())
                .map(String::as_str),
        });
        Self {
            run: &state.run,
            environment: &state.head.environment,
            kind: &state.head.kind,
            live: holder.is_some(),
            holder,
            outcome: state.outcome.map(|(outcome, _)| outcome),
            began: &state.began,
            last: &state.last,
            tasks: tasks.collect(),
        }
    }
}
