//! Earlier runs of an environment: which there are, and how long things took when they succeeded. Reads journals.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Failure;
use crate::paths::Repository;
use crate::pipeline::event::{Event, Record, RunKind};
use crate::pipeline::journal;
use crate::pipeline::run_lock;
use crate::pipeline::unreadable;
use crate::report::build::{Liveness, build};
use crate::report::model::{RunReport, Status, Usual};

/// How many earlier runs are looked at.
const LOOK_BACK: usize = 20;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The run.
    pub run: String,
    /// Its environment.
    pub environment: String,
    /// What it did.
    pub kind: RunKind,
    /// When it began.
    pub began: String,
    /// How it ended, or that it did not.
    pub status: Status,
    /// How long it took.
    pub seconds: f64,
    /// What became of its tasks, for people.
    pub tasks: String,
}

/// A run whose journal cannot be read.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// The run.
    pub run: String,
    /// Its environment, as far as that can be read.
    pub environment: Option<String>,
    /// When it began.
    pub began: String,
    /// Why it cannot be read, and what to do.
    pub error: Failure,
}

/// The runs of a repository.
#[derive(Debug, Default, Serialize)]
pub struct Runs {
    /// Those that can be told, the last one first.
    pub runs: Vec<Listed>,
    /// Those whose journal cannot be read, the last one first.
    pub unreadable: Vec<Unreadable>,
}

/// Returns the runs of an environment, or of all. What ended before its first record is no run.
pub fn list(repository: &Repository, environment: Option<&str>) -> Result<Runs, Failure> {
    let mut all = Runs::default();
    let shown = |of: &str| environment.is_none_or(|environment| environment == of);
    for run in journal::runs(repository)?.into_iter().rev() {
        match read(repository, &run) {
            Ok(Some(report)) if shown(&report.environment) => all.runs.push(Listed {
                tasks: report.counts(),
                run: report.run,
                environment: report.environment,
                kind: report.kind,
                began: report.began,
                status: report.status,
                seconds: report.seconds,
            }),
            Ok(_) => {}
            Err(error) => {
                let environment = unreadable::environment(repository, &run);
                if environment.as_deref().is_none_or(shown) {
                    all.unreadable.push(Unreadable {
                        began: journal::began(&run),
                        environment,
                        run,
                        error,
                    });
                }
            }
        }
    }
    Ok(all)
}

/// Returns the last run of an environment that ran anything. One that cannot be read may be it: then nobody knows.
pub fn last(repository: &Repository, environment: &str) -> Result<Option<String>, Failure> {
    for run in journal::runs(repository)?.into_iter().rev() {
        match read(repository, &run) {
            Ok(Some(report))
                if report.environment == environment
                    && !matches!(report.kind, RunKind::Reset { .. }) =>
            {
                return Ok(Some(run));
            }
            Ok(_) => {}
            Err(error) => {
                let of = unreadable::environment(repository, &run);
                if of.is_none_or(|of| of == environment) {
                    return Err(error);
                }
            }
        }
    }
    Ok(None)
}

/// Reads the report of a run, without logs; nothing where its journal says nothing.
pub fn read(repository: &Repository, run: &str) -> Result<Option<RunReport>, Failure> {
    // Asked before reading: what is written before the end is read after it.
    let records = journal::read(repository, run)?;
    let live = environment(&records)
        .and_then(|environment| run_lock::live(repository, environment))
        .is_some_and(|holder| holder.run == run);
    let records = journal::read(repository, run)?;
    let liveness = match live {
        true => Liveness::Live(journal::now()),
        false => Liveness::Over,
    };
    Ok(build(&records, &liveness))
}

fn environment(records: &[Record]) -> Option<&str> {
    match &records.first()?.event {
        Event::RunStarted(head) => Some(&head.environment),
        _ => None,
    }
}

/// How long things took in earlier runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    tasks: BTreeMap<String, Vec<f64>>,
    stages: BTreeMap<String, Vec<f64>>,
    /// Whole runs that succeeded, by which tasks they ran.
    runs: Vec<(Vec<String>, f64)>,
}

impl History {
    /// Reads the runs of an environment before a run, or all of them. Journals that cannot be read are left out.
    pub fn read(repository: &Repository, environment: &str, before: Option<&str>) -> Self {
        let mut history = Self::default();
        let runs = journal::runs(repository).unwrap_or_default();
        let earlier = runs
            .into_iter()
            .rev()
            .filter(|run| before.is_none_or(|before| run.as_str() < before));
        earlier
            .filter_map(|run| build(&journal::read(repository, &run).ok()?, &Liveness::Over))
            .filter(|report| report.environment == environment && report.kind == RunKind::Bootstrap)
            .take(LOOK_BACK)
            .for_each(|report| history.add(&report));
        history
    }

    /// Adds a run.
    pub fn add(&mut self, report: &RunReport) {
        for stage in &report.stages {
            if stage
                .tasks
                .iter()
                .all(|task| task.status == Status::Succeeded)
                && let Some(seconds) = stage.seconds
            {
                self.stages
                    .entry(stage.stage.clone())
                    .or_default()
                    .push(seconds);
            }
        }
        for task in report.tasks() {
            if task.status == Status::Succeeded
                && let Some(seconds) = task.seconds
            {
                self.tasks
                    .entry(task.task.clone())
                    .or_default()
                    .push(seconds);
            }
        }
        if report.status == Status::Succeeded {
            self.runs.push((ran(report), report.seconds));
        }
    }

    /// How long a task took; where it never succeeded, what its stage's other tasks took.
    pub fn task(&self, task: &str) -> Option<Usual> {
        self.tasks.get(task).and_then(|seconds| usual(seconds))
    }

    /// How long the tasks of a stage took, whichever.
    pub fn any_task_of(&self, stage: &str) -> Option<Usual> {
        let of = |task: &str| task == stage || task.starts_with(&format!("{stage}["));
        let all: Vec<f64> = self
            .tasks
            .iter()
            .filter(|(task, _)| of(task))
            .flat_map(|(_, seconds)| seconds.iter().copied())
            .collect();
        usual(&all)
    }

    /// Writes into a report what earlier runs took.
    pub fn compare(&self, report: &mut RunReport) {
        if report.kind != RunKind::Bootstrap {
            return;
        }
        let all = ran(report);
        let same: Vec<f64> = self
            .runs
            .iter()
            .filter(|(tasks, _)| *tasks == all)
            .map(|(_, seconds)| *seconds)
            .collect();
        report.usual = usual(&same);
        for stage in &mut report.stages {
            stage.usual = self
                .stages
                .get(&stage.stage)
                .and_then(|seconds| usual(seconds));
            for task in &mut stage.tasks {
                task.usual = self.task(&task.task);
            }
        }
    }
}

fn ran(report: &RunReport) -> Vec<String> {
    report
        .tasks()
        .filter(|task| !task.attempts.is_empty())
        .map(|task| task.task.clone())
        .collect()
}

fn usual(seconds: &[f64]) -> Option<Usual> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => return None,
        count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    Some(Usual {
        median,
        shortest: sorted[0],
        longest: sorted[sorted.len() - 1],
        runs: sorted.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_the_middle_one() {
        let check = |seconds: &[f64], expected: Option<(f64, f64, f64, usize)>| {
            let found = usual(seconds)
                .map(|usual| (usual.median, usual.shortest, usual.longest, usual.runs));
            assert_eq!(found, expected, "{seconds:?}");
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0, 1)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0, 3)));
        check(&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0, 4)));
    }
}
