//! The real adapters behind the wizard, and the signals that end the conversation while they work.

use ztc_protocol::message::{
    Diagnostic, GetInputs, GetInputsParams, InputPrompt, Validate, ValidateParams,
};

use crate::adapter::Supervisor;
use crate::error::Failure;
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
}

impl<'a> Running<'a> {
    /// Takes the adapters and the signals.
    pub fn new(supervisor: &'a Supervisor, end: &'a mut Interrupts) -> Self {
        Self {
            supervisor,
            end: tokio::sync::Mutex::new(end),
        }
    }
}

impl Adapters for Running<'_> {
    async fn inputs(
        &self,
        adapter: &str,
        params: GetInputsParams,
    ) -> Result<Vec<InputPrompt>, Stop> {
        let asked = async {
            Ok(self
                .supervisor
                .start(adapter)
                .await?
                .call::<GetInputs>(params)
                .await?
                .inputs)
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
