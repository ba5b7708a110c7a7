//! The steps that an adapter contributes to the bootstrap and the scripts that they run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// `<adapter>://<script name>`.
    pub script: String,
    /// When it runs.
    pub kind: StageKind,
    /// Groups the stage's entries in the cache; `null`: the stage always runs.
    pub cache_key: Option<String>,
    /// Whether the run ends when the stage fails.
    pub required: bool,
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
            kind: StageKind::PreWork,
            cache_key: None,
            required: true,
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
    /// Seconds before the second attempt; doubled each time, at most 60.
    pub backoff_seconds: u32,
    /// Only these exit codes are tried again; empty: all.
    pub exit_codes: Vec<i32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff_seconds: 1,
            exit_codes: Vec::new(),
        }
    }
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
