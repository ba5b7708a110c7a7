//! Hears what an adapter says beside its answers and passes it on, masked: its log, its progress, and what it should not have said.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::adapter::connection::Listener;
use crate::adapter::record::{Direction, Recorder};
use crate::error::Finding;
use crate::foreign::printable;
use crate::ui::Ui;

/// Hears what an adapter says beside its answers.
pub(crate) struct Ear {
    name: String,
    ui: Ui,
    /// The last things that it should not have written to stdout.
    offenses: Mutex<VecDeque<String>>,
    recorder: Option<Arc<Recorder>>,
    /// Whether what it does is of no interest any more.
    deaf: AtomicBool,
}

/// How many of them are kept.
const OFFENSES: usize = 5;

impl Ear {
    pub(crate) fn new(name: String, ui: Ui, recorder: Option<Arc<Recorder>>) -> Self {
        Self {
            name,
            ui,
            offenses: Mutex::default(),
            recorder,
            deaf: AtomicBool::new(false),
        }
    }

    /// Listens no longer: what an adapter writes while it is being ended helps nobody.
    pub(crate) fn close(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Tells the operator that the adapter had to be killed.
    pub(crate) fn stubborn(&self) {
        let message = format!(
            "adapter `{}` ended neither with its stdin nor when asked to (SIGTERM), so it was killed",
            self.name
        );
        let help = "an adapter exits when its stdin ends; what it was doing may be half done";
        self.ui.finding(&Finding::warning(message).help(help));
    }

    /// Takes the values of secrets out.
    pub(crate) fn masked(&self, lines: &[String]) -> Vec<String> {
        lines
            .iter()
            .map(|line| self.ui.mask().apply(line))
            .collect()
    }

    /// The last things that it should not have written to stdout.
    pub(crate) fn offenses(&self) -> Vec<String> {
        self.offenses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

impl Listener for Ear {
    fn log(&self, level: &str, message: &str) {
        let (name, message) = (&self.name, printable(&self.ui.mask().apply(message)));
        match level {
            "notice" => self.ui.say(format!("  {name}: {message}")),
            "error" => tracing::error!(target: "ztc::adapter", "{name}: {message}"),
            "warn" => tracing::warn!(target: "ztc::adapter", "{name}: {message}"),
            "info" => tracing::info!(target: "ztc::adapter", "{name}: {message}"),
            "debug" => tracing::debug!(target: "ztc::adapter", "{name}: {message}"),
            _ => tracing::trace!(target: "ztc::adapter", "{name}: {message}"),
        }
    }

    fn progress(&self, message: &str) {
        self.ui
            .say(format!("  {}: {}", self.name, printable(message)));
    }

    fn over(&self, method: &str, lasted: Duration, progress: u64) {
        tracing::trace!(target: "ztc::adapter", "{}: `{method}` took {} ms and reported progress {progress} times", self.name, lasted.as_millis());
    }

    fn line(&self, direction: Direction, line: &[u8]) {
        if let Some(recorder) = &self.recorder {
            recorder.write(&self.name, direction, line);
        }
    }

    fn offense(&self, what: &str, excerpt: &str) {
        if self.deaf.load(Ordering::Relaxed) {
            return;
        }
        let mut offenses = self.offenses.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one is worth a warning; a flood of them is not worth a flood.
        if offenses.is_empty() {
            let message = format!("adapter `{}` {what}; ignored: `{excerpt}`", self.name);
            let help = "only messages belong on an adapter's stdout, everything else on stderr";
            self.ui.finding(&Finding::warning(message).help(help));
        }
        if offenses.len() == OFFENSES {
            offenses.pop_front();
        }
        offenses.push_back(format!("{what}: {excerpt}"));
    }
}
