//! What an adapter author implements, and what a call offers to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ztc_protocol::message::*;
use ztc_protocol::stage::{Script, Stage, StageKind};
use ztc_protocol::{ErrorCode, ErrorData, Manifest};

use crate::versions::AnyVersions;

/// An adapter. Methods may block: each runs on a thread of its own.
///
/// `render` and `scripts` are pure: the same parameters must give the same bytes, and they touch neither network nor disk.
pub trait Adapter: Send + Sync + 'static {
    /// Says who the adapter is.
    fn manifest(&self) -> Manifest;

    /// Lists the wizard's questions, given the answers so far.
    fn get_inputs(
        &self,
        params: GetInputsParams,
        call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError>;

    /// Checks a configuration beyond what its schema can say.
    fn validate(
        &self,
        params: ValidateParams,
        call: &CallContext,
    ) -> Result<ValidateResult, AdapterError>;

    /// Makes artifacts, stages and capabilities.
    fn render(
        &self,
        params: RenderParams,
        call: &CallContext,
    ) -> Result<RenderResult, AdapterError>;

    /// Gives the scripts that the stages name.
    fn scripts(
        &self,
        params: ScriptsParams,
        call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError>;

    /// Looks facts up outside; only called when the manifest says `discovers`.
    fn discover(
        &self,
        _params: DiscoverParams,
        _call: &CallContext,
    ) -> Result<DiscoverResult, AdapterError> {
        Err(AdapterError::not_offered("discover"))
    }

    /// Makes a bundle of secrets that the manifest declares.
    fn generate_secrets(
        &self,
        _params: GenerateSecretsParams,
        _call: &CallContext,
    ) -> Result<GenerateSecretsResult, AdapterError> {
        Err(AdapterError::not_offered("generate_secrets"))
    }

    /// Checks a bundle of secrets that the manifest declares.
    fn check_secrets(
        &self,
        _params: CheckSecretsParams,
        _call: &CallContext,
    ) -> Result<CheckSecretsResult, AdapterError> {
        Err(AdapterError::not_offered("check_secrets"))
    }

    /// The adapter's table of versions, where the host may hand over a newer one; see [`crate::Versions`].
    fn versions(&self) -> Option<&'static dyn AnyVersions> {
        None
    }

    /// Runs the adapter as an ordinary program: `ztc-adapter-<name> ARGUMENTS`. Returns the exit code, or nothing where the adapter has no
    /// commands of its own.
    fn command(&self, _arguments: &[String]) -> Option<u8> {
        None
    }
}

/// A failed call, as it is sent to the host.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct AdapterError {
    /// Why.
    pub code: ErrorCode,
    /// What went wrong: a lower-case fragment without a full stop, values in backticks, never a secret.
    pub message: String,
    /// The rest.
    pub data: ErrorData,
}

impl AdapterError {
    /// Makes an error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: ErrorData::default(),
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.data.help = Some(help.into());
        self
    }

    /// Adds findings.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.data.diagnostics = diagnostics;
        self
    }

    /// Says that the adapter has no such method.
    pub fn not_offered(method: &str) -> Self {
        Self::new(
            ErrorCode::MethodNotOffered,
            format!("this adapter does not offer `{method}`"),
        )
    }

    /// Says that the adapter has a bug.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

/// What a running call offers: progress, log, cancellation.
#[derive(Clone)]
pub struct CallContext {
    pub(crate) call: Call,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) notify: Notify,
}

/// Sends a notification: method and parameters.
type Notify = Arc<dyn Fn(&str, Value) + Send + Sync>;

impl CallContext {
    /// Makes a context whose notifications go nowhere, for an adapter's own tests.
    pub fn detached() -> Self {
        Self {
            call: Call::default(),
            cancelled: Arc::default(),
            notify: Arc::new(|_, _| {}),
        }
    }

    /// Tells the host what is being done; a long call says something at least every ten seconds.
    pub fn progress(&self, message: impl Into<String>, fraction: Option<f64>) {
        let params = ProgressParams {
            call_id: self.call.id.clone(),
            message: message.into(),
            fraction,
        };
        self.send(PROGRESS, &params);
    }

    /// Writes a line to the host's log. Levels: `notice`, which the operator sees in any case, `error`, `warn`, `info`, `debug`, `trace`.
    pub fn log(&self, level: &str, message: impl Into<String>) {
        let params = LogParams {
            call_id: self.call.id.clone(),
            level: level.to_owned(),
            message: message.into(),
        };
        self.send(LOG, &params);
    }

    /// Says whether the host has cancelled the call. A call that sees it returns [`CallContext::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The error with which a cancelled call ends.
    pub fn cancelled() -> AdapterError {
        AdapterError::new(ErrorCode::Cancelled, "cancelled")
    }

    fn send(&self, method: &str, params: &impl serde::Serialize) {
        if let Ok(params) = serde_json::to_value(params) {
            (self.notify)(method, params);
        }
    }
}

/// Reads an adapter's section into its own type. The host has checked it against the schema, so a failure names the field.
pub fn from_config<T: DeserializeOwned>(config: &Map<String, Value>) -> Result<T, AdapterError> {
    serde_json::from_value(Value::Object(config.clone()))
        .map_err(|error| AdapterError::new(ErrorCode::InvalidInputs, error.to_string()))
}

/// Makes a script from its text; the digest is computed.
pub fn script(name: &str, kind: StageKind, description: &str, content: &str) -> Script {
    Script {
        name: name.to_owned(),
        kind,
        description: description.to_owned(),
        content: content.to_owned(),
        sha256: ztc_protocol::sha256_hex(content.as_bytes()),
        ..Script::default()
    }
}

/// Makes the stage that runs a script: named after it (`install-talos.sh` → `install_talos`), cached unless it is a validation.
pub fn stage_for(adapter: &str, script: &Script) -> Stage {
    let name = script.name.trim_end_matches(".sh").replace('-', "_");
    Stage {
        description: script.description.clone(),
        script: format!("{adapter}://{}", script.name),
        kind: script.kind,
        cache_key: (script.kind != StageKind::Validation).then(|| name.clone()),
        name,
        ..Stage::default()
    }
}
