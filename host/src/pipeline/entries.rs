//! One stage of an adapter in the form of the pipeline file. Pure.

use ztc_protocol::manifest::Tool;
use ztc_protocol::stage::{Script, Stage};

use crate::error::{Finding, did_you_mean};
use crate::pipeline::compose::AdapterStages;
use crate::pipeline::file::{Kind, SecretEntry, StageEntry, Undo};

/// How long a stage of the kind `health` may take unless it says otherwise, in seconds.
const HEALTH_LIMIT: u32 = 300;

/// How long a stage of the kind `manual` may take unless it says otherwise: a day, in seconds.
const MANUAL_LIMIT: u32 = 24 * 60 * 60;

/// Makes the file's form of a stage, without `needs`. What is wrong with it goes to the findings.
pub(crate) fn entry(
    adapter: &AdapterStages,
    stage: &Stage,
    findings: &mut Vec<Finding>,
) -> Option<StageEntry> {
    let entry = match kind(stage) {
        Kind::Script => {
            let script = find(adapter, stage, &stage.script, "runs", findings)?;
            by_script(adapter, stage, script)
        }
        kind => without_script(adapter, stage, kind),
    };
    let rollback = match &stage.rollback {
        Some(name) => Some(undo(
            adapter,
            find(adapter, stage, name, "is undone by", findings)?,
        )),
        None => None,
    };
    Some(StageEntry { rollback, ..entry })
}

fn kind(stage: &Stage) -> Kind {
    match (&stage.health, &stage.manual) {
        (Some(_), _) => Kind::Health,
        (None, Some(_)) => Kind::Manual,
        (None, None) => Kind::Script,
    }
}

/// What does not depend on the kind.
fn common(adapter: &AdapterStages, stage: &Stage) -> StageEntry {
    StageEntry {
        name: stage.name.clone(),
        description: stage.description.clone(),
        adapter: adapter.section.clone(),
        cache_key: stage.cache_key.clone(),
        required: stage.required,
        after_failure: stage.after_failure,
        phase: stage.kind,
        args: stage.args.clone(),
        skip_if_empty: stage.skip_if_empty.clone(),
        barrier: stage.barrier.clone(),
        reaches: stage.reaches.clone(),
        for_each: stage.for_each.clone(),
        retry: stage.retry.clone(),
        environment: adapter
            .manifest
            .environment
            .iter()
            .map(|variable| variable.name.clone())
            .collect(),
        ..StageEntry::default()
    }
}

fn by_script(adapter: &AdapterStages, stage: &Stage, script: &Script) -> StageEntry {
    let Undo {
        script: name,
        context_file,
        timeout,
        secrets,
        tools,
        files,
        destructive,
        ..
    } = undo(adapter, script);
    StageEntry {
        script: name,
        context_file,
        timeout: stage.timeout_seconds.unwrap_or(timeout),
        secrets,
        tools,
        files,
        destructive,
        ..common(adapter, stage)
    }
}

fn without_script(adapter: &AdapterStages, stage: &Stage, kind: Kind) -> StageEntry {
    let limit = match kind {
        Kind::Manual => MANUAL_LIMIT,
        Kind::Health | Kind::Script => HEALTH_LIMIT,
    };
    let program = stage
        .health
        .as_ref()
        .and_then(|health| health.command.as_ref()?.first());
    let tool = program
        .filter(|program| !program.contains(['/', '$']))
        .map(|program| Tool {
            name: program.clone(),
            ..Tool::default()
        });
    StageEntry {
        kind,
        health: stage.health.clone(),
        manual: stage.manual.clone(),
        timeout: stage.timeout_seconds.unwrap_or(limit),
        tools: tool.into_iter().collect(),
        ..common(adapter, stage)
    }
}

/// What a run must know of a script, whether it does something or undoes it.
fn undo(adapter: &AdapterStages, script: &Script) -> Undo {
    let section = &adapter.section;
    Undo {
        script: format!("{section}://{}", script.name),
        description: script.description.clone(),
        context_file: (!script.context_data.is_empty())
            .then(|| context_file(section, &script.name)),
        timeout: script.timeout_seconds,
        secrets: script
            .secrets
            .iter()
            .map(|secret| SecretEntry {
                variable: secret.variable.clone(),
                input: secret.input.clone(),
            })
            .collect(),
        tools: script.tools.clone(),
        files: script.files.clone(),
        destructive: script.destructive,
    }
}

/// The script's context data as a path below `debug/scripts/`. Only a script that has context data has the file.
pub fn context_file(section: &str, script: &str) -> String {
    format!("{section}/{script}.context.json")
}

fn find<'a>(
    adapter: &'a AdapterStages,
    stage: &Stage,
    named: &str,
    how: &str,
    findings: &mut Vec<Finding>,
) -> Option<&'a Script> {
    let prefix = format!("{}://", adapter.manifest.name);
    let found = named
        .strip_prefix(&prefix)
        .and_then(|name| adapter.scripts.iter().find(|script| script.name == name));
    if found.is_none() {
        let names = adapter.scripts.iter().map(|script| script.name.as_str());
        let name = named.rsplit("://").next().unwrap_or_default();
        let mut finding = Finding::error(format!(
            "stage `{}` of adapter `{}` {how} the unknown script `{named}`",
            stage.name, adapter.section
        ));
        finding.help = did_you_mean(name, names).or_else(|| {
            Some(format!(
                "the adapter's `scripts` must hold it, and the stage call it `{}://<name>`",
                adapter.manifest.name
            ))
        });
        findings.push(finding);
    }
    found
}
