//! `ztc status`: the last or the live run, read from its journal.

use std::time::Duration;

use serde::Serialize;

use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::pipeline::event::{Event, Outcome, Record};
use crate::pipeline::journal;
use crate::pipeline::run_lock::{self, Holder};
use crate::pipeline::runner::Told;
use crate::pipeline::state::{Phase, RunState};
use crate::ui::run::{RunView, duration, overview};

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
    let environment = environment(context, arguments)?;
    let live = run_lock::live(&context.repository, &environment);
    let Some(records) = last_run(context, &environment)? else {
        return Err(Failure::new(
            Exit::Differences,
            format!("nothing has been run for `{environment}` yet"),
        )
        .help("see what would run with `ztc plan`, and run it with `ztc bootstrap`"));
    };
    if arguments.follow {
        return follow(context, &environment, &records);
    }
    let state = replayed(&records);
    let live = live.filter(|holder| holder.run == state.run);
    if context.ui.is_json() {
        context.ui.json(&Report::new(&state, live.as_ref()));
    } else {
        context.ui.data(&overview(&state));
        context.ui.say(headline(&state, live.as_ref()));
    }
    Ok(exit(&state, live.is_some()))
}

/// The environment that was asked for, else that of the lock: a status must not need a valid platform.yaml.
fn environment(context: &Context, arguments: &Arguments) -> Result<String, Failure> {
    if let Some(environment) = &arguments.env {
        return Ok(environment.clone());
    }
    let lock = Lock::load(&context.repository)?;
    lock.map(|lock| lock.environment)
        .ok_or_else(|| Failure::invalid("nothing is rendered yet").help("run `ztc render` first"))
}

/// The records of the last run of an environment.
fn last_run(context: &Context, environment: &str) -> Result<Option<Vec<Record>>, Failure> {
    for run in journal::runs(&context.repository)?.into_iter().rev() {
        let records = journal::read(&context.repository, &run)?;
        let belongs = |record: &Record| matches!(&record.event, Event::RunStarted(head) if head.environment == environment);
        if records.first().is_some_and(belongs) {
            return Ok(Some(records));
        }
    }
    Ok(None)
}

fn replayed(records: &[Record]) -> RunState {
    let mut state = RunState::default();
    for record in records {
        // The journal was checked when it was read.
        let _ = state.apply(record);
    }
    state
}

/// Shows every record, and those that are added, until the run ends or its ztc does.
fn follow(context: &Context, environment: &str, records: &[Record]) -> Result<Exit, Failure> {
    let run = records
        .first()
        .map(|record| record.run.clone())
        .unwrap_or_default();
    let mut state = RunState::default();
    let mut view = RunView::new(&context.ui);
    let mut shown = 0;
    wait_for(async {
        loop {
            // Asked before reading: what is written before the end is read after it.
            let live = run_lock::live(&context.repository, environment)
                .is_some_and(|holder| holder.run == run);
            for record in journal::read(&context.repository, &run)?.iter().skip(shown) {
                // The journal was checked when it was read.
                let _ = state.apply(record);
                view.show(&Told::Record(record, &state));
                shown += 1;
            }
            if state.outcome.is_some() || !live {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        context.ui.say(headline(&state, None));
        Ok(exit(&state, false))
    })
}

fn headline(state: &RunState, live: Option<&Holder>) -> String {
    let count =
        |wanted: fn(&Phase) -> bool| state.phases.iter().filter(|phase| wanted(phase)).count();
    let settled = format!(
        "{} of {} tasks",
        count(Phase::is_settled),
        state.phases.len()
    );
    let run = format!("run {} of `{}`", state.run, state.head.environment);
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
            format!("{run} is running since {since} (process {pid} on {host}): {settled}")
        }
        (None, None) => format!(
            "{run} ended without a word after {}: {settled}; go on with `ztc bootstrap`",
            state.last
        ),
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
}

impl<'a> Report<'a> {
    fn new(state: &'a RunState, holder: Option<&'a Holder>) -> Self {
        let tasks = state.tasks().map(|(head, phase)| TaskReport {
            task: &head.task,
            stage: &head.stage,
            adapter: &head.adapter,
            phase,
        });
        Self {
            run: &state.run,
            environment: &state.head.environment,
            live: holder.is_some(),
            holder,
            outcome: state.outcome.map(|(outcome, _)| outcome),
            began: &state.began,
            last: &state.last,
            tasks: tasks.collect(),
        }
    }
}
