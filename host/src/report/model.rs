//! A run as every form of its report tells it; `ztc report --format json` writes exactly this. `docs/report.schema.json` describes it.

use serde::Serialize;

use crate::pipeline::event::{RunKind, TaskFailure};
use crate::ui::run::duration;

/// The version of the form; grows when a field changes its meaning.
pub const VERSION: u32 = 1;

/// How a run, a stage or a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its turn did not come.
    #[default]
    Pending,
    /// It did not have to run.
    Skipped,
    /// It was done.
    Succeeded,
    /// Only what is not required failed.
    Degraded,
    /// It runs right now.
    Running,
    /// It was asked to stop.
    Interrupted,
    /// ztc ended before it did.
    Lost,
    /// It failed.
    Failed,
}

impl Status {
    /// The word for people, of a run: one is interrupted, its tasks are stopped.
    pub fn of_run(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            other => other.word(),
        }
    }

    /// How long a run took that stands so, for people. When one that was lost ended nobody knows, only until when it wrote.
    pub fn took(self, seconds: f64) -> String {
        match self {
            Self::Lost if seconds < 0.05 => "not known".to_owned(),
            Self::Lost => format!("at least {}", duration(seconds)),
            _ => duration(seconds),
        }
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "not reached",
            Self::Skipped => "skipped",
            Self::Succeeded => "succeeded",
            Self::Degraded => "degraded",
            Self::Running => "running",
            Self::Interrupted => "stopped",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }

    /// A sign for those who do not see colors.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Pending => "·",
            Self::Skipped => "–",
            Self::Succeeded => "✓",
            Self::Running => "▶",
            Self::Degraded => "!",
            Self::Interrupted => "■",
            Self::Lost => "?",
            Self::Failed => "✗",
        }
    }

    /// The name in class attributes.
    pub fn class(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Skipped => "skipped",
            Self::Succeeded => "ok",
            Self::Running => "running",
            Self::Degraded | Self::Interrupted => "warn",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunReport {
    /// [`VERSION`].
    pub v: u32,
    /// The run.
    pub run: String,
    /// Its environment.
    pub environment: String,
    /// What it does.
    pub kind: RunKind,
    /// How it ended, or that it did not.
    pub status: Status,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// How long it took or takes so far, in seconds; of one that was lost, until its last record: it took at least that.
    pub seconds: f64,
    /// How long runs of the same tasks took before.
    pub usual: Option<Usual>,
    /// The program's version.
    pub ztc_version: String,
    /// The machine it ran on.
    pub host: String,
    /// How many tasks ran at the same time.
    pub jobs: usize,
    /// The command that goes on; absent where nothing is left to do.
    pub resume: Option<String>,
    /// The command that writes the stages as scripts, to go on by hand; absent where nothing is left to do.
    pub eject: Option<String>,
    /// Every stage in the order of the pipeline.
    pub stages: Vec<StageReport>,
}

/// How long something took in earlier runs in which it succeeded, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usual {
    /// The middle one.
    pub median: f64,
    /// The shortest.
    pub shortest: f64,
    /// The longest.
    pub longest: f64,
    /// In how many runs.
    pub runs: usize,
}

/// A stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StageReport {
    /// Its name.
    pub stage: String,
    /// The section it comes from.
    pub adapter: String,
    /// One line for people; may be empty.
    pub description: String,
    /// What its items are called; absent where it has none.
    pub item: Option<String>,
    /// Whether it destroys data.
    pub destructive: bool,
    /// The stages before it.
    pub needs: Vec<String>,
    /// The barrier that must be reached before.
    pub barrier: Option<String>,
    /// The barriers that it reaches.
    pub reaches: Vec<String>,
    /// The worst of its tasks.
    pub status: Status,
    /// From the start of its first task to the end of its last, in seconds; absent where none ran, and where one was lost.
    pub seconds: Option<f64>,
    /// The same in earlier runs.
    pub usual: Option<Usual>,
    /// Its tasks.
    pub tasks: Vec<TaskReport>,
}

/// A task: a stage, or a stage for one item.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub task: String,
    /// The name of its item.
    pub item: Option<String>,
    /// How it stands.
    pub status: Status,
    /// Why it ran or was skipped.
    pub why: Option<String>,
    /// How long all attempts took, in seconds; absent where it did not run or was lost.
    pub seconds: Option<f64>,
    /// The same in earlier runs.
    pub usual: Option<Usual>,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// How it failed, or how its last attempt did.
    pub failure: Option<TaskFailure>,
    /// Whether the run fails when it does.
    pub required: bool,
    /// What it printed.
    pub log: Option<Log>,
}

/// One attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Seconds from the start of the run.
    pub start: f64,
    /// Seconds from the start of the run; of one that was lost, the run's last record.
    pub end: f64,
    /// How it ended.
    pub status: Status,
    /// For people: `exit code 3`; absent where it did not fail.
    pub failure: Option<String>,
}

/// A log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Log {
    /// Relative to the repository.
    pub path: String,
    /// How long it is; absent where there is none.
    pub bytes: Option<u64>,
    /// How much of its middle is left out.
    #[serde(skip)]
    pub left_out: u64,
    /// Its beginning, and its end where something is left out between them.
    #[serde(skip)]
    pub parts: Vec<String>,
}

impl TaskReport {
    /// How it stands in the eyes of the run: one that failed and is not required only degrades it.
    pub fn seen(&self) -> Status {
        match self.status {
            Status::Failed if !self.required => Status::Degraded,
            status => status,
        }
    }
}

impl RunReport {
    /// What it is, for people.
    pub fn title(&self) -> String {
        match &self.kind {
            RunKind::Bootstrap => format!("Bootstrap of {}", self.environment),
            RunKind::Rollback { to } => format!("Rollback of {} to {to}", self.environment),
            RunKind::Reset { .. } => format!("Reset of {}", self.environment),
        }
    }

    /// What a run did that runs no stages.
    pub fn forgot(&self) -> Option<&'static str> {
        match self.kind {
            RunKind::Reset { destructive: true } => {
                Some("What succeeded before counts no more, what destroyed data included.")
            }
            RunKind::Reset { destructive: false } => {
                Some("What succeeded before counts no more, but for what destroyed data.")
            }
            RunKind::Bootstrap | RunKind::Rollback { .. } => None,
        }
    }

    /// Every task.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskReport> {
        self.stages.iter().flat_map(|stage| &stage.tasks)
    }

    /// How many tasks stand so.
    pub fn count(&self, status: Status) -> usize {
        self.tasks().filter(|task| task.status == status).count()
    }

    /// How many attempts failed and were followed by another.
    pub fn retries(&self) -> usize {
        self.tasks()
            .map(|task| task.attempts.len().saturating_sub(1))
            .sum()
    }

    /// The numbers of tasks by how they stand, for people: `12 succeeded, 3 skipped`.
    pub fn counts(&self) -> String {
        [
            Status::Failed,
            Status::Lost,
            Status::Interrupted,
            Status::Running,
            Status::Succeeded,
            Status::Skipped,
            Status::Pending,
        ]
        .into_iter()
        .filter_map(|status| match self.count(status) {
            0 => None,
            count => Some(format!("{count} {}", status.word())),
        })
        .collect::<Vec<_>>()
        .join(", ")
    }
}
