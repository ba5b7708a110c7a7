//! What an adapter declares about itself in its answer to `initialize`: everything that the host may know, show, grant or cache before any other call.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an adapter is, provides, requires and may touch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Manifest {
    /// The adapter's name: lower-case letters, digits and hyphens, the same as in `ztc-adapter-<name>`.
    pub name: String,
    /// The adapter's own version (SemVer), not that of the technology it contributes.
    pub version: String,
    /// One line for lists.
    pub description: String,
    /// Where people read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// `foundation`, `networking`, `platform` or `services`: where people expect it in lists and in the wizard. Order
    /// comes from capabilities, never from this.
    pub phase: String,
    /// The wizard's group from which exactly one adapter is chosen, such as `cloud_provider`. Empty: the phase.
    pub selection_group: String,
    /// Whether the wizard proposes this adapter in its group.
    pub is_default: bool,
    /// The wizard's question for the group.
    pub group_prompt: String,
    /// The wizard's help for the group.
    pub group_help: String,
    /// The capabilities that `render` will answer with.
    pub provides: Vec<Provision>,
    /// The capabilities that `render` needs from others.
    pub requires: Vec<Requirement>,
    /// Versions of the technology that the operator may choose.
    pub supported_versions: Vec<String>,
    /// Whether other versions can be right too: then `validate` judges them, which knows the rest of the section.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other_versions: bool,
    /// The recommended one of them.
    pub default_version: String,
    /// JSON Schema (2020-12) of the adapter's section of `platform.yaml`. `false` for additional properties makes the host find
    /// misspelt keys. An object in it with `"x-ztc-secret": true` takes a reference to a secret.
    pub config_schema: Value,
    /// JSON Schema of `data` in the answer to `render`; `null`: anything.
    pub output_schema: Value,
    /// Where the adapter's artifacts go below `platform/generated/`, such as `os/talos`. Empty: `<phase>/<name>`.
    pub output_dir: String,
    /// Variables of the operator's environment that the adapter and its stages want to see.
    pub environment: Vec<EnvironmentVariable>,
    /// Inputs that hold secrets. Their values reach the adapter only in `discover`, and a stage only where its script asks.
    pub secrets: Vec<SecretInput>,
    /// Generated secrets that the adapter's artifacts refer to by placeholders.
    pub bundles: Vec<SecretBundle>,
    /// Where the adapter itself connects to (in `discover`).
    pub network: Vec<NetworkEndpoint>,
    /// Programs that its stages start.
    pub tools: Vec<Tool>,
    /// Whether the host calls `discover`.
    pub discovers: bool,
    /// How many tasks of its stages may run at the same time; absent: as many as `--jobs` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Programs that `discover` itself may start, in the sandbox. One that is missing is said by `discover`, where it is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discover_tools: Vec<Tool>,
    /// The table of versions that the adapter works with; absent: it has none that could be another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<TableInUse>,
}

/// Which table of versions an adapter works with: its own, or the one that came with `initialize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TableInUse {
    /// Its serial.
    pub serial: u64,
    /// SHA-256 of its text.
    pub sha256: String,
}

/// A capability that an adapter provides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provision {
    /// `cni`, `kubernetes-api`, `cloud-infrastructure`, `gateway-api`, or `vendor/name`.
    pub capability: String,
    /// The contract's version, `major.minor`.
    pub version: String,
    /// JSON Schema of the data; needed for `vendor/name`, ignored for the four standard ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// A capability that an adapter needs from another one when it renders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// The capability's name.
    pub capability: String,
    /// The range of contract versions it understands, such as `^1.0`.
    pub version: String,
    /// Whether it also renders without.
    #[serde(default)]
    pub optional: bool,
}

/// A variable of the operator's environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentVariable {
    /// The variable's name.
    pub name: String,
    /// What for, in a few words.
    pub why: String,
}

/// An input that holds a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretInput {
    /// The input's name, a key of the adapter's section.
    pub input: String,
    /// The environment variable that holds it unless the operator says otherwise, such as `HCLOUD_TOKEN`.
    pub variable: String,
    /// What for, in a few words.
    pub why: String,
    /// Whether `discover` gets the value.
    #[serde(default)]
    pub discover: bool,
}

/// A file of generated secrets, kept in the operator's `secrets/<environment>/<name>.yaml` and never in git.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretBundle {
    /// The bundle's name, as in `ztc-secret:<name>/<path>` and `secrets/<environment>/<name>.yaml`.
    pub name: String,
    /// What it holds, in a few words.
    pub description: String,
    /// The bundles from which it is made; they are generated first and handed over.
    #[serde(default)]
    pub from: Vec<String>,
}

/// A place on the network that an adapter connects to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What for, in a few words.
    pub why: String,
}

/// A program that must be on the operator's machine before the first stage runs.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Tool {
    /// The program's name on PATH.
    pub name: String,
    /// The lowest version that works, such as `1.11`; empty: any.
    #[serde(default)]
    pub minimum_version: String,
    /// The arguments that make it print its version; the first thing in its output that looks like a version counts.
    #[serde(default)]
    pub version_arguments: Vec<String>,
    /// How to get it, one line.
    #[serde(default)]
    pub install_hint: String,
}

/// Facts about the outside world by name, as `discover` found them.
pub type Facts = BTreeMap<String, Value>;
