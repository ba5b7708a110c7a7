//! For an adapter's own tests: a whole conversation, line by line, without a process and without a host.
//!
//! The lines go through the same code that serves a host. Nothing here is used outside tests.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::{Adapter, session, stdio};

/// How long an adapter may be silent when something is expected of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A conversation in which the test is the host.
///
/// ```no_run
/// # fn check(adapter: impl ztc_adapter_sdk::Adapter) {
/// use ztc_adapter_sdk::testing::Conversation;
///
/// let mut conversation = Conversation::start(adapter);
/// conversation.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocols":["1.0"]}}"#);
/// assert_eq!(conversation.hear()["result"]["protocol"], "1.0");
/// conversation.end();
/// # }
/// ```
#[derive(Debug)]
pub struct Conversation {
    to: PipeWriter,
    from: Receiver<String>,
    adapter: JoinHandle<io::Result<session::End>>,
}

impl Conversation {
    /// Starts the adapter on a thread of its own.
    ///
    /// # Panics
    /// When the system has no pipe to give.
    pub fn start(adapter: impl Adapter) -> Self {
        let (input, to) = io::pipe().expect("a pipe");
        let (from, output) = io::pipe().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || read(from, &sender));
        Self {
            to,
            from: lines,
            adapter: std::thread::spawn(|| session::speak(adapter, stdio::pipes(input, output))),
        }
    }

    /// Says a line to the adapter, as the host would.
    ///
    /// # Panics
    /// When the adapter does not listen any more.
    pub fn say(&mut self, line: &str) {
        writeln!(self.to, "{line}").expect("the adapter listens");
    }

    /// Returns the next message of the adapter: an answer or a notification.
    ///
    /// # Panics
    /// When there is none within a minute, or it is not JSON.
    pub fn hear(&self) -> Value {
        let line = self
            .from
            .recv_timeout(PATIENCE)
            .expect("a message of the adapter");
        serde_json::from_str(&line).expect("a message is JSON")
    }

    /// Ends the adapter's stdin, waits until it has ended, and returns what it said that was not heard.
    ///
    /// # Panics
    /// When the adapter ended with an error.
    pub fn end(self) -> Vec<String> {
        drop(self.to);
        let end = self.adapter.join().expect("the adapter's thread");
        end.expect("an orderly end");
        self.from.iter().collect()
    }
}

fn read(from: PipeReader, lines: &Sender<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}
