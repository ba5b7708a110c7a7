//! The real adapters behind the wizard, the secrets with which they look things up, and the signals that end the conversation while they work.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use ztc_protocol::Manifest;
use ztc_protocol::message::{
    Diagnostic, GetInputs, GetInputsParams, GetInputsResult, Validate, ValidateParams,
};

use crate::adapter::Supervisor;
use crate::error::{Failure, Finding};
use crate::secrets::{Reference, Vault};
use crate::ui::Ui;
use crate::wizard::prompter::{Adapters, Stop};

/// Signals that ask to end. While it lives they do not end the program, so that the terminal is put back first.
pub struct Interrupts {
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Interrupts {
    /// Begins to listen.
    pub fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let signals: std::io::Result<Vec<_>> = kinds.into_iter().map(signal).collect();
        signals
            .map(|signals| Self { signals })
            .map_err(|error| Failure::failed("failed to listen for signals").detail(error))
    }

    /// Waits for a future, or for a signal.
    pub async fn or<T>(
        &mut self,
        future: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|task| {
            match self
                .signals
                .iter_mut()
                .any(|signal| signal.poll_recv(task).is_ready())
            {
                true => std::task::Poll::Ready(Err(Stop::Interrupted)),
                false => future.as_mut().poll(task),
            }
        })
        .await
    }
}

/// The running adapters.
pub struct Running<'a> {
    supervisor: &'a Supervisor,
    end: tokio::sync::Mutex<&'a mut Interrupts>,
    secrets: Option<Secrets>,
}

/// The secrets for the adapters' questions.
struct Secrets {
    vault: Vault,
    ui: Ui,
    /// By reference: a password manager is asked once, and what is wrong is said once.
    known: Mutex<BTreeMap<String, Option<String>>>,
}

impl Secrets {
    /// Returns a value; nothing where there is none, which is said.
    async fn value(&self, what: &str, reference: &Value) -> Option<String> {
        let key = reference.to_string();
        let known = self.known().get(&key).cloned();
        if let Some(value) = known {
            return value;
        }
        let parsed = Reference::parse(reference).ok()?;
        let value = match self.vault.resolve(what, &parsed).await {
            Ok(value) => Some(value),
            Err(failure) => {
                self.ui.finding(&Finding {
                    help: failure.help,
                    ..Finding::warning(format!(
                        "{}; what it opens cannot be looked up now",
                        failure.message
                    ))
                });
                None
            }
        };
        self.known().insert(key, value.clone());
        value
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Running<'a> {
    /// Takes the adapters and the signals.
    pub fn new(supervisor: &'a Supervisor, end: &'a mut Interrupts) -> Self {
        Self {
            supervisor,
            end: tokio::sync::Mutex::new(end),
            secrets: None,
        }
    }

    /// Gives the adapters the secrets that they declare for looking things up.
    pub fn with_secrets(self, vault: Vault, ui: Ui) -> Self {
        let secrets = Secrets {
            vault,
            ui,
            known: Mutex::default(),
        };
        Self {
            secrets: Some(secrets),
            ..self
        }
    }

    async fn secrets(
        &self,
        manifest: &Manifest,
        answers: &Map<String, Value>,
    ) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        let Some(secrets) = self.secrets.as_ref().filter(|_| manifest.discovers) else {
            return values;
        };
        for secret in manifest.secrets.iter().filter(|secret| secret.discover) {
            if let Some(reference) = answers.get(&secret.input).filter(|value| !value.is_null()) {
                let what = format!("{}.{}", manifest.name, secret.input);
                if let Some(value) = secrets.value(&what, reference).await {
                    values.insert(secret.input.clone(), value);
                }
            }
        }
        values
    }
}

impl Adapters for Running<'_> {
    async fn inputs(
        &self,
        adapter: &str,
        mut params: GetInputsParams,
    ) -> Result<GetInputsResult, Stop> {
        let asked = async {
            let adapter = self.supervisor.start(adapter).await?;
            params.secrets = self.secrets(&adapter.manifest, &params.answers).await;
            Ok(adapter.call::<GetInputs>(params).await?)
        };
        self.end.lock().await.or(asked).await
    }

    async fn validate(
        &self,
        adapter: &str,
        params: ValidateParams,
    ) -> Result<Vec<Diagnostic>, Stop> {
        let asked = async {
            Ok(self
                .supervisor
                .start(adapter)
                .await?
                .call::<Validate>(params)
                .await?
                .diagnostics)
        };
        self.end.lock().await.or(asked).await
    }
}
