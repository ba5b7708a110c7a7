//! What the validator finds: where, how bad, why, and what to do. Decides nothing.

use std::fmt;

use ztc_adapter_sdk::protocol::message::Severity;

/// A place in a file; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// A finding in a machine configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The number of the document in its file, from 1; 0: the whole file.
    pub(crate) document: usize,
    /// Where in the document, such as `.machine.network.interfaces[0].vip`; empty: the whole document.
    pub(crate) path: String,
    pub(crate) place: Place,
    /// A lower-case fragment, values in backticks.
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Finding {
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Adds a key to a path.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if !key.is_empty() && key.chars().all(plain) {
        path.push('.');
        path.push_str(key);
    } else {
        path.push_str(&format!("[{}]", serde_json::Value::from(key)));
    }
}

/// Adds an index to a path.
pub(crate) fn push_index(path: &mut String, index: usize) {
    path.push_str(&format!("[{index}]"));
}

/// What is found in one document.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) document: usize,
    pub(crate) all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(
        &mut self,
        severity: Severity,
        path: &str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.all.push(Finding {
            severity,
            document: self.document,
            path: path.to_owned(),
            place,
            message: message.into(),
            help: help.into(),
        });
    }
}
