//! Makes a report out of the records of a journal. Pure: what earlier runs took and what logs hold is added by others.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::pipeline::event::{Event, Outcome, Record, RunStarted, TaskFailure, TaskHead};
use crate::pipeline::heads::StageHead;
use crate::report::model::{Attempt, Log, RunReport, StageReport, Status, TaskReport, VERSION};

/// Whether the run of a journal goes on right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It does; now it is this time, RFC 3339.
    Live(String),
    /// It ended, or its ztc did.
    Over,
}

/// Makes a report; nothing where the journal does not even say what runs.
pub fn build(records: &[Record], liveness: &Liveness) -> Option<RunReport> {
    let first = records.first()?;
    let Event::RunStarted(head) = &first.event else {
        return None;
    };
    let clock = Clock::new(&first.at);
    let last = match liveness {
        Liveness::Live(now) => clock.seconds(now),
        Liveness::Over => clock.seconds(&records.last()?.at),
    };
    let finished = records.iter().find_map(|record| match record.event {
        Event::RunFinished { outcome, seconds } => Some((outcome, seconds)),
        _ => None,
    });
    let unfinished = match liveness {
        Liveness::Live(_) => Status::Running,
        Liveness::Over => Status::Lost,
    };
    let mut tasks: BTreeMap<&str, TaskReport> = head
        .tasks
        .iter()
        .map(|head| (head.task.as_str(), task(head)))
        .collect();
    for record in records {
        tell(&mut tasks, &record.event, clock.seconds(&record.at));
    }
    for task in tasks.values_mut() {
        end_open_attempts(task, last, unfinished);
    }
    let stages: Vec<StageReport> = stages(head)
        .into_iter()
        .map(|stage| stage_report(stage, head, &mut tasks))
        .collect();
    Some(RunReport {
        v: VERSION,
        run: first.run.clone(),
        environment: head.environment.clone(),
        kind: head.kind.clone(),
        status: finished.map_or(unfinished, |(outcome, _)| status(outcome)),
        began: first.at.clone(),
        seconds: finished.map_or(last, |(_, seconds)| seconds),
        usual: None,
        ztc_version: head.ztc_version.clone(),
        host: head.host.clone(),
        jobs: head.jobs,
        resume: None,
        eject: None,
        stages,
    })
}

/// Counts seconds from the beginning of a run.
struct Clock(Option<Timestamp>);

impl Clock {
    fn new(at: &str) -> Self {
        Self(at.parse().ok())
    }

    fn seconds(&self, at: &str) -> f64 {
        match (self.0, at.parse::<Timestamp>()) {
            (Some(began), Ok(at)) => at.duration_since(began).as_secs_f64().max(0.0),
            _ => 0.0,
        }
    }
}

fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Succeeded => Status::Succeeded,
        Outcome::Degraded => Status::Degraded,
        Outcome::Failed => Status::Failed,
        Outcome::Interrupted => Status::Interrupted,
    }
}

/// The stages, also of a journal that does not tell of them: then without what they wait for.
fn stages(head: &RunStarted) -> Vec<StageHead> {
    if !head.stages.is_empty() {
        return head.stages.clone();
    }
    let mut stages: Vec<StageHead> = Vec::new();
    for task in &head.tasks {
        if stages.last().is_none_or(|last| last.stage != task.stage) {
            stages.push(StageHead {
                stage: task.stage.clone(),
                adapter: task.adapter.clone(),
                ..StageHead::default()
            });
        }
    }
    stages
}

fn task(head: &TaskHead) -> TaskReport {
    TaskReport {
        task: head.task.clone(),
        item: item(head),
        required: true,
        ..TaskReport::default()
    }
}

/// The name of a task's item, which stands in brackets behind its stage's.
pub fn item(head: &TaskHead) -> Option<String> {
    let name = head.task.strip_prefix(&head.stage)?;
    let name = name.strip_prefix('[')?.strip_suffix(']')?;
    Some(name.to_owned())
}

/// The task that an event is about.
pub fn task_of(event: &Event) -> Option<&str> {
    match event {
        Event::TaskSkipped { task, .. }
        | Event::TaskStarted { task, .. }
        | Event::AttemptFailed { task, .. }
        | Event::TaskSucceeded { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskStopped { task, .. } => Some(task),
        Event::RunStarted(_) | Event::Interrupted { .. } | Event::RunFinished { .. } => None,
    }
}

/// Adds what a record tells of a task.
fn tell(tasks: &mut BTreeMap<&str, TaskReport>, event: &Event, at: f64) {
    let Some(task) = task_of(event).and_then(|name| tasks.get_mut(name)) else {
        return;
    };
    match event {
        Event::TaskSkipped { why, .. } => {
            task.status = Status::Skipped;
            task.why = Some(why.to_string());
        }
        Event::TaskStarted {
            attempt, why, log, ..
        } => {
            task.status = Status::Running;
            task.why = Some(why.to_string());
            task.log = Some(Log {
                path: log.clone(),
                ..Log::default()
            });
            task.attempts.push(Attempt {
                number: *attempt,
                start: at,
                end: at,
                status: Status::Running,
                failure: None,
            });
        }
        Event::AttemptFailed { failure, .. } => {
            end_attempt(task, at, Status::Failed, Some(failure));
        }
        Event::TaskSucceeded { seconds, .. } => {
            task.failure = None;
            end_task(task, at, Status::Succeeded, *seconds);
        }
        Event::TaskFailed {
            seconds,
            failure,
            required,
            ..
        } => {
            task.required = *required;
            end_attempt(task, at, Status::Failed, Some(failure));
            end_task(task, at, Status::Failed, *seconds);
        }
        Event::TaskStopped { seconds, .. } => end_task(task, at, Status::Interrupted, *seconds),
        Event::RunStarted(_) | Event::Interrupted { .. } | Event::RunFinished { .. } => {}
    }
}

fn end_attempt(task: &mut TaskReport, at: f64, status: Status, failure: Option<&TaskFailure>) {
    if let Some(attempt) = task
        .attempts
        .last_mut()
        .filter(|attempt| attempt.status == Status::Running)
    {
        attempt.end = at;
        attempt.status = status;
        attempt.failure = failure.map(|failure| failure.status.clone());
    }
    if failure.is_some() {
        task.failure = failure.cloned();
    }
}

fn end_task(task: &mut TaskReport, at: f64, status: Status, seconds: f64) {
    end_attempt(task, at, status, None);
    task.status = status;
    task.seconds = Some(seconds);
}

/// What runs has no end yet; how long something ran that was lost nobody knows, only when its ztc last wrote a record.
fn end_open_attempts(task: &mut TaskReport, last: f64, status: Status) {
    if task.status == Status::Running {
        let began = task.attempts.first().map_or(last, |attempt| attempt.start);
        end_task(task, last, status, (last - began).max(0.0));
        if status == Status::Lost {
            task.seconds = None;
        }
    }
}

fn stage_report(
    stage: StageHead,
    head: &RunStarted,
    tasks: &mut BTreeMap<&str, TaskReport>,
) -> StageReport {
    let heads = || head.tasks.iter().filter(|task| task.stage == stage.stage);
    let destructive = heads().any(|task| task.destructive);
    let tasks: Vec<TaskReport> = heads()
        .filter_map(|head| tasks.remove(head.task.as_str()))
        .collect();
    let attempts = || tasks.iter().flat_map(|task| &task.attempts);
    let start = attempts().map(|attempt| attempt.start).reduce(f64::min);
    let end = attempts().map(|attempt| attempt.end).reduce(f64::max);
    let end = end.filter(|_| tasks.iter().all(|task| task.status != Status::Lost));
    StageReport {
        status: worst(&tasks),
        seconds: start.zip(end).map(|(start, end)| end - start),
        usual: None,
        destructive,
        stage: stage.stage,
        adapter: stage.adapter,
        description: stage.description,
        item: stage.item,
        needs: stage.needs,
        barrier: stage.barrier,
        reaches: stage.reaches,
        tasks,
    }
}

/// A stage stands as the worst of its tasks. One of which something is done and something is not reached has begun.
fn worst(tasks: &[TaskReport]) -> Status {
    let worst = tasks.iter().map(|task| task.status).max();
    let waits = tasks.iter().any(|task| task.status == Status::Pending);
    match worst.unwrap_or_default() {
        Status::Succeeded if waits => Status::Running,
        Status::Failed
            if tasks
                .iter()
                .all(|task| !(task.status == Status::Failed && task.required)) =>
        {
            Status::Degraded
        }
        worst => worst,
    }
}
