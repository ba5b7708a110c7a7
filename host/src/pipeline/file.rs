//! The pipeline file, `bootstrap/pipeline/<environment>.yaml`: its form.
//!
//! Pure; [`compose`] makes it. The form is the seed of every run: nothing that a run needs is anywhere else but in the artifacts it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ztc_protocol::health::{Health, Manual};
use ztc_protocol::manifest::Tool;
use ztc_protocol::stage::{AfterFailure, ForEach, Retry, StageKind};

pub use crate::pipeline::compose::{AdapterStages, compose};
pub use crate::pipeline::entries::context_file;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// The environment.
    pub mode: String,
    /// How many stages there are.
    pub total_steps: usize,
    /// Variables that every stage sees, from all adapters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How many tasks of a section may run at the same time, where it says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_parallel: BTreeMap<String, u32>,
    /// The stages, in an order in which they could run one by one.
    pub stages: Vec<StageEntry>,
}

impl Pipeline {
    /// The variables that strings of a context may name: those of the adapters, and the environment.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.env.clone();
        variables.insert("ZTC_ENVIRONMENT".to_owned(), self.mode.clone());
        variables
    }
}

/// What a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Runs a script.
    #[default]
    Script,
    /// Waits until something answers.
    Health,
    /// Asks a person.
    Manual,
}

impl Kind {
    fn is_script(&self) -> bool {
        *self == Self::Script
    }
}

/// One stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageEntry {
    /// Unique in the file.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The section of `platform.yaml` that it comes from.
    pub adapter: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Kind::is_script")]
    pub kind: Kind,
    /// `<section>://<script>`: the artifact `debug/scripts/<section>/<script>`. Empty for other kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script: String,
    /// What the kind `health` waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What the kind `manual` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Manual>,
    /// Groups its cache entries; `null`: always runs.
    pub cache_key: Option<String>,
    /// Whether the run ends when it fails.
    pub required: bool,
    /// What happens with it when a stage before it failed that is not required.
    #[serde(default, skip_serializing_if = "AfterFailure::is_run")]
    pub after_failure: AfterFailure,
    /// When it runs.
    pub phase: StageKind,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Skipped when this variable is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_if_empty: Option<String>,
    /// The script's context data: `<section>/<script>.context.json` below `debug/scripts/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_file: Option<String>,
    /// The barrier that must be reached before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    /// The stages before it: those named by the adapter and those that the order implies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The barriers that it reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<String>,
    /// The items it runs for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// Seconds.
    pub timeout: u32,
    /// Runs again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Secrets in its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretEntry>,
    /// Variables of the operator's environment that it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Programs that it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Files in its private directory: name there → artifact.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Whether it destroys data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
    /// What undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Undo>,
}

impl StageEntry {
    /// The stage that undoes this one: for the same items, by the script of its `rollback`.
    pub fn undo(&self) -> Option<Self> {
        let undo = self.rollback.clone()?;
        Some(Self {
            name: self.name.clone(),
            description: undo.description,
            adapter: self.adapter.clone(),
            script: undo.script,
            cache_key: self.cache_key.clone(),
            required: true,
            phase: self.phase,
            args: self.args.clone(),
            skip_if_empty: self.skip_if_empty.clone(),
            context_file: undo.context_file,
            for_each: self.for_each.clone(),
            timeout: undo.timeout,
            secrets: undo.secrets,
            environment: self.environment.clone(),
            tools: undo.tools,
            files: undo.files,
            destructive: undo.destructive,
            ..Self::default()
        })
    }
}

/// The script that undoes a stage, with everything that it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// As in a stage.
    pub script: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_file: Option<String>,
    /// Seconds.
    pub timeout: u32,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretEntry>,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Whether undoing destroys data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
}

/// A secret of a stage: which variable gets the value of which reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretEntry {
    /// The variable.
    pub variable: String,
    /// The key of the adapter's section that holds the reference.
    pub input: String,
}
