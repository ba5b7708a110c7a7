//! The steps that an adapter contributes to the bootstrap and the scripts that they run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::health::{Health, Manual};
use crate::manifest::Tool;

/// When a stage runs: all `pre_work` of the pipeline comes before all `post_work`, and that before all `validation`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Installs and configures.
    #[default]
    PreWork,
    /// Waits until what was installed is ready.
    PostWork,
    /// Checks the result; usually with no cache key, so that it always runs.
    Validation,
}

/// One step of a bootstrap.
///
/// Stages of one adapter and one kind follow each other in the order given. Barriers and `needs` order stages across adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Stage {
    /// Unique in the pipeline: lower-case letters, digits and underscores.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// `<adapter>://<script name>`. Empty for a stage that has `health` or `manual`.
    pub script: String,
    /// Waits until something answers, instead of running a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Asks a person, instead of running a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual: Option<Manual>,
    /// When it runs.
    pub kind: StageKind,
    /// Groups the stage's entries in the cache; `null`: the stage always runs.
    pub cache_key: Option<String>,
    /// Whether the run ends when the stage fails. Where it does not, the run goes on and is degraded.
    pub required: bool,
    /// What happens with this stage when one before it failed that is not required.
    #[serde(skip_serializing_if = "AfterFailure::is_run")]
    pub after_failure: AfterFailure,
    /// Seconds that one attempt may take; without it, the script's, 300 for `health` and a day for `manual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// `<adapter>://<script name>` of the script that undoes the stage, for `ztc rollback`. Such a stage needs a cache key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// Arguments of the script. Never secrets; prefer context.
    pub args: Vec<String>,
    /// The stage is skipped when this variable of the pipeline's environment is empty or absent.
    pub skip_if_empty: Option<String>,
    /// The barrier that must be reached before the stage starts.
    pub barrier: Option<String>,
    /// Stages that must have succeeded (or been skipped) before, besides those that order implies.
    pub needs: Vec<String>,
    /// Barriers that are reached when this stage, and every other stage that names them, has succeeded.
    pub reaches: Vec<String>,
    /// Runs the stage once for every item, in parallel.
    pub for_each: Option<ForEach>,
    /// Runs again after a failure.
    pub retry: Option<Retry>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            script: String::new(),
            health: None,
            manual: None,
            kind: StageKind::PreWork,
            cache_key: None,
            required: true,
            after_failure: AfterFailure::Run,
            timeout_seconds: None,
            rollback: None,
            args: Vec::new(),
            skip_if_empty: None,
            barrier: None,
            needs: Vec::new(),
            reaches: Vec::new(),
            for_each: None,
            retry: None,
        }
    }
}

/// What a stage does when one before it failed without being required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterFailure {
    /// It runs all the same.
    #[default]
    Run,
    /// It is skipped, and so is what comes after it and says the same.
    Skip,
}

impl AfterFailure {
    /// Whether it is the default.
    pub fn is_run(&self) -> bool {
        *self == Self::Run
    }
}

/// The items for which a stage runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ForEach {
    /// What an item is, in the singular, such as `node`.
    pub item: String,
    /// The items.
    pub items: Vec<Item>,
}

/// One item of a `for_each`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Item {
    /// What identifies the item across adapters (for machines: the IP address). A stage's item waits only for the item with the same key
    /// of the stage before it, where that one has it.
    pub key: String,
    /// What people call it; unique in the stage.
    pub name: String,
    /// Merged over the script's context data.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// Files for this item, see [`Script::files`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// When and how often a failed stage runs again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// Seconds before the second attempt.
    pub backoff_seconds: u32,
    /// By how much the wait grows with each attempt; 2 by default, at least 1. There is no jitter: the same run waits the same.
    #[serde(skip_serializing_if = "is_factor")]
    pub backoff_factor: f64,
    /// The longest wait in seconds; 60 by default.
    #[serde(skip_serializing_if = "is_ceiling")]
    pub max_backoff_seconds: u32,
    /// Only these exit codes are tried again; empty: all.
    pub exit_codes: Vec<i32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff_seconds: 1,
            backoff_factor: FACTOR,
            max_backoff_seconds: CEILING,
            exit_codes: Vec::new(),
        }
    }
}

impl Retry {
    /// The seconds to wait after an attempt (from 1) that failed.
    pub fn wait_after(&self, attempt: u32) -> u32 {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = f64::from(self.backoff_seconds) * self.backoff_factor.powi(exponent);
        grown.min(self.max_backoff_seconds.into()) as u32
    }
}

const FACTOR: f64 = 2.0;
const CEILING: u32 = 60;

fn is_factor(factor: &f64) -> bool {
    *factor == FACTOR
}

fn is_ceiling(ceiling: &u32) -> bool {
    *ceiling == CEILING
}

/// A script that stages run, with everything that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Script {
    /// The file name, such as `install-talos.sh`.
    pub name: String,
    /// When its stages run.
    pub kind: StageKind,
    /// One line for people.
    pub description: String,
    /// The text. It starts with `#!/usr/bin/env bash` and needs nothing but bash and its `tools`.
    pub content: String,
    /// Lower-case hexadecimal SHA-256 of `content`.
    pub sha256: String,
    /// Seconds after which a stage that runs it is stopped.
    pub timeout_seconds: u32,
    /// Data for the script; it reads them from `$ZTC_CONTEXT_FILE` (JSON) or sources `$ZTC_CONTEXT_SH`. `$NAME` and `${NAME}` in strings
    /// are replaced by variables of the pipeline's environment and by `ZTC_ENVIRONMENT`.
    pub context_data: Map<String, Value>,
    /// Files that it finds in `$ZTC_FILES_DIR`: file name there → artifact below `platform/generated/`. Placeholders of
    /// secrets in them are filled in.
    pub files: BTreeMap<String, String>,
    /// Programs that it starts.
    pub tools: Vec<Tool>,
    /// Secrets that it finds in its environment.
    pub secrets: Vec<ScriptSecret>,
    /// Whether it destroys data; such stages are listed and confirmed before a run.
    pub destructive: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: StageKind::PreWork,
            description: String::new(),
            content: String::new(),
            sha256: String::new(),
            timeout_seconds: 300,
            context_data: Map::new(),
            files: BTreeMap::new(),
            tools: Vec::new(),
            secrets: Vec::new(),
            destructive: false,
        }
    }
}

/// A secret that a script finds in its environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScriptSecret {
    /// The variable, such as `HCLOUD_TOKEN`.
    pub variable: String,
    /// The input of the same adapter that refers to the secret.
    pub input: String,
}
