//! What all sessions of one test together saw: what was against the rules, and how long things took. Kept in memory only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::adapter::record::{Direction, Recorder};
use crate::conformance::wire::Schemas;

/// How much of a line is quoted, in characters.
const QUOTED: usize = 80;

/// Shared by all sessions; clones share everything.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) schemas: Arc<Schemas>,
    book: Arc<Mutex<Book>>,
    /// Where everything that is said is written down, and of whom.
    recorder: Option<(Arc<Recorder>, String)>,
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// How many messages were checked.
    pub(super) messages: usize,
    /// Messages that break the schema: where and why.
    pub(super) form: Vec<(String, String)>,
    /// Lines on stdout that are not messages at all: where and why.
    pub(super) noise: Vec<(String, String)>,
    /// Calls without an answer in time: where and why.
    pub(super) late: Vec<(String, String)>,
    /// Processes that outlived the adapter: after what, and which.
    pub(super) left: Vec<(String, String)>,
    /// The longest time that each method took.
    pub(super) times: BTreeMap<String, Duration>,
}

impl Ledger {
    pub(super) fn new(recorder: Option<Recorder>, adapter: &str) -> Self {
        Self {
            schemas: Arc::new(Schemas::new()),
            book: Arc::default(),
            recorder: recorder.map(|recorder| (Arc::new(recorder), adapter.to_owned())),
        }
    }

    /// Writes down a line that was said.
    pub(super) fn said(&self, direction: Direction, line: &[u8]) {
        if let Some((recorder, adapter)) = &self.recorder {
            recorder.write(adapter, direction, line);
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a message and what is wrong with it.
    pub(super) fn message(&self, place: &str, wrong: impl IntoIterator<Item = String>) {
        let mut book = self.book();
        book.messages += 1;
        for why in wrong {
            note(&mut book.form, place, why);
        }
    }

    /// Notes a line that is not a message.
    pub(super) fn noise(&self, place: &str, why: &str, line: &[u8]) {
        let text: String = String::from_utf8_lossy(line).chars().take(QUOTED).collect();
        note(
            &mut self.book().noise,
            place,
            format!("wrote a line that is {why}: {:?}", text.trim()),
        );
    }

    /// Notes how long a call took.
    pub(super) fn took(&self, method: &str, time: Duration) {
        let mut book = self.book();
        let longest = book.times.entry(method.to_owned()).or_default();
        *longest = time.max(*longest);
    }

    /// Notes processes that the adapter left behind.
    pub(super) fn left(&self, place: &str, processes: Vec<String>) {
        let mut book = self.book();
        for process in processes {
            note(
                &mut book.left,
                place,
                format!("left the process `{process}` behind"),
            );
        }
    }

    /// Notes a call that was not answered in time.
    pub(super) fn late(&self, method: &str, why: String) {
        note(&mut self.book().late, method, why);
    }
}

/// The same thing is told once.
fn note(entries: &mut Vec<(String, String)>, place: &str, why: String) {
    let entry = (place.to_owned(), why);
    if !entries.contains(&entry) {
        entries.push(entry);
    }
}
