//! The conformance kit: whether an adapter, in whatever language it is written, keeps protocol 1.0.
//!
//! It speaks with the adapter line by line, without the host's own connection: that one forgives much that the kit must see. What was rendered
//! is checked by the very code that checks it in a real render. Nothing is written to the repository, and no stage is run.
//!
//! ```text
//! checks ─► session (one process, raw lines) ─► ledger (what was against the rules) ─► report (people, JSON, JUnit)
//! ```

mod canary;
mod checks;
mod config;
mod ledger;
mod report;
mod sample;
mod session;
mod wire;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use ztc_protocol::Manifest;

use crate::adapter::Candidate;
use crate::adapter::record::Recorder;
use crate::error::Failure;
use ledger::Ledger;

pub(crate) use report::{Counts, Report, Verdict};

/// What the operator gives to the kit.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The adapter's section of a platform.yaml.
    pub(crate) config: Option<Map<String, Value>>,
    /// What `discover` would find.
    pub(crate) facts: Option<BTreeMap<String, Value>>,
    /// Data of capabilities that the adapter requires, instead of the kit's samples.
    pub(crate) capabilities: BTreeMap<String, Value>,
}

/// What all checks work with.
struct Kit {
    candidate: Candidate,
    /// Whether the name of the candidate is the one that the adapter must have; else it comes from a file's name.
    named: bool,
    given: Given,
    ledger: Ledger,
    report: Report,
    /// The operator's variables that the adapter declares.
    variables: Vec<(String, String)>,
}

/// Runs all checks. An adapter that fails them is a report, not an error.
pub(crate) async fn run(
    candidate: Candidate,
    named: bool,
    given: Given,
    recorder: Option<Recorder>,
) -> Result<Report, Failure> {
    let mut kit = Kit {
        report: Report::new(&candidate),
        ledger: Ledger::new(recorder, &candidate.name),
        candidate,
        named,
        given,
        variables: Vec::new(),
    };
    if let Some(manifest) = checks::handshake::run(&mut kit).await? {
        kit.report.introduced(&manifest);
        kit.variables = granted(&manifest);
        checks::behavior::run(&mut kit, &manifest).await?;
        checks::rendering::run(&mut kit, &manifest).await?;
    }
    checks::finish(&mut kit);
    Ok(kit.report)
}

/// The operator's variables that an adapter declares, as a real start would hand them over.
fn granted(manifest: &Manifest) -> Vec<(String, String)> {
    let declared = manifest.environment.iter();
    declared
        .filter_map(|variable| Some((variable.name.clone(), std::env::var(&variable.name).ok()?)))
        .collect()
}
