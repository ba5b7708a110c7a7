//! Lines on their way to the host: a bounded queue, so that an adapter that says much waits for the host instead of filling memory.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// How many lines wait at most.
const LINES: usize = 64;

/// Where lines are put; clones put them into the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(mpsc::Sender<String>);

/// Where the writer takes them from.
pub(crate) type Queue = mpsc::Receiver<String>;

/// Makes the queue.
pub(crate) fn queue() -> (Outbox, Queue) {
    let (sender, receiver) = mpsc::channel(LINES);
    (Outbox(sender), receiver)
}

impl Outbox {
    /// Sends a line. A host that went away is noticed where it matters, at the end of stdin.
    pub(crate) async fn send(&self, line: String) {
        let _ = self.0.send(line).await;
    }

    /// Sends a notification from a thread that may block.
    pub(crate) fn notify(&self, method: &str, params: Value) {
        let line = json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string();
        wait(self.send(line));
    }
}

/// Writes lines until all outboxes are gone or the host stops listening.
pub(crate) async fn write(mut queue: Queue, mut output: impl AsyncWriteExt + Unpin) {
    while let Some(mut line) = queue.recv().await {
        line.push('\n');
        if output.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Waits for a future on this thread. Unlike the runtime's own way it also works where an adapter runs a runtime of its own.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
