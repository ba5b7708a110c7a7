//! Names that adapters choose and that become file names, variables and keys: what they may look like. Pure.

use std::collections::BTreeSet;

use ztc_protocol::stage::{ForEach, Script, Stage};

use crate::error::Finding;
use crate::pipeline::compose::AdapterStages;
use crate::pipeline::gates;

/// Variables that no adapter may set: ztc sets them, or they change what a shell does before its script runs.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SHELL",
    "TERM",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS4",
    "CDPATH",
    "GLOBIGNORE",
    "PROMPT_COMMAND",
];

/// Returns what is wrong with the names in what adapters contribute.
pub(crate) fn check(adapters: &[AdapterStages]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for adapter in adapters {
        let mut names = Names {
            section: &adapter.section,
            findings: &mut findings,
        };
        if adapter.manifest.max_parallel == Some(0) {
            names.wrong(
                "its manifest's `max_parallel` is 0, so none of its stages could run".to_owned(),
            );
        }
        for name in adapter.env_vars.keys() {
            names.variable("the pipeline's environment", name);
        }
        let mut seen = BTreeSet::new();
        for script in &adapter.scripts {
            names.script(script);
            if !seen.insert(&script.name) {
                names.wrong(format!("there are two scripts `{}`", script.name));
            }
        }
        for stage in &adapter.stages {
            names.stage(stage);
        }
    }
    findings
}

struct Names<'a> {
    section: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Names<'_> {
    fn wrong(&mut self, what: String) {
        self.findings.push(Finding::error(format!(
            "adapter `{}`: {what}",
            self.section
        )));
    }

    fn script(&mut self, script: &Script) {
        if !is_file_name(&script.name) {
            self.wrong(format!(
                "`{}` cannot be the name of a script: use letters, digits, `.`, `_` and `-`",
                script.name
            ));
        }
        let whose = format!("script `{}`", script.name);
        script
            .secrets
            .iter()
            .for_each(|secret| self.variable(&whose, &secret.variable));
        script.files.keys().for_each(|name| self.file(&whose, name));
        if script.timeout_seconds == 0 {
            self.wrong(format!("{whose} has a time limit of 0 seconds"));
        }
    }

    fn stage(&mut self, stage: &Stage) {
        let whose = format!("stage `{}`", stage.name);
        if !is_word(&stage.name) {
            self.wrong(format!(
                "`{}` cannot be the name of a stage: use lower-case letters, digits and `_`",
                stage.name
            ));
        }
        for barrier in stage
            .barrier
            .iter()
            .chain(&stage.reaches)
            .filter(|name| !is_word(name))
        {
            self.wrong(format!("{whose}: `{barrier}` cannot be the name of a barrier: use lower-case letters, digits and `_`"));
        }
        if let Some(key) = stage
            .cache_key
            .as_ref()
            .filter(|key| key.is_empty() || key.contains(char::is_control))
        {
            self.wrong(format!(
                "{whose}: `{}` cannot be a cache key",
                key.escape_debug()
            ));
        }
        if stage
            .retry
            .as_ref()
            .is_some_and(|retry| retry.max_attempts == 0)
        {
            self.wrong(format!(
                "{whose}: `retry` allows 0 attempts, and the first counts"
            ));
        }
        if let Some(factor) = stage
            .retry
            .as_ref()
            .map(|retry| retry.backoff_factor)
            .filter(|factor| !(factor.is_finite() && *factor >= 1.0))
        {
            self.wrong(format!(
                "{whose}: `retry.backoff_factor` is {factor}, and must be at least 1"
            ));
        }
        if stage.timeout_seconds == Some(0) {
            self.wrong(format!("{whose} has a time limit of 0 seconds"));
        }
        if stage.rollback.is_some() && stage.cache_key.is_none() {
            self.wrong(format!(
                "{whose} has a `rollback` and no `cache_key`, so nobody would know whether it is to be undone"
            ));
        }
        gates::check(stage)
            .into_iter()
            .for_each(|what| self.wrong(format!("{whose}: {what}")));
        if let Some(for_each) = &stage.for_each {
            self.items(&whose, for_each);
        }
    }

    fn items(&mut self, whose: &str, for_each: &ForEach) {
        let (mut keys, mut titles) = (BTreeSet::new(), BTreeSet::new());
        for item in &for_each.items {
            if item.key.is_empty() || item.key.contains(char::is_control) {
                self.wrong(format!(
                    "{whose}: `{}` cannot be the key of an item",
                    item.key.escape_debug()
                ));
            }
            if !is_file_name(&item.name) {
                let name = item.name.escape_debug();
                self.wrong(format!("{whose}: `{name}` cannot be the name of an item: use letters, digits, `.`, `_` and `-`"));
            }
            if !keys.insert(&item.key) {
                self.wrong(format!("{whose}: two items have the key `{}`", item.key));
            }
            if !titles.insert(&item.name) {
                self.wrong(format!("{whose}: two items have the name `{}`", item.name));
            }
            item.files.keys().for_each(|name| self.file(whose, name));
        }
    }

    fn variable(&mut self, whose: &str, name: &str) {
        if !is_variable(name) {
            self.wrong(format!(
                "{whose}: `{}` cannot be the name of a variable",
                name.escape_debug()
            ));
        } else if RESERVED.contains(&name)
            || ["ZTC_", "CTX_", "LD_", "DYLD_", "LC_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        {
            self.wrong(format!(
                "{whose}: the variable `{name}` is not the adapter's to set"
            ));
        }
    }

    fn file(&mut self, whose: &str, name: &str) {
        if !is_file_name(name) {
            self.wrong(format!(
                "{whose}: `{}` cannot be the name of a file in `$ZTC_FILES_DIR`",
                name.escape_debug()
            ));
        }
    }
}

/// Lower-case letters, digits and underscores, a letter first.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Safe as the name of a file: never hidden, never a path.
fn is_file_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
