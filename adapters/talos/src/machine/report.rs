//! How the verdict on files is told: sentences for people, JSON for programs. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::message::Severity;

use super::{Finding, Mode};

/// The verdict on a file.
pub(crate) struct Verdict {
    pub(crate) file: String,
    pub(crate) findings: Vec<Finding>,
}

/// All verdicts.
pub(crate) struct Report {
    pub(crate) mode: Mode,
    /// Warnings count as errors.
    pub(crate) strict: bool,
    pub(crate) verdicts: Vec<Verdict>,
}

impl Report {
    pub(crate) fn is_good(&self) -> bool {
        self.verdicts
            .iter()
            .all(|verdict| self.faults(verdict) == 0)
    }

    fn faults(&self, verdict: &Verdict) -> usize {
        let counts = |finding: &&Finding| self.strict || finding.is_error();
        verdict.findings.iter().filter(counts).count()
    }

    /// What is found, for stderr.
    pub(crate) fn findings(&self) -> String {
        let mut out = String::new();
        for verdict in &self.verdicts {
            let several = verdict.findings.iter().any(|finding| finding.document > 1);
            for finding in &verdict.findings {
                let _ = write!(out, "{}", verdict.file);
                if finding.place.line > 0 {
                    let _ = write!(out, ":{}:{}", finding.place.line, finding.place.column);
                }
                let severity = word(finding.severity);
                let _ = write!(out, ": {severity}: {finding}");
                if several && finding.document > 0 {
                    let _ = write!(out, " (document {})", finding.document);
                }
                let _ = writeln!(out, "\n  help: {}", finding.help);
            }
        }
        out
    }

    /// The verdicts, for stdout.
    pub(crate) fn summary(&self) -> String {
        let mut out = String::new();
        let mode = self.mode.word();
        for verdict in &self.verdicts {
            let faults = self.faults(verdict);
            let _ = match faults {
                0 => writeln!(out, "{}: valid for {mode}", verdict.file),
                1 => writeln!(out, "{}: invalid for {mode}, 1 error", verdict.file),
                _ => writeln!(out, "{}: invalid for {mode}, {faults} errors", verdict.file),
            };
        }
        if self.verdicts.len() > 1 {
            let good = self
                .verdicts
                .iter()
                .filter(|verdict| self.faults(verdict) == 0)
                .count();
            let _ = writeln!(out, "{good} of {} files are valid", self.verdicts.len());
        }
        out
    }

    /// Everything, for programs.
    pub(crate) fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "severity": word(finding.severity),
                "document": finding.document,
                "path": finding.path,
                "line": finding.place.line,
                "column": finding.place.column,
                "message": finding.message,
                "help": finding.help,
            })
        };
        let verdict = |verdict: &Verdict| {
            json!({
                "file": verdict.file,
                "valid": self.faults(verdict) == 0,
                "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
            })
        };
        json!({
            "mode": self.mode.word(),
            "strict": self.strict,
            "valid": self.is_good(),
            "files": self.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        })
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
