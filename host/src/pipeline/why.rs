//! Why a task runs or is skipped: one list of reasons for plans, runs, journals and people. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a task that was started did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfinished {
    /// Its script failed.
    Failed,
    /// It was asked to stop.
    Stopped,
    /// ztc ended before it did.
    Lost,
    /// Its rollback began and did not succeed.
    Undoing,
    /// It was rolled back.
    Undone,
    /// `ztc reset` forgot how it ended.
    Forgotten,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Why {
    /// Runs: nothing is known of it.
    NeverRan,
    /// Runs: it was started and did not succeed.
    Unfinished {
        /// In which run.
        run: String,
        /// What happened.
        how: Unfinished,
    },
    /// Runs: its script is another.
    ScriptChanged,
    /// Runs: its arguments are others.
    ArgumentsChanged,
    /// Runs: its context is another.
    ContextChanged {
        /// Which keys of it.
        keys: Vec<String>,
    },
    /// Runs: its files are others.
    FilesChanged {
        /// Which of them.
        names: Vec<String>,
    },
    /// Runs: variables that its script mentions are others.
    VariablesChanged {
        /// Which of them.
        names: Vec<String>,
    },
    /// Runs: something before it runs again.
    NeedRunsAgain {
        /// What.
        task: String,
    },
    /// Runs: something before it succeeded again after it did.
    NeedRanAgain {
        /// What.
        task: String,
    },
    /// Runs: `--skip-cache`.
    CacheSkipped,
    /// Runs: `--from`.
    From {
        /// The stage.
        stage: String,
    },
    /// Runs: `--only`.
    Only,
    /// Runs: it is undone.
    RollsBack {
        /// The stage to which the rollback goes.
        to: String,
    },
    /// Skipped by a rollback: it never ran, or it was undone already.
    NothingToUndo,
    /// Runs: it has no cache key.
    AlwaysRuns,
    /// Skipped: it succeeded already, from the same inputs.
    Cached {
        /// In which run.
        run: String,
    },
    /// Skipped: it succeeded already, from other inputs, but it destroys data and nobody asked for it by name.
    Kept {
        /// In which run it succeeded.
        run: String,
        /// Why it would run if it destroyed nothing.
        change: Box<Self>,
    },
    /// Skipped: something before it failed that is not required, and it does not run then.
    NeedFailed {
        /// What.
        task: String,
    },
    /// Skipped: the variable is empty.
    Empty {
        /// The variable.
        variable: String,
    },
    /// Skipped: there is no item to run for.
    NoItems,
    /// Skipped: it comes before the stage of `--from`.
    BeforeFrom {
        /// The stage.
        stage: String,
    },
    /// Skipped: `--only` names another stage.
    NotAskedFor {
        /// The stage.
        only: String,
    },
}

impl Why {
    /// [`Why::ContextChanged`].
    pub fn context(keys: Vec<String>) -> Self {
        Self::ContextChanged { keys }
    }

    /// [`Why::FilesChanged`].
    pub fn files(names: Vec<String>) -> Self {
        Self::FilesChanged { names }
    }

    /// [`Why::VariablesChanged`].
    pub fn variables(names: Vec<String>) -> Self {
        Self::VariablesChanged { names }
    }

    /// Whether the task runs.
    pub fn runs(&self) -> bool {
        !matches!(
            self,
            Self::Cached { .. }
                | Self::Kept { .. }
                | Self::NeedFailed { .. }
                | Self::NothingToUndo
                | Self::Empty { .. }
                | Self::NoItems
                | Self::BeforeFrom { .. }
                | Self::NotAskedFor { .. }
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRan => f.write_str("never ran"),
            Self::Unfinished {
                run,
                how: Unfinished::Failed,
            } => write!(f, "failed in run {run}"),
            Self::Unfinished {
                run,
                how: Unfinished::Stopped,
            } => write!(f, "was stopped in run {run}"),
            Self::Unfinished {
                run,
                how: Unfinished::Lost,
            } => write!(f, "did not finish in run {run}"),
            Self::Unfinished {
                run,
                how: Unfinished::Undoing,
            } => write!(f, "its rollback in run {run} did not finish"),
            Self::Unfinished {
                run,
                how: Unfinished::Undone,
            } => write!(f, "was rolled back in run {run}"),
            Self::Unfinished {
                run,
                how: Unfinished::Forgotten,
            } => write!(f, "was forgotten by reset {run}"),
            Self::RollsBack { to } => write!(f, "rollback to {to}"),
            Self::NothingToUndo => f.write_str("nothing to undo"),
            Self::ScriptChanged => f.write_str("script changed"),
            Self::ArgumentsChanged => f.write_str("arguments changed"),
            Self::ContextChanged { keys } => write!(f, "context changed: {}", keys.join(", ")),
            Self::FilesChanged { names } => write!(f, "files changed: {}", names.join(", ")),
            Self::VariablesChanged { names } => {
                write!(f, "variables changed: {}", names.join(", "))
            }
            Self::NeedRunsAgain { task } => write!(f, "{task} runs"),
            Self::NeedRanAgain { task } => write!(f, "{task} ran again since"),
            Self::CacheSkipped => f.write_str("--skip-cache"),
            Self::From { stage } => write!(f, "--from {stage}"),
            Self::Only => f.write_str("--only"),
            Self::AlwaysRuns => f.write_str("always runs"),
            Self::Cached { run } => write!(f, "done in run {run}"),
            Self::Kept { run, change } => write!(
                f,
                "done in run {run}; {change}, but it destroys data: only --only or --from runs it again"
            ),
            Self::NeedFailed { task } => write!(f, "{task} failed"),
            Self::Empty { variable } => write!(f, "{variable} is empty"),
            Self::NoItems => f.write_str("nothing to run it for"),
            Self::BeforeFrom { stage } => write!(f, "before --from {stage}"),
            Self::NotAskedFor { only } => write!(f, "--only {only}"),
        }
    }
}
