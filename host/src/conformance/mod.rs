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

use crate::adapter::grant::{Grant, Granted};
use crate::adapter::record::Recorder;
use crate::adapter::{Candidate, Source};
use crate::error::{Failure, did_you_mean};
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
    /// The variables that the adapter may see where it declares them.
    pub(crate) environment: Vec<String>,
}

/// What all checks work with.
struct Kit {
    candidate: Candidate,
    /// Whether the name of the candidate is the one that the adapter must have; else it comes from a file's name.
    named: bool,
    given: Given,
    ledger: Ledger,
    report: Report,
    /// The operator's variables that the adapter declares and is granted.
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
        kit.variables = granted(&kit, &manifest)?;
        checks::behavior::run(&mut kit, &manifest).await?;
        checks::rendering::run(&mut kit, &manifest).await?;
    }
    checks::finish(&mut kit);
    Ok(kit.report)
}

/// The operator's variables that an adapter declares and is granted, as a real start would hand them over.
fn granted(kit: &Kit, manifest: &Manifest) -> Result<Vec<(String, String)>, Failure> {
    let declared = || manifest.environment.iter().map(|item| item.name.as_str());
    let names = &kit.given.environment;
    if let Some(name) = names.iter().find(|name| !declared().any(|it| it == *name)) {
        let message = format!(
            "`--env {name}`: adapter `{}` does not declare this variable",
            manifest.name
        );
        let help = did_you_mean(name, declared());
        return Err(Failure::invalid(message).help(help.unwrap_or_else(|| {
            "an adapter declares it in `environment` of its manifest".to_owned()
        })));
    }
    let granted = match kit.candidate.source {
        Source::BuiltIn => Granted::Everything,
        _ => Granted::These(names),
    };
    Ok(Grant::of(manifest, granted).variables)
}
