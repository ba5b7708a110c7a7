//! Hears what an adapter says beside its answers and passes it on, masked: its log, its progress, and what it should not have said.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapter::connection::Listener;
use crate::adapter::record::{Direction, Recorder};
use crate::error::Finding;
use crate::ui::Ui;

/// Hears what an adapter says beside its answers.
pub(crate) struct Ear {
    name: String,
    ui: Ui,
    /// The last things that it should not have written to stdout.
    offenses: Mutex<VecDeque<String>>,
    recorder: Option<Arc<Recorder>>,
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
        }
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
        let (name, message) = (&self.name, self.ui.mask().apply(message));
        match level {
            "error" => tracing::error!(target: "ztc::adapter", "{name}: {message}"),
            "warn" => tracing::warn!(target: "ztc::adapter", "{name}: {message}"),
            "info" => tracing::info!(target: "ztc::adapter", "{name}: {message}"),
            "debug" => tracing::debug!(target: "ztc::adapter", "{name}: {message}"),
            _ => tracing::trace!(target: "ztc::adapter", "{name}: {message}"),
        }
    }

    fn progress(&self, message: &str) {
        self.ui.say(format!("  {}: {message}", self.name));
    }

    fn line(&self, direction: Direction, line: &[u8]) {
        if let Some(recorder) = &self.recorder {
            recorder.write(&self.name, direction, line);
        }
    }

    fn offense(&self, what: &str, excerpt: &str) {
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
