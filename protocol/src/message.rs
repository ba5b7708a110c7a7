//! The methods of the protocol with their parameters and results, and the notifications.
//!
//! Requests go from the host to the adapter only. Parameters are always objects, and every request's carry a [`Call`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ProtocolVersion;
use crate::manifest::{Facts, Manifest};
use crate::stage::{Script, Stage};

/// A request that the host can send.
pub trait Method {
    /// The name on the wire.
    const NAME: &'static str;
    /// The parameters.
    type Params: Parameters;
    /// The result.
    type Result: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// The parameters of a request.
pub trait Parameters: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Returns what the request says about itself.
    fn call(&self) -> &Call;
    /// Says it.
    fn set_call(&mut self, call: Call);
}

macro_rules! parameters {
    ($($params:ty),*) => {
        $(impl Parameters for $params {
            fn call(&self) -> &Call {
                &self.call
            }

            fn set_call(&mut self, call: Call) {
                self.call = call;
            }
        })*
    };
}

parameters!(
    InitializeParams,
    GetInputsParams,
    ValidateParams,
    DiscoverParams,
    RenderParams,
    GenerateSecretsParams,
    CheckSecretsParams,
    ShutdownParams
);

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident = $name:literal: $params:ty => $result:ty;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $method;

        impl Method for $method {
            const NAME: &'static str = $name;
            type Params = $params;
            type Result = $result;
        })*

        /// The names of all methods.
        pub const METHODS: &[&str] = &[$($name),*];
    };
}

methods! {
    /// Agrees on the protocol version and asks who the adapter is. Always the first call.
    Initialize = "initialize": InitializeParams => InitializeResult;
    /// Asks for the inputs that the wizard shows.
    GetInputs = "get_inputs": GetInputsParams => GetInputsResult;
    /// Checks a configuration before anything else happens. Offline.
    Validate = "validate": ValidateParams => ValidateResult;
    /// Looks facts up outside: server ids, architectures, disks. The only call that may use the network.
    Discover = "discover": DiscoverParams => DiscoverResult;
    /// Makes artifacts and stages. Pure: the same parameters give the same bytes.
    Render = "render": RenderParams => RenderResult;
    /// Gives the scripts of the stages. Pure.
    Scripts = "scripts": ScriptsParams => ScriptsResult;
    /// Makes a new bundle of secrets. Only ever called by the operator's explicit wish.
    GenerateSecrets = "generate_secrets": GenerateSecretsParams => GenerateSecretsResult;
    /// Checks a bundle of secrets.
    CheckSecrets = "check_secrets": CheckSecretsParams => CheckSecretsResult;
    /// Announces the end; the host closes stdin after the answer and the adapter exits with 0.
    Shutdown = "shutdown": ShutdownParams => ShutdownResult;
}

/// The notification with which the host cancels a call. The call still gets an answer, usually [`crate::ErrorCode::Cancelled`].
pub const CANCEL: &str = "$/cancel";
/// The notification with which an adapter reports progress; it resets the idle timer of its call.
pub const PROGRESS: &str = "$/progress";
/// The notification with which an adapter says something for the log.
pub const LOG: &str = "$/log";

/// What every request says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Call {
    /// Names the call in `$/cancel`, `$/progress` and `$/log`.
    pub id: String,
    /// Milliseconds after which the host gives the call up; `null`: never.
    pub deadline_ms: Option<u64>,
}

/// A program's name and version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Peer {
    /// Such as `ztc`.
    pub name: String,
    /// Such as `0.1.0`.
    pub version: String,
}

/// Parameters of `initialize`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InitializeParams {
    /// The highest minor that the host speaks of each major.
    pub protocols: Vec<ProtocolVersion>,
    /// The host.
    pub host: Peer,
    /// A directory for large content, made by the host for this process and removed after it.
    pub scratch_dir: String,
    /// A table of versions in place of the adapter's own, for as long as this conversation lasts; `null`: its own. Only for an adapter whose
    /// manifest says that it takes one. One that the adapter cannot use is refused with [`crate::ErrorCode::InvalidParams`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<VersionTable>,
    /// This call.
    pub call: Call,
}

/// A table of versions, `versions.yaml`: a YAML mapping with the key `serial`, and whatever its adapter knows besides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VersionTable {
    /// Grows with every table of an adapter; the same as in its text.
    pub serial: u64,
    /// SHA-256 of its text.
    pub sha256: String,
    /// Its text, at most a megabyte.
    pub content: String,
}

/// Result of `initialize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InitializeResult {
    /// The version that both will speak.
    pub protocol: ProtocolVersion,
    /// Who the adapter is.
    pub manifest: Manifest,
}

/// What an adapter may know about the platform it is part of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlatformContext {
    /// The environment, such as `production`.
    pub environment: String,
    /// The selected adapters: name → type.
    pub adapters: BTreeMap<String, String>,
    /// The section that the call is about: its key below `adapters`. Two sections can share an adapter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// How many machines have which role (`controlplane` → 3), where an adapter's schema marks roles with `"x-ztc-role": true`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, usize>,
}

/// Parameters of `get_inputs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GetInputsParams {
    /// The adapter's section as answered so far; secrets are references.
    pub answers: Map<String, Value>,
    /// The sections of the adapters chosen before this one, so that their answers can serve as defaults; secrets are references.
    pub others: BTreeMap<String, Value>,
    /// What the adapters before this one said in [`GetInputsResult::capabilities`], by capability. May hold less than during a render.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, Value>,
    /// The secrets that the manifest declares for `discover`, by input, as far as they are answered and have a value. Only where a person
    /// answers: with them an adapter can look up what there is to choose from. Without them it asks without.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The platform.
    pub platform: PlatformContext,
    /// This call.
    pub call: Call,
}

/// Result of `get_inputs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GetInputsResult {
    /// In the order in which they are asked. Which ones there are may depend on the answers so far: the wizard asks again after each answer.
    /// The version is the host's own question and not among them.
    pub inputs: Vec<InputPrompt>,
    /// What is known already of the capabilities that this adapter provides, for the questions of those behind it: the names of servers, for
    /// instance. It binds nobody; the capabilities themselves come from `render`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, Value>,
}

/// A question of the wizard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InputPrompt {
    /// The key in the adapter's section.
    pub name: String,
    /// The question.
    pub prompt: String,
    /// The answer's type.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// What can be chosen: one, for `choice`; for a `list` of strings several, where there are any. Other items of a `list` stay valid.
    pub choices: Vec<String>,
    /// A few words about each of the choices, in their order; may be shorter or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choice_notes: Vec<String>,
    /// Proposed; `null`: nothing is.
    pub default: Option<Value>,
    /// A regular expression that the text of the answer (of each item, for `list`) must match as a whole.
    pub validation: Option<String>,
    /// Shown under the question.
    pub help_text: Option<String>,
    /// Whether an empty answer is refused.
    pub required: bool,
    /// For `list` of objects: the questions for one item, asked one by one. Empty: items are strings, comma-separated.
    pub items: Vec<Self>,
}

/// The type of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// One of `choices`.
    Choice,
    /// Yes or no.
    Boolean,
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A secret: the wizard asks where it is, and writes a reference.
    Password,
    /// Any JSON value.
    Json,
    /// Several values.
    List,
}

/// Parameters of `validate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ValidateParams {
    /// The adapter's section; it satisfies the schema. Secrets are references.
    pub config: Map<String, Value>,
    /// Capabilities of the adapters before this one, where they are known already (during a render).
    pub capabilities: BTreeMap<String, Value>,
    /// The platform.
    pub platform: PlatformContext,
    /// The files that the section names, by path as it is written there. The wizard hands over none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, InputFile>,
    /// This call.
    pub call: Call,
}

/// Result of `validate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ValidateResult {
    /// What is wrong or worth knowing; empty: all is well.
    pub diagnostics: Vec<Diagnostic>,
}

/// A file of the operator's repository that a section names, where its schema says `"x-ztc-file": true`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InputFile {
    /// SHA-256 of its content.
    pub sha256: String,
    /// The text; empty with `content_file`.
    pub content: String,
    /// A file in the scratch directory that holds the content, where that is not text or over a megabyte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_file: Option<String>,
}

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Diagnostic {
    /// JSON Pointer (RFC 6901) into the adapter's section, such as `/nodes/0/ip`; empty: the whole section.
    pub pointer: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment without a full stop, values in backticks.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing goes on.
    #[default]
    Error,
    /// Said, and everything goes on.
    Warning,
}

/// Parameters of `discover`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiscoverParams {
    /// The adapter's section; secrets are references.
    pub config: Map<String, Value>,
    /// The values of the secrets that the manifest asks for, by input.
    pub secrets: BTreeMap<String, String>,
    /// The files that the section names, by path as it is written there. The wizard hands over none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, InputFile>,
    /// What the lock knows from an earlier `discover`, also where it is asked anew: what was pinned then must not change unnoticed.
    #[serde(skip_serializing_if = "Facts::is_empty")]
    pub known: Facts,
    /// The platform.
    pub platform: PlatformContext,
    /// This call.
    pub call: Call,
}

/// Result of `discover`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiscoverResult {
    /// What was found; goes into the lock, so never a secret.
    pub facts: Facts,
    /// What is missing or odd outside.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parameters of `render`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RenderParams {
    /// The adapter's section; secrets are references.
    pub config: Map<String, Value>,
    /// What `discover` found.
    pub facts: Facts,
    /// The data of the capabilities that the adapter requires.
    pub capabilities: BTreeMap<String, Value>,
    /// The platform.
    pub platform: PlatformContext,
    /// The files that the section names, by path as it is written there. The wizard hands over none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, InputFile>,
    /// This call.
    pub call: Call,
}

/// Result of `render`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RenderResult {
    /// The files; the host writes them.
    pub artifacts: Vec<Artifact>,
    /// The steps of the bootstrap.
    pub stages: Vec<Stage>,
    /// Variables of the pipeline's environment. Never secrets.
    pub env_vars: BTreeMap<String, String>,
    /// The data of every capability that the manifest says is provided.
    pub capabilities: BTreeMap<String, Value>,
    /// Anything else for people and tools; checked against the manifest's `output_schema`.
    pub data: Value,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A file that an adapter renders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Artifact {
    /// Relative to the adapter's output directory, with `/`.
    pub path: String,
    /// The text; or empty with `content_file`.
    pub content: String,
    /// A file in the scratch directory that holds the text, for content over a megabyte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_file: Option<String>,
    /// SHA-256 of the file's content; needed with `content_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether the file is executable.
    pub executable: bool,
}

/// Parameters of `scripts`; the same as those of `render`.
pub type ScriptsParams = RenderParams;

/// Result of `scripts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScriptsResult {
    /// Every script that a stage of this adapter names.
    pub scripts: Vec<Script>,
}

/// Parameters of `generate_secrets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GenerateSecretsParams {
    /// Which bundle.
    pub bundle: String,
    /// The adapter's section.
    pub config: Map<String, Value>,
    /// The text of the bundles it is made from, by name.
    pub from: BTreeMap<String, String>,
    /// How many hours its certificates are valid; `null`: as the adapter thinks right.
    pub valid_hours: Option<u32>,
    /// This call.
    pub call: Call,
}

/// Result of `generate_secrets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GenerateSecretsResult {
    /// The bundle: a YAML mapping.
    pub content: String,
}

/// Parameters of `check_secrets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CheckSecretsParams {
    /// Which bundle.
    pub bundle: String,
    /// Its text.
    pub content: String,
    /// The text of those bundles that it is made from and that exist, by name.
    pub from: BTreeMap<String, String>,
    /// This call.
    pub call: Call,
}

/// Result of `check_secrets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CheckSecretsResult {
    /// What is wrong; messages never hold a value.
    pub diagnostics: Vec<Diagnostic>,
    /// What may be shown: name → fingerprint or date, such as `os certificate expires` → `2036-11-18`.
    pub facts: BTreeMap<String, String>,
}

/// Parameters of `shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShutdownParams {
    /// This call.
    pub call: Call,
}

/// Result of `shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShutdownResult {}

/// Parameters of `$/cancel`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CancelParams {
    /// The call to cancel.
    pub call_id: String,
    /// Why, for the adapter's log.
    pub reason: String,
}

/// Parameters of `$/progress`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProgressParams {
    /// The call that makes progress.
    pub call_id: String,
    /// What is being done.
    pub message: String,
    /// How much is done, 0 to 1; `null`: unknown.
    pub fraction: Option<f64>,
}

/// Parameters of `$/log`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogParams {
    /// The call it belongs to; empty: none.
    pub call_id: String,
    /// `notice`, which the operator sees in any case, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The text.
    pub message: String,
}
