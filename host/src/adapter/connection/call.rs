//! One call while it runs: its limits, its progress, and its end, also where it is given up. Reads and writes no lines itself.

use std::time::Duration;

use jsonrpsee::core::client::Error;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use ztc_protocol::message::{CANCEL, CancelParams};

use super::{CallError, Connection};
use crate::adapter::limits::Limits;
use crate::foreign::{clean_value, printable};

/// How long a cancelled call may take to answer: long enough to say what it was doing on a busy machine.
const LAST_WORD: Duration = Duration::from_millis(1000);

/// What an adapter said when a call to it was cancelled.
#[derive(Debug, PartialEq)]
pub(crate) enum LastWord {
    Nothing,
    /// It gave the call up, with this message.
    GaveUp(String),
    /// The result after all, too late.
    Result,
}

/// The progress of a call. Messages that nobody had the time to show are counted all the same.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) count: u64,
    pub(super) message: String,
}

/// A running call: told of its progress, cancelled when it is given up.
pub(super) struct CallGuard<'a> {
    connection: &'a Connection,
    id: String,
    pub(super) progress: watch::Receiver<Progress>,
    /// Whether nothing is left to be cancelled.
    pub(super) over: bool,
}

impl<'a> CallGuard<'a> {
    pub(super) fn begin(connection: &'a Connection, id: String) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        connection.shared.calls().insert(id.clone(), sender);
        Self {
            connection,
            id,
            progress,
            over: false,
        }
    }

    /// Waits for an answer; progress starts the idle limit anew and is passed on now and then.
    pub(super) async fn within<T>(
        &mut self,
        limits: Limits,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, CallError> {
        /// A call that is shorter says nothing, and a longer one no more often than this.
        const PAUSE: Duration = Duration::from_secs(2);
        let mut answer = std::pin::pin!(answer);
        let start = Instant::now();
        let mut idle_until = after(start, limits.idle);
        let mut quiet_until = start + PAUSE;
        loop {
            let until = idle_until.min(after(start, limits.total));
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(error),
                Ok(()) = self.progress.changed() => {
                    let now = Instant::now();
                    idle_until = after(now, limits.idle);
                    let message = self.progress.borrow_and_update().message.clone();
                    if now >= quiet_until {
                        quiet_until = now + PAUSE;
                        self.connection.shared.listener.progress(&message);
                    }
                }
                () = sleep_until(until) => {
                    self.cancel("it takes too long");
                    let last = last_word(timeout(LAST_WORD, answer).await.ok());
                    let total = start.elapsed() >= limits.total;
                    return Err(if total { CallError::Total(limits.total, last) } else { CallError::Idle(limits.idle, last) });
                }
            }
        }
    }

    fn cancel(&mut self, reason: &str) {
        let params = CancelParams {
            call_id: self.id.clone(),
            reason: reason.to_owned(),
        };
        let line = json!({ "jsonrpc": "2.0", "method": CANCEL, "params": params }).to_string();
        // An adapter that does not read cannot be told.
        let _ = self.connection.outbox.try_send(line);
        self.over = true;
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.connection.shared.calls().remove(&self.id);
        if !self.over {
            self.cancel("given up");
        }
    }
}

/// A moment that far away; without a limit, one that never comes.
fn after(start: Instant, limit: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    start.checked_add(limit).unwrap_or_else(|| start + NEVER)
}

fn last_word<T>(answer: Option<Result<T, Error>>) -> LastWord {
    match answer {
        Some(Ok(_)) => LastWord::Result,
        Some(Err(Error::Call(object))) => LastWord::GaveUp(printable(object.message())),
        _ => LastWord::Nothing,
    }
}

/// Makes an error fit to be shown, its data too.
fn shown(object: &ErrorObjectOwned) -> ErrorObjectOwned {
    let mut data: Option<Value> = object
        .data()
        .and_then(|data| serde_json::from_str(data.get()).ok());
    data.iter_mut().for_each(clean_value);
    ErrorObjectOwned::owned(object.code(), printable(object.message()), data)
}

fn error(error: Error) -> CallError {
    match error {
        Error::Call(object) => CallError::Refused(shown(&object)),
        Error::ParseError(error) => CallError::Form(error),
        _ => CallError::Gone,
    }
}
