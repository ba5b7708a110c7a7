//! The state of a run as its records tell it, and which record may follow which. Pure; the writer and every reader of a journal use it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::event::{Event, Outcome, Record, RunStarted, TaskFailure, TaskHead, VERSION};
use crate::pipeline::why::Why;

/// Where a task stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Phase {
    /// Not begun.
    #[default]
    Pending,
    /// Will not run.
    Skipped {
        /// The reason.
        why: Why,
    },
    /// Runs.
    Running {
        /// Since when.
        since: String,
        /// Which attempt.
        attempt: u32,
    },
    /// Failed and will run again.
    Waiting {
        /// The attempt that failed.
        attempt: u32,
        /// How.
        failure: TaskFailure,
    },
    /// Done.
    Succeeded {
        /// How long it took.
        seconds: f64,
    },
    /// Failed for good.
    Failed {
        /// How long it took.
        seconds: f64,
        /// How.
        failure: TaskFailure,
        /// Whether the run fails with it.
        required: bool,
    },
    /// Stopped with the run.
    Stopped {
        /// How long it took.
        seconds: f64,
        /// What the script said about how it leaves things.
        cause: Option<String>,
    },
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunState {
    /// The run; empty before the first record.
    pub run: String,
    /// When it began.
    pub began: String,
    /// When the last record was written.
    pub last: String,
    /// Who runs what.
    pub head: RunStarted,
    /// Every task, as in `head.tasks`.
    pub phases: Vec<Phase>,
    /// Whether somebody asked it to stop.
    pub interrupted: bool,
    /// How it ended; nothing while it runs or where ztc ended before it did.
    pub outcome: Option<(Outcome, f64)>,
    by_name: BTreeMap<String, usize>,
    records: u64,
}

impl RunState {
    /// The state after these records, which were checked when they were read.
    pub fn replay(records: &[Record]) -> Self {
        let mut state = Self::default();
        for record in records {
            let _ = state.apply(record);
        }
        state
    }

    /// Takes the next record. The error says why it cannot follow.
    pub fn apply(&mut self, record: &Record) -> Result<(), String> {
        if record.v == 0 || record.v > VERSION {
            return Err(format!(
                "it has the form {} and this ztc reads forms up to {VERSION}",
                record.v
            ));
        }
        if record.seq != self.records {
            return Err(format!(
                "record {} stands where {} should",
                record.seq, self.records
            ));
        }
        match &record.event {
            Event::RunStarted(head) if record.seq == 0 => self.begin(record, head),
            _ if record.seq == 0 => return Err("it does not begin with `run_started`".to_owned()),
            Event::RunStarted(_) => return Err("the run starts twice".to_owned()),
            _ if record.run != self.run => {
                return Err(format!(
                    "a record of run {} stands in run {}",
                    record.run, self.run
                ));
            }
            _ if self.outcome.is_some() => {
                return Err("a record stands behind the end of the run".to_owned());
            }
            Event::Interrupted { .. } => self.interrupted = true,
            Event::RunFinished { outcome, seconds } => self.end(*outcome, *seconds)?,
            event => self.task(record, event)?,
        }
        self.last.clone_from(&record.at);
        self.records += 1;
        Ok(())
    }

    fn begin(&mut self, record: &Record, head: &RunStarted) {
        self.run.clone_from(&record.run);
        self.began.clone_from(&record.at);
        self.phases = vec![Phase::Pending; head.tasks.len()];
        self.by_name = head
            .tasks
            .iter()
            .enumerate()
            .map(|(index, head)| (head.task.clone(), index))
            .collect();
        self.head = head.clone();
    }

    fn end(&mut self, outcome: Outcome, seconds: f64) -> Result<(), String> {
        match self
            .head
            .tasks
            .iter()
            .zip(&self.phases)
            .find(|(_, phase)| phase.is_busy())
        {
            Some((head, _)) => Err(format!("the run ends while `{}` runs", head.task)),
            None => {
                self.outcome = Some((outcome, seconds));
                Ok(())
            }
        }
    }

    fn task(&mut self, record: &Record, event: &Event) -> Result<(), String> {
        let (name, next) = match event {
            Event::TaskSkipped { task, why } => (task, Phase::Skipped { why: why.clone() }),
            Event::TaskStarted { task, attempt, .. } => (
                task,
                Phase::Running {
                    since: record.at.clone(),
                    attempt: *attempt,
                },
            ),
            Event::AttemptFailed {
                task,
                attempt,
                failure,
                ..
            } => (
                task,
                Phase::Waiting {
                    attempt: *attempt,
                    failure: failure.clone(),
                },
            ),
            Event::TaskSucceeded { task, seconds, .. } => {
                (task, Phase::Succeeded { seconds: *seconds })
            }
            Event::TaskFailed {
                task,
                seconds,
                failure,
                required,
                ..
            } => (
                task,
                Phase::Failed {
                    seconds: *seconds,
                    failure: failure.clone(),
                    required: *required,
                },
            ),
            Event::TaskStopped {
                task,
                seconds,
                cause,
            } => {
                let (seconds, cause) = (*seconds, cause.clone());
                (task, Phase::Stopped { seconds, cause })
            }
            Event::RunStarted(_) | Event::Interrupted { .. } | Event::RunFinished { .. } => {
                return Ok(());
            }
        };
        let phase = self
            .by_name
            .get(name)
            .and_then(|index| self.phases.get_mut(*index));
        let phase = phase.ok_or_else(|| format!("the run has no task `{name}`"))?;
        if !phase.may_become(&next) {
            return Err(format!(
                "`{name}` was {} and cannot become {}",
                phase.word(),
                next.word()
            ));
        }
        *phase = next;
        Ok(())
    }

    /// The tasks with their state.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskHead, &Phase)> {
        self.head.tasks.iter().zip(&self.phases)
    }

    /// What is known of a task from the start.
    pub fn head_of(&self, task: &str) -> Option<&TaskHead> {
        self.head.tasks.get(*self.by_name.get(task)?)
    }

    /// Where a task stands.
    pub fn phase(&self, task: &str) -> Option<&Phase> {
        self.phases.get(*self.by_name.get(task)?)
    }

    /// What the run will have come to when nothing more happens.
    pub fn outcome_so_far(&self) -> Outcome {
        let failed = |wanted: bool| {
            self.phases
                .iter()
                .any(|phase| matches!(phase, Phase::Failed { required, .. } if *required == wanted))
        };
        match () {
            () if failed(true) => Outcome::Failed,
            () if self.interrupted && !self.phases.iter().all(Phase::is_settled) => {
                Outcome::Interrupted
            }
            () if failed(false) => Outcome::Degraded,
            () => Outcome::Succeeded,
        }
    }
}

impl Phase {
    /// Whether it is between its start and its end.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Waiting { .. })
    }

    /// Whether it ended, one way or another.
    pub fn is_over(&self) -> bool {
        !self.is_busy() && *self != Self::Pending
    }

    /// Whether nothing is left to do: it was done, skipped, or failed for good.
    pub fn is_settled(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Skipped { .. } | Self::Failed { .. }
        )
    }

    /// The word for people.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Skipped { .. } => "skipped",
            Self::Running { .. } => "running",
            Self::Waiting { .. } => "waiting",
            Self::Succeeded { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Stopped { .. } => "stopped",
        }
    }

    fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Pending, Self::Skipped { .. }) => true,
            (Self::Pending, Self::Running { attempt, .. }) => *attempt == 1,
            (
                Self::Running { .. },
                Self::Succeeded { .. } | Self::Failed { .. } | Self::Stopped { .. },
            ) => true,
            (
                Self::Running { attempt, .. },
                Self::Waiting {
                    attempt: failed, ..
                },
            ) => attempt == failed,
            (Self::Waiting { attempt, .. }, Self::Running { attempt: again, .. }) => {
                *again == attempt + 1
            }
            (Self::Waiting { .. }, Self::Stopped { .. }) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(task: &str) -> Event {
        Event::TaskSkipped {
            task: task.into(),
            why: Why::NoItems,
        }
    }

    fn started(task: &str, attempt: u32) -> Event {
        Event::TaskStarted {
            task: task.into(),
            attempt,
            why: Why::NeverRan,
            log: String::new(),
        }
    }

    fn succeeded(task: &str) -> Event {
        Event::TaskSucceeded {
            task: task.into(),
            attempt: 1,
            seconds: 1.0,
            success: None,
        }
    }

    fn attempt_failed(task: &str, attempt: u32) -> Event {
        Event::AttemptFailed {
            task: task.into(),
            attempt,
            failure: TaskFailure::default(),
            again_in: 1,
        }
    }

    fn finished() -> Event {
        Event::RunFinished {
            outcome: Outcome::Succeeded,
            seconds: 1.0,
        }
    }

    fn apply(events: Vec<Event>) -> Result<RunState, String> {
        let head = |task: &str| TaskHead {
            task: task.into(),
            ..TaskHead::default()
        };
        let first = Event::RunStarted(RunStarted {
            tasks: vec![head("a"), head("b")],
            ..RunStarted::default()
        });
        let mut state = RunState::default();
        for (seq, event) in std::iter::once(first).chain(events).enumerate() {
            state.apply(&Record {
                v: VERSION,
                run: "R".into(),
                seq: seq as u64,
                at: "now".into(),
                event,
            })?;
        }
        Ok(state)
    }

    #[test]
    fn a_run_goes_from_its_start_to_its_end() {
        let events = vec![
            skipped("a"),
            started("b", 1),
            attempt_failed("b", 1),
            started("b", 2),
            succeeded("b"),
            finished(),
        ];
        let state = apply(events).unwrap();
        assert_eq!(
            state.phases,
            [
                Phase::Skipped { why: Why::NoItems },
                Phase::Succeeded { seconds: 1.0 }
            ]
        );
        assert_eq!(state.outcome, Some((Outcome::Succeeded, 1.0)));
    }

    #[test]
    fn what_cannot_follow_is_refused() {
        for (events, why) in [
            (
                vec![succeeded("a")],
                "`a` was pending and cannot become done",
            ),
            (vec![skipped("c")], "the run has no task `c`"),
            (
                vec![started("a", 2)],
                "`a` was pending and cannot become running",
            ),
            (
                vec![started("a", 1), started("a", 2)],
                "`a` was running and cannot become running",
            ),
            (
                vec![started("a", 1), attempt_failed("a", 1), started("a", 3)],
                "`a` was waiting and cannot become running",
            ),
            (
                vec![started("a", 1), finished()],
                "the run ends while `a` runs",
            ),
            (
                vec![skipped("a"), succeeded("a")],
                "`a` was skipped and cannot become done",
            ),
            (
                vec![finished(), skipped("a")],
                "a record stands behind the end of the run",
            ),
            (
                vec![Event::RunStarted(RunStarted::default())],
                "the run starts twice",
            ),
        ] {
            assert_eq!(apply(events).unwrap_err(), why);
        }
    }
}
