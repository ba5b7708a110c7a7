//! A finding without its place: what is wrong and what to do. The caller knows where.

use ztc_adapter_sdk::protocol::message::{Diagnostic, Severity};

/// What is wrong and what to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// A lower-case fragment, values in backticks.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// Says where it is and how bad.
    pub(crate) fn at(self, pointer: impl Into<String>, severity: Severity) -> Diagnostic {
        Diagnostic {
            pointer: pointer.into(),
            severity,
            message: self.message,
            help: Some(self.help),
        }
    }
}

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Diagnostic>);

impl Findings {
    pub(crate) fn error(
        &mut self,
        pointer: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0
            .push(Problem::new(message, help).at(pointer, Severity::Error));
    }

    pub(crate) fn warn(
        &mut self,
        pointer: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0
            .push(Problem::new(message, help).at(pointer, Severity::Warning));
    }

    /// Takes the problem of a result, if there is one.
    pub(crate) fn check<T>(
        &mut self,
        pointer: impl Into<String>,
        result: Result<T, Problem>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.0.push(problem.at(pointer, Severity::Error));
                None
            }
        }
    }
}
