//! Speaks JSON-RPC with an adapter over two byte streams, and stands whatever comes back.
//!
//! jsonrpsee matches answers to requests, but ends the connection at the first line that it does not expect. So every line passes through
//! here first: only well-formed answers to requests that are waiting reach jsonrpsee. Nothing here knows about processes.

mod call;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonrpsee::async_client::RpcService;
use jsonrpsee::core::client::{
    Client, ClientBuilder, ClientT, ReceivedMessage, TransportReceiverT, TransportSenderT,
};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::types::{ErrorObjectOwned, Response};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use ztc_protocol::frame::{self, Frame};
use ztc_protocol::lines::{Line, LineBuffer};
use ztc_protocol::message::{Call, LOG, LogParams, PROGRESS, Parameters, ProgressParams};
use ztc_protocol::{ErrorCode, MAX_LINE_BYTES, Method};

use crate::adapter::limits::Limits;
use crate::adapter::record::Direction;
use crate::adapter::text::Spoken;
use crate::foreign::printable;
use call::{CallGuard, Progress};

pub(crate) use call::LastWord;

/// How many lines wait to be written at most.
const LINES: usize = 64;

/// The client's own limit, which must never strike: calls have limits of their own.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What an adapter says beside its answers.
pub(crate) trait Listener: Send + Sync + 'static {
    /// A line of its log.
    fn log(&self, level: &str, message: &str);
    /// What a long call is doing, now and then.
    fn progress(&self, message: &str);
    /// Every line, in either direction, as it is.
    fn line(&self, _direction: Direction, _line: &[u8]) {}
    /// A call is over: how long it took, and how often it reported progress.
    fn over(&self, method: &str, lasted: Duration, progress: u64);
    /// Something that the protocol does not allow and that was ignored: what it did and an excerpt.
    fn offense(&self, what: &str, excerpt: &str);
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The adapter answered with an error.
    Refused(ErrorObjectOwned),
    /// The adapter answered something of another form.
    Form(serde_json::Error),
    /// It was silent for too long.
    Idle(Duration, LastWord),
    /// It took too long.
    Total(Duration, LastWord),
    /// The request would be longer than a line may be.
    TooLong(usize),
    /// The connection is gone.
    Gone,
}

/// A connection to one adapter.
pub(crate) struct Connection {
    client: Client<RpcService>,
    shared: Arc<Shared>,
    outbox: mpsc::Sender<String>,
    writer: JoinHandle<()>,
}

/// What the connection and its receiver share.
struct Shared {
    /// Ids of the requests that were sent and not answered.
    pending: Mutex<HashSet<u64>>,
    /// The running calls, told of their progress.
    calls: Mutex<HashMap<String, watch::Sender<Progress>>>,
    /// The beginning of the line that has not ended yet.
    unfinished: Mutex<String>,
    listener: Arc<dyn Listener>,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Progress>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfinished(&self) -> MutexGuard<'_, String> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Starts to speak. Needs a runtime.
    pub(crate) fn open(
        from_adapter: impl AsyncRead + Unpin + Send + 'static,
        to_adapter: impl AsyncWrite + Unpin + Send + 'static,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let (outbox, queue) = mpsc::channel(LINES);
        let writer = tokio::spawn(write(queue, to_adapter, Arc::clone(&listener)));
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            calls: Mutex::default(),
            unfinished: Mutex::default(),
            listener,
        });
        let sender = Sender {
            outbox: outbox.clone(),
            shared: Arc::clone(&shared),
        };
        let receiver = Receiver {
            input: from_adapter,
            chunk: vec![0; 64 * 1024],
            lines: LineBuffer::new(MAX_LINE_BYTES),
            outbox: outbox.clone(),
            shared: Arc::clone(&shared),
        };
        // The default middleware logs parameters, and with them secrets.
        let builder = ClientBuilder::default()
            .set_rpc_middleware(RpcServiceBuilder::new())
            .request_timeout(NEVER);
        Self {
            client: builder.build_with_tokio(sender, receiver),
            shared,
            outbox,
            writer,
        }
    }

    /// Sends a request and waits for its answer within the limits. A call that is given up, also by dropping this future, is cancelled.
    pub(crate) async fn request<M: Method<Result: Spoken>>(
        &self,
        mut params: M::Params,
        limits: Limits,
    ) -> Result<M::Result, CallError> {
        let id = ulid::Ulid::generate().to_string();
        params.set_call(Call {
            id: id.clone(),
            deadline_ms: u64::try_from(limits.total.as_millis()).ok(),
        });
        let raw = to_raw_value(&params).map_err(CallError::Form)?;
        if raw.get().len() + 1024 > MAX_LINE_BYTES {
            return Err(CallError::TooLong(raw.get().len()));
        }
        let start = Instant::now();
        let mut guard = CallGuard::begin(self, id);
        let answer = self.client.request::<M::Result, _>(M::NAME, Raw(raw));
        let result = guard.within(limits, answer).await;
        guard.over = true;
        let progress = guard.progress.borrow().count;
        self.shared
            .listener
            .over(M::NAME, start.elapsed(), progress);
        result.map(|mut result| {
            result.clean();
            result
        })
    }

    /// Sends a recorded request and returns the answer, whatever its form.
    pub(crate) async fn replay(
        &self,
        method: &str,
        params: &Value,
        limits: Limits,
    ) -> Result<Value, CallError> {
        let id = params["call"]["id"].as_str().unwrap_or_default().to_owned();
        let raw = to_raw_value(params).map_err(CallError::Form)?;
        let mut guard = CallGuard::begin(self, id);
        let answer = self.client.request::<Value, _>(method, Raw(raw));
        let result = guard.within(limits, answer).await;
        guard.over = true;
        match result {
            Ok(result) => Ok(json!({ "result": result })),
            Err(CallError::Refused(error)) => Ok(json!({ "error": error })),
            Err(error) => Err(error),
        }
    }

    /// The beginning of the line that the adapter has begun and not ended, where there is one.
    pub(crate) fn unfinished(&self) -> Option<String> {
        Some(self.shared.unfinished().clone()).filter(|text| !text.is_empty())
    }

    /// Closes the adapter's stdin, whatever still waits to be written.
    pub(crate) fn close(&self) {
        self.writer.abort();
    }
}

struct Raw(Box<RawValue>);

impl ToRpcParams for Raw {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

/// The other side does not listen or does not speak any more.
#[derive(Debug, thiserror::Error)]
#[error("the adapter closed the connection")]
struct Closed;

async fn write(
    mut queue: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
    listener: Arc<dyn Listener>,
) {
    while let Some(mut line) = queue.recv().await {
        listener.line(Direction::To, line.as_bytes());
        line.push('\n');
        if output.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Sender {
    outbox: mpsc::Sender<String>,
    shared: Arc<Shared>,
}

impl TransportSenderT for Sender {
    type Error = Closed;

    async fn send(&mut self, message: String) -> Result<(), Closed> {
        #[derive(Deserialize)]
        struct Request {
            id: Option<u64>,
        }
        if let Ok(Request { id: Some(id) }) = serde_json::from_str(&message) {
            self.shared.pending().insert(id);
        }
        self.outbox.send(message).await.map_err(|_| Closed)
    }
}

struct Receiver<R> {
    input: R,
    chunk: Vec<u8>,
    lines: LineBuffer,
    outbox: mpsc::Sender<String>,
    shared: Arc<Shared>,
}

impl<R: AsyncRead + Unpin + Send + 'static> TransportReceiverT for Receiver<R> {
    type Error = Closed;

    /// Waits for the next answer. jsonrpsee may drop this future at any time: between two lines there is nothing to wait for but the read.
    async fn receive(&mut self) -> Result<ReceivedMessage, Closed> {
        loop {
            while let Some(line) = self.lines.next_line() {
                if let Some(answer) = self.sift(line) {
                    return Ok(ReceivedMessage::Bytes(answer));
                }
            }
            *self.shared.unfinished() = excerpt(self.lines.begun());
            match self.input.read(&mut self.chunk).await {
                Ok(0) | Err(_) => return Err(Closed),
                Ok(count) => self.lines.push(&self.chunk[..count]),
            }
        }
    }
}

impl<R> Receiver<R> {
    /// Returns the line where it answers a request that waits; deals with everything else.
    fn sift(&self, line: Line) -> Option<Vec<u8>> {
        self.shared.listener.line(Direction::From, &line.bytes);
        if !line.whole {
            self.offense("wrote a line that is longer than 32 MiB", &line.bytes);
            return None;
        }
        match frame::classify(&line.bytes) {
            Frame::Blank => {}
            Frame::Response { id } => return self.response(&id, line.bytes),
            Frame::Notification { method, params } => self.notification(&method, params),
            Frame::Request { id, method } => {
                self.offense(
                    "sent a request, but requests go from ztc to adapters only",
                    &line.bytes,
                );
                let error = json!({ "code": i32::from(ErrorCode::MethodNotFound),
                    "message": format!("ztc has no method `{method}`: requests go from host to adapter only") });
                let _ = self
                    .outbox
                    .try_send(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            }
            Frame::Stray(why) => self.offense(&format!("wrote a line that is {why}"), &line.bytes),
        }
        None
    }

    fn response(&self, id: &Value, line: Vec<u8>) -> Option<Vec<u8>> {
        let number = id
            .as_u64()
            .filter(|number| self.shared.pending().remove(number));
        let Some(number) = number else {
            let what = if id.is_null() {
                "sent an answer whose id is `null`"
            } else {
                "sent an answer that nothing waits for"
            };
            self.offense(what, &line);
            return None;
        };
        let line = frame::trim(&line).to_vec();
        match serde_json::from_slice::<Response<&RawValue>>(&line) {
            Ok(_) => Some(line),
            Err(error) => {
                let message = format!("the answer is not a JSON-RPC 2.0 response: {error}");
                let error = json!({ "code": i32::from(ErrorCode::Internal), "message": message });
                Some(
                    json!({ "jsonrpc": "2.0", "id": number, "error": error })
                        .to_string()
                        .into_bytes(),
                )
            }
        }
    }

    fn notification(&self, method: &str, params: Value) {
        match method {
            PROGRESS => {
                let params: ProgressParams = serde_json::from_value(params).unwrap_or_default();
                if let Some(call) = self.shared.calls().get(&params.call_id) {
                    call.send_modify(|progress| {
                        progress.count += 1;
                        progress.message = params.message;
                    });
                }
            }
            LOG => {
                let params: LogParams = serde_json::from_value(params).unwrap_or_default();
                self.shared.listener.log(&params.level, &params.message);
            }
            // A later minor version of the protocol may have more.
            _ => {}
        }
    }

    fn offense(&self, what: &str, line: &[u8]) {
        self.shared.listener.offense(what, &excerpt(line));
    }
}

/// The beginning of a line, fit to be shown.
fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(400)]);
    printable(text.trim()).chars().take(120).collect()
}

#[cfg(test)]
mod tests;
