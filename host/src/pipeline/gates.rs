//! The stages without a script, `health` and `manual`: what they may look like, and what they mean for one task. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use ztc_protocol::health::{Health, HttpProbe};
use ztc_protocol::stage::Stage;

use crate::pipeline::context;
use crate::pipeline::file::StageEntry;

/// What one task does, its variables filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Action {
    /// Runs the script of its stage.
    #[default]
    Script,
    /// Waits until something answers.
    Health(Health),
    /// Asks a person to do this.
    Manual(String),
}

/// Returns what is wrong with the `health` or `manual` of a stage.
pub(crate) fn check(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    let given = [
        ("script", !stage.script.is_empty()),
        ("health", stage.health.is_some()),
        ("manual", stage.manual.is_some()),
    ];
    let given: Vec<&str> = given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| name)
        .collect();
    if let [_, _, ..] = given.as_slice() {
        wrong.push(format!(
            "it has {}, and may have one of them",
            given.join(" and ")
        ));
    }
    if let Some(health) = &stage.health {
        probe(health, &mut wrong);
        numbers(health, &mut wrong);
    }
    if stage
        .manual
        .as_ref()
        .is_some_and(|manual| manual.instructions.trim().is_empty())
    {
        wrong.push("`manual.instructions` are empty: nobody would know what to do".to_owned());
    }
    wrong
}

fn probe(health: &Health, wrong: &mut Vec<String>) {
    let probes = [
        health.http.is_some(),
        health.tcp.is_some(),
        health.command.is_some(),
    ];
    if probes.iter().filter(|given| **given).count() != 1 {
        wrong.push("`health` must have exactly one of `http`, `tcp` and `command`".to_owned());
    }
    if let Some(HttpProbe { url, .. }) = &health.http
        && !["http://", "https://", "$"]
            .iter()
            .any(|start| url.starts_with(start))
    {
        wrong.push(format!(
            "`health.http.url` is `{}`, and must begin with `http://` or `https://`",
            url.escape_debug()
        ));
    }
    if let Some(address) = &health.tcp
        && !address.contains('$')
        && split(address).is_none()
    {
        wrong.push(format!(
            "`health.tcp` is `{}`, and must be `host:port`",
            address.escape_debug()
        ));
    }
    if health.command.as_ref().is_some_and(Vec::is_empty) {
        wrong.push("`health.command` names no program".to_owned());
    }
}

fn numbers(health: &Health, wrong: &mut Vec<String>) {
    let numbers = [
        ("initial_delay_seconds", health.initial_delay_seconds, 0.0),
        ("interval_seconds", health.interval_seconds, 0.01),
        ("backoff_factor", health.backoff_factor, 1.0),
        ("max_interval_seconds", health.max_interval_seconds, 0.01),
        ("probe_timeout_seconds", health.probe_timeout_seconds, 0.01),
    ];
    for (name, number, least) in numbers {
        if !(number.is_finite() && (least..=1e6).contains(&number)) {
            wrong.push(format!(
                "`health.{name}` is {number}, and must be at least {least}"
            ));
        }
    }
    if health.successes == 0 {
        wrong.push("`health.successes` is 0: nothing would be asked".to_owned());
    }
}

/// Returns host and port of an address.
pub(crate) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port.parse().ok()?)).filter(|(host, port)| !host.is_empty() && *port != 0)
}

/// Returns what a task does, with the variables that its texts name: those of the pipeline and those of its context.
pub(crate) fn action(
    entry: &StageEntry,
    context: &Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Action {
    let mut variables = variables.clone();
    variables.extend(context::variables(context));
    let filled = |text: &String| context::filled(text, &variables);
    match (&entry.health, &entry.manual) {
        (Some(health), _) => Action::Health(Health {
            http: health.http.as_ref().map(|http| HttpProbe {
                url: filled(&http.url),
                ca_file: http.ca_file.as_ref().map(filled),
                ..http.clone()
            }),
            tcp: health.tcp.as_ref().map(filled),
            command: health
                .command
                .as_ref()
                .map(|words| words.iter().map(filled).collect()),
            ..health.clone()
        }),
        (None, Some(manual)) => Action::Manual(filled(&manual.instructions)),
        (None, None) => Action::Script,
    }
}

impl Action {
    /// What it is made from besides a script, for its fingerprint. How often and how long something is asked does not count.
    pub(crate) fn parts(&self) -> Map<String, Value> {
        let parts = match self {
            Self::Script => Vec::new(),
            Self::Health(health) => vec![
                ("http", serde_json::to_value(&health.http)),
                ("tcp", serde_json::to_value(&health.tcp)),
                ("command", serde_json::to_value(&health.command)),
            ],
            Self::Manual(instructions) => {
                vec![("instructions", serde_json::to_value(instructions))]
            }
        };
        parts
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.ok()?)))
            .filter(|(_, value)| !value.is_null())
            .collect()
    }

    /// The word for what stands in the place of a script's digest.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Health(_) => "health",
            Self::Manual(_) => "manual",
        }
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
