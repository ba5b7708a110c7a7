//! What happens in a run: the records of the journal, and at the same time the lines of `ztc bootstrap --json` and `ztc status --json --follow`.
//!
//! A line is one JSON object: `v` (the version of this form), `run`, `seq` (from 0), `at` (RFC 3339, UTC), `event`, and the event's own fields.

use serde::{Deserialize, Serialize};

use crate::pipeline::fingerprint::Fingerprint;
use crate::pipeline::heads::StageHead;
use crate::pipeline::why::Why;

/// The version of the form; grows when a field changes its meaning. Version 2 added runs that are no bootstraps; what reads it reads 1 too.
pub const VERSION: u32 = 2;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// The run.
    pub run: String,
    /// The line's number, from 0.
    pub seq: u64,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line of every journal.
    RunStarted(RunStarted),
    /// A task does not run.
    TaskSkipped {
        /// The task.
        task: String,
        /// The reason.
        why: Why,
    },
    /// A task's script is about to be started, for the first time or again.
    TaskStarted {
        /// The task.
        task: String,
        /// From 1.
        attempt: u32,
        /// The reason.
        why: Why,
        /// Its log, relative to the repository.
        log: String,
    },
    /// An attempt failed and another one follows.
    AttemptFailed {
        /// The task.
        task: String,
        /// Which attempt failed.
        attempt: u32,
        /// How.
        failure: TaskFailure,
        /// Seconds until the next attempt.
        again_in: u32,
    },
    /// A task is done.
    TaskSucceeded {
        /// The task.
        task: String,
        /// The attempt that succeeded.
        attempt: u32,
        /// How long all attempts took.
        seconds: f64,
        /// What the next run must know to skip it; absent for a task that always runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        success: Option<Success>,
    },
    /// A task failed for good.
    TaskFailed {
        /// The task.
        task: String,
        /// The last attempt.
        attempt: u32,
        /// How long all attempts took.
        seconds: f64,
        /// How.
        failure: TaskFailure,
        /// Whether the run fails with it.
        required: bool,
    },
    /// A task was stopped because the run was interrupted.
    TaskStopped {
        /// The task.
        task: String,
        /// How long all attempts took.
        seconds: f64,
        /// What the script said about how it leaves things (`ZTC_CAUSE: ...`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Somebody asked the run to stop.
    Interrupted {
        /// The signal.
        signal: String,
        /// Whether running stages are killed without being asked.
        kill: bool,
    },
    /// The last line.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
    },
}

/// Who runs what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The environment.
    pub environment: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "RunKind::is_bootstrap")]
    pub kind: RunKind,
    /// The program.
    pub ztc_version: String,
    /// Its process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// How many tasks run at the same time.
    pub jobs: usize,
    /// Every stage in the order of the pipeline; absent in journals of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageHead>,
    /// Every task in the order of the pipeline.
    pub tasks: Vec<TaskHead>,
}

/// What a run does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Brings the cluster up.
    #[default]
    Bootstrap,
    /// Undoes what came after a stage.
    Rollback {
        /// The stage.
        to: String,
    },
    /// Runs nothing: what succeeded before counts no more.
    Reset {
        /// Whether that holds for what destroys data too.
        destructive: bool,
    },
}

impl RunKind {
    fn is_bootstrap(&self) -> bool {
        *self == Self::Bootstrap
    }
}

/// What a reader of the journal must know of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskHead {
    /// The task.
    pub task: String,
    /// Its stage.
    pub stage: String,
    /// The section it comes from.
    pub adapter: String,
    /// What identifies its item; absent without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// Its cache key; absent for a task that always runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<String>,
    /// Whether it destroys data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
}

/// How an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// For people: `exit code 3`, `killed by signal 9`, `no end after 300 s`, or why it could not be started.
    pub status: String,
    /// The exit code, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The likely cause, where the script named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The last lines of its output, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

impl TaskFailure {
    /// The status of something that did not become healthy in time.
    pub fn unhealthy(limit: std::time::Duration) -> String {
        format!("not healthy after {} s", limit.as_secs())
    }

    /// Whether the attempt was ended because it took too long.
    pub fn took_too_long(&self) -> bool {
        ["no end after", "not healthy after"]
            .iter()
            .any(|start| self.status.starts_with(start))
    }
}

/// What makes a task need not run again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// Grows with every success in the environment: what has a higher one succeeded later.
    pub stamp: u64,
    /// What it was made from.
    pub fingerprint: Fingerprint,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every task was done or skipped.
    Succeeded,
    /// Only tasks that are not required failed.
    Degraded,
    /// A required task failed.
    Failed,
    /// It was asked to stop.
    Interrupted,
}
