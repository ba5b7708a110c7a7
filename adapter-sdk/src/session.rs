//! One connection from its first line to its end: reads lines, hands requests on, answers, and ends with the host.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use ztc_protocol::frame::{self, Frame};
use ztc_protocol::lines::LineBuffer;
use ztc_protocol::message::{CANCEL, CancelParams, Initialize};
use ztc_protocol::{ErrorCode, GROUP_VARIABLE, MAX_LINE_BYTES, Method};

use crate::dispatch::{self, State};
use crate::outbox::{self, Outbox};
use crate::stdio::Streams;
use crate::{Adapter, AdapterError, say};

/// How long running calls may go on after the end of stdin, how long they have to see that they are cancelled, and how long the host has to
/// read what was said: 1.6 s together, and an adapter is gone 2 s after its host.
const FINISH: Duration = Duration::from_millis(1000);
const GIVE_UP: Duration = Duration::from_millis(300);
const FLUSH: Duration = Duration::from_millis(300);

/// Speaks with the host until stdin ends, and ends the process group where the host is gone.
pub(crate) fn run(adapter: impl Adapter, streams: Streams) -> io::Result<()> {
    let end = speak(adapter, streams)?;
    if end == End::HostGone && std::env::var_os(GROUP_VARIABLE).is_some_and(|value| value == "1") {
        // Nobody is left to end the processes that the adapter has started.
        rustix::process::kill_current_process_group(rustix::process::Signal::KILL)?;
    }
    Ok(())
}

/// Speaks with the host until stdin ends. Whatever the end, the process and its group are left alone.
pub(crate) fn speak(adapter: impl Adapter, streams: Streams) -> io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let pump;
    let result = {
        let _guard = runtime.enter();
        let opened = streams.open()?;
        pump = opened.pump;
        runtime.block_on(converse(adapter, opened.input, opened.output))
    };
    // A call that does not look at its flag still has its thread; it must not keep the process.
    runtime.shutdown_background();
    if let Some(pump) = pump {
        let _ = pump.join();
    }
    result
}

/// Why a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Announced,
    HostGone,
}

async fn converse<A: Adapter>(
    adapter: A,
    input: impl AsyncReadExt + Unpin,
    output: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> io::Result<End> {
    let (outbox, queue) = outbox::queue();
    let mut writer = tokio::spawn(outbox::write(queue, output));
    let state = Arc::new(State::new(adapter, outbox.clone()));
    let mut session = Session {
        methods: dispatch::methods(Arc::clone(&state)),
        state,
        outbox,
        calls: JoinSet::new(),
    };
    let result = session.listen(input).await;
    session.finish().await;
    let end = if session.state.is_shut_down() {
        End::Announced
    } else {
        End::HostGone
    };
    drop(session);
    if timeout(FLUSH, &mut writer).await.is_err() {
        writer.abort();
    }
    result.map(|()| end)
}

struct Session<A> {
    state: Arc<State<A>>,
    methods: Methods,
    outbox: Outbox,
    calls: JoinSet<()>,
}

impl<A: Adapter> Session<A> {
    /// Takes lines until stdin ends.
    async fn listen(&mut self, mut input: impl AsyncReadExt + Unpin) -> io::Result<()> {
        let mut lines = LineBuffer::new(MAX_LINE_BYTES);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = input.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            lines.push(&chunk[..count]);
            while let Some(line) = lines.next_line() {
                match line.whole {
                    true => self.take(line.bytes).await,
                    false => ignored("a line that is longer than 32 MiB"),
                }
            }
            while self.calls.try_join_next().is_some() {}
        }
    }

    async fn take(&mut self, line: Vec<u8>) {
        match frame::classify(&line) {
            Frame::Request {
                id: id @ (Value::Number(_) | Value::String(_)),
                method,
            } => {
                let answer = answer(self.methods.clone(), self.outbox.clone(), line, id);
                if method == Initialize::NAME {
                    // What follows in the same breath must find the adapter initialized.
                    answer.await;
                } else {
                    self.calls.spawn(answer);
                }
            }
            Frame::Request { .. } => ignored("a request whose id is neither a number nor a string"),
            Frame::Notification { method, params } if method == CANCEL => {
                if let Ok(CancelParams { call_id, .. }) = serde_json::from_value(params) {
                    self.state.cancel(&call_id);
                }
            }
            Frame::Notification { .. } | Frame::Blank => {}
            Frame::Response { .. } => ignored("a response; this adapter asks nothing"),
            Frame::Stray(why) => self.refuse(&line, why).await,
        }
    }

    /// Answers what is not a request where it says whom to answer. An answer without an id would tell the host nothing and ends the
    /// connection of most JSON-RPC clients.
    async fn refuse(&self, line: &[u8], why: &str) {
        let id = serde_json::from_slice::<Value>(frame::trim(line))
            .ok()
            .and_then(|value| value.get("id").cloned());
        match id {
            Some(id @ (Value::Number(_) | Value::String(_))) => {
                self.outbox
                    .send(error_line(&id, ErrorCode::InvalidRequest, why.to_owned()))
                    .await;
            }
            _ => ignored(&format!("a line that is {why}")),
        }
    }

    /// Lets the running calls end: on their own, then asked to.
    async fn finish(&mut self) {
        if timeout(FINISH, drain(&mut self.calls)).await.is_err() {
            self.state.cancel_all();
            let _ = timeout(GIVE_UP, drain(&mut self.calls)).await;
        }
        self.calls.abort_all();
        drain(&mut self.calls).await;
    }
}

async fn drain(calls: &mut JoinSet<()>) {
    while calls.join_next().await.is_some() {}
}

fn ignored(what: &str) {
    say::err(&format!("warning: ignored {what} on stdin"));
}

/// Runs one request and sends its answer.
async fn answer(methods: Methods, outbox: Outbox, line: Vec<u8>, id: Value) {
    let line = String::from_utf8_lossy(frame::trim(&line)).into_owned();
    let answer = match methods.raw_json_request(&line, 1).await {
        Ok((answer, _)) if answer.get().len() > MAX_LINE_BYTES => {
            error_line(&id, ErrorCode::Internal, too_long())
        }
        Ok((answer, _)) => Box::<str>::from(answer).into_string(),
        Err(error) => error_line(
            &id,
            ErrorCode::InvalidRequest,
            format!("not a JSON-RPC 2.0 request: {error}"),
        ),
    };
    outbox.send(answer).await;
}

fn too_long() -> String {
    "the answer is longer than 32 MiB; put large content into files in the scratch directory"
        .to_owned()
}

fn error_line(id: &Value, code: ErrorCode, message: String) -> String {
    let error: ErrorObjectOwned = dispatch::object(AdapterError::new(code, message));
    json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
}

#[cfg(test)]
mod tests;
