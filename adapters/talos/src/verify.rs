//! The last look at every machine configuration before it is handed over: the validator's verdict, and which input or patch is to blame.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::message::{Diagnostic, Severity};

use crate::cluster::{Cluster, Machine, server};
use crate::config::Patch;
use crate::machine::{self, Finding, KUBERNETES, Mode, Options};
use crate::merge::is_further;
use crate::patch;
use crate::promises;
use crate::yaml::scalar;

/// Checks the configurations of one cluster. What differs from a good one in its names only is good as well, so that a large cluster is
/// judged quickly.
pub(crate) struct Verifier<'a> {
    cluster: &'a Cluster,
    good: RefCell<HashSet<[u8; 32]>>,
    /// Only for the release whose rules are known; the inputs' own check knows the others.
    knows_kubernetes: bool,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            good: RefCell::default(),
            knows_kubernetes: cluster.config.version.starts_with("v1.11."),
        }
    }

    /// Checks a configuration. `with` makes it again with the first few of its patches only; each patch comes with its index in the inputs.
    pub(crate) fn verify(
        &self,
        machine: &Machine,
        made: &str,
        patches: &[(usize, &Patch)],
        with: impl Fn(usize) -> Result<String, AdapterError>,
    ) -> Result<(), AdapterError> {
        let server = server(&self.cluster.infrastructure, &machine.ip);
        let platform = server.map_or("", |(_, server)| server.platform.as_str());
        let digest = digest(machine, platform, made);
        if self.good.borrow().contains(&digest) {
            return Ok(());
        }
        let options = Options {
            mode: if ["", "metal"].contains(&platform) {
                Mode::Metal
            } else {
                Mode::Cloud
            },
            kubernetes: self.knows_kubernetes.then_some(KUBERNETES),
        };
        let check = |text: &str| -> Vec<Finding> {
            let mut findings = machine::check(text.as_bytes(), &options);
            findings.retain(Finding::is_error);
            if !patches.is_empty() {
                findings.extend(promises::check(self.cluster, machine, text));
            }
            findings
        };
        let findings = check(made);
        if findings.is_empty() {
            self.good.borrow_mut().insert(digest);
            return Ok(());
        }
        let mut steps = Vec::new();
        for count in 0..patches.len() {
            steps.push(check(&with(count)?));
        }
        let diagnostics: Vec<Diagnostic> = findings
            .iter()
            .map(|finding| {
                // The first patch after which the finding is there.
                let known = |findings: &Vec<Finding>| {
                    findings
                        .iter()
                        .any(|one| one.path == finding.path && one.message == finding.message)
                };
                let without = steps.iter().rposition(|findings| !known(findings));
                diagnostic(
                    finding,
                    without.and_then(|step| patches.get(step)),
                    &machine.name,
                )
            })
            .collect();
        let first = diagnostics.first().map_or("", |one| one.message.as_str());
        let message = format!(
            "the configuration of `{}` is not one that works: {first}",
            machine.name
        );
        Err(AdapterError::new(ErrorCode::InvalidInputs, message).diagnostics(diagnostics))
    }
}

fn diagnostic(finding: &Finding, cause: Option<&(usize, &Patch)>, node: &str) -> Diagnostic {
    let message = format!("on `{node}`, {finding}");
    let (pointer, message) = match cause {
        Some((index, patch)) => blame(finding, *index, patch, message),
        None => (String::new(), message),
    };
    Diagnostic {
        pointer,
        severity: Severity::Error,
        message,
        help: Some(finding.help.clone()),
    }
}

/// Finds the place in a patch that a finding comes from.
fn blame(finding: &Finding, index: usize, patch: &Patch, message: String) -> (String, String) {
    let documents = patch::documents(patch, index).unwrap_or_default();
    let places = documents.iter().filter_map(|document| {
        let is_main = finding.document == 1;
        let content = Value::Object(document.content.clone());
        let inside = machine::in_patch(&finding.path, &content)?;
        (is_main != is_further(&document.content)).then_some((document, inside))
    });
    match places.max_by_key(|(_, inside)| inside.len()) {
        Some((document, inside)) => (document.at(&inside), document.say(&inside, &message)),
        None => (format!("/patches/{index}"), message),
    }
}

/// The digest of a configuration without what names its machine.
fn digest(machine: &Machine, platform: &str, made: &str) -> [u8; 32] {
    let mut rest = made;
    let mut hash = Sha256::new();
    hash.update(platform);
    let own = [
        format!(" hostname: {}\n", scalar(&machine.name)),
        format!(" provider-id: {}\n", scalar(&machine.provider_id)),
    ];
    for line in &own {
        if let Some((before, after)) = rest.split_once(line.as_str()) {
            hash.update(before);
            hash.update([0]);
            rest = after;
        }
    }
    hash.update(rest);
    hash.finalize().into()
}
