//! How the stages of all adapters become one pipeline. Pure.
//!
//! Five rules order them: stages of one adapter and one kind follow each other; all `pre_work` comes before all `post_work` and that
//! before all `validation`; a stage with a barrier waits for every stage that reaches it; a stage waits for what it `needs`; and one that
//! destroys waits for the `pre_work` of the adapters whose capabilities its own requires.
//! The order that follows is written out in `needs`, without what other needs imply, so that a reader (and a run) need not know the rules.

use std::collections::{BTreeMap, BTreeSet};

use ztc_protocol::Manifest;
use ztc_protocol::stage::{Script, Stage, StageKind};

use crate::error::{Failure, Finding, did_you_mean};
use crate::pipeline::entries::entry;
use crate::pipeline::file::{Pipeline, StageEntry};
use crate::pipeline::names;
use crate::pipeline::order::{Order, Reason};

/// What one adapter contributes.
#[derive(Clone, Debug, Default)]
pub struct AdapterStages {
    /// The adapter's key in `platform.yaml`.
    pub section: String,
    /// What it declares.
    pub manifest: Manifest,
    /// Its stages, in its order.
    pub stages: Vec<Stage>,
    /// The scripts that they run.
    pub scripts: Vec<Script>,
    /// Its variables of the pipeline's environment.
    pub env_vars: BTreeMap<String, String>,
}

/// Makes the pipeline from what the adapters contribute, given in render order. `mode` is left empty: the caller knows the environment.
pub fn compose(adapters: &[AdapterStages]) -> Result<Pipeline, Failure> {
    let mut findings = names::check(adapters);
    let env = environment(adapters, &mut findings);
    let stages: Vec<(&AdapterStages, &Stage)> = adapters
        .iter()
        .flat_map(|adapter| adapter.stages.iter().map(move |stage| (adapter, stage)))
        .collect();
    duplicates(&stages, &mut findings);
    let mut entries: Vec<StageEntry> = stages
        .iter()
        .filter_map(|(adapter, stage)| entry(adapter, stage, &mut findings))
        .collect();
    let order = order(&stages, &mut findings);
    if !findings.is_empty() {
        return Err(refused(findings));
    }
    let sorted =
        written_order(order, &stages, &mut entries).map_err(|finding| refused(vec![finding]))?;
    Ok(Pipeline {
        mode: String::new(),
        total_steps: sorted.len(),
        env,
        max_parallel: adapters
            .iter()
            .filter_map(|adapter| Some((adapter.section.clone(), adapter.manifest.max_parallel?)))
            .collect(),
        stages: sorted,
    })
}

fn refused(findings: Vec<Finding>) -> Failure {
    Failure::findings("the adapters' stages do not make a pipeline", findings).help(
        "this is a mistake in an adapter, not in platform.yaml: report it to the adapter's authors",
    )
}

/// Merges the variables of all adapters.
fn environment(
    adapters: &[AdapterStages],
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
    for adapter in adapters {
        for (name, value) in &adapter.env_vars {
            match env.get(name) {
                Some(known) if known != value => findings.push(Finding::error(format!(
                    "adapters `{}` and `{}` set the variable `{name}` to different values: `{known}` and `{value}`",
                    owner[name.as_str()],
                    adapter.section
                ))),
                _ => {
                    owner.entry(name).or_insert(&adapter.section);
                    env.insert(name.clone(), value.clone());
                }
            }
        }
    }
    env
}

/// Finds stages with one name and stages with one cache key: the success of one would be taken for that of the other.
fn duplicates(stages: &[(&AdapterStages, &Stage)], findings: &mut Vec<Finding>) {
    let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
    let mut by_key: BTreeMap<&str, &str> = BTreeMap::new();
    for (adapter, stage) in stages {
        if let Some(first) = by_name.insert(&stage.name, &adapter.section) {
            let who = if first == adapter.section {
                format!("adapter `{first}` has two stages")
            } else {
                format!(
                    "adapters `{first}` and `{}` both have a stage",
                    adapter.section
                )
            };
            findings.push(Finding::error(format!("{who} `{}`", stage.name)));
            continue;
        }
        if let Some(first) = stage
            .cache_key
            .as_deref()
            .and_then(|key| by_key.insert(key, &stage.name))
        {
            let key = stage.cache_key.as_deref().unwrap_or_default();
            findings.push(Finding::error(format!(
                "stages `{first}` and `{}` have the same cache key `{key}`",
                stage.name
            )));
        }
    }
}

/// Applies the five rules.
fn order(stages: &[(&AdapterStages, &Stage)], findings: &mut Vec<Finding>) -> Order {
    let mut order = Order::new(stages.len());
    let mut last: BTreeMap<(&str, StageKind), usize> = BTreeMap::new();
    for (index, (adapter, stage)) in stages.iter().enumerate() {
        if let Some(previous) = last.insert((&adapter.section, stage.kind), index) {
            order.wait(index, previous, Reason::Chain);
        }
        for (other, _) in stages
            .iter()
            .enumerate()
            .filter(|(_, (_, other))| other.kind < stage.kind)
        {
            order.wait(index, other, Reason::Kind);
        }
        barrier(index, stages, &mut order, findings);
        needs(index, stages, &mut order, findings);
    }
    providers(stages, &mut order);
    order
}

/// Nothing is destroyed beside what prepares for it: who provides machines may have a key to put in place, or to see that they are the
/// right ones, and says so by no barrier. What comes after the destruction by the other rules stays there.
fn providers(stages: &[(&AdapterStages, &Stage)], order: &mut Order) {
    let destroys = |(adapter, stage): &(&AdapterStages, &Stage)| {
        let named = stage.script.rsplit("://").next();
        let mut scripts = adapter.scripts.iter();
        scripts.any(|script| script.destructive && Some(script.name.as_str()) == named)
    };
    let provides = |provider: &AdapterStages, adapter: &AdapterStages| {
        let provided = provider.manifest.provides.iter();
        let required = &adapter.manifest.requires;
        provider.section != adapter.section
            && provided
                .map(|provision| &provision.capability)
                .any(|name| required.iter().any(|it| it.capability == *name))
    };
    let all = || stages.iter().enumerate();
    for (index, (adapter, _)) in all().filter(|(_, stage)| destroys(stage)) {
        let before = order.before();
        let preparing = all().filter(|(other, (provider, stage))| {
            stage.kind == StageKind::PreWork
                && provides(provider, adapter)
                && !before[*other].contains(&index)
        });
        for (other, _) in preparing {
            order.wait(index, other, Reason::Provider);
        }
    }
}

fn barrier(
    index: usize,
    stages: &[(&AdapterStages, &Stage)],
    order: &mut Order,
    findings: &mut Vec<Finding>,
) {
    let (adapter, stage) = stages[index];
    let Some(barrier) = &stage.barrier else {
        return;
    };
    let mut reachers = stages
        .iter()
        .enumerate()
        .filter(|(_, (_, other))| other.reaches.contains(barrier))
        .peekable();
    if reachers.peek().is_none() {
        let mut reached: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (_, other) in stages {
            for name in &other.reaches {
                reached.entry(name).or_default().push(&other.name);
            }
        }
        let mut finding = Finding::error(format!(
            "stage `{}` of adapter `{}` waits for the barrier `{barrier}`, which no stage reaches",
            stage.name, adapter.section
        ));
        finding.help = did_you_mean(barrier, reached.keys().copied()).or_else(|| {
            let words: Vec<String> = reached
                .iter()
                .map(|(name, by)| format!("`{name}` (by {})", by.join(", ")))
                .collect();
            (!words.is_empty())
                .then(|| format!("the barriers that stages reach: {}", words.join(", ")))
        });
        findings.push(finding);
    }
    for (reacher, _) in reachers {
        order.wait(index, reacher, Reason::Barrier(barrier.clone()));
    }
}

fn needs(
    index: usize,
    stages: &[(&AdapterStages, &Stage)],
    order: &mut Order,
    findings: &mut Vec<Finding>,
) {
    let (adapter, stage) = stages[index];
    for need in &stage.needs {
        match stages.iter().position(|(_, other)| other.name == *need) {
            Some(other) => order.wait(index, other, Reason::Need),
            None => {
                let mut finding = Finding::error(format!(
                    "stage `{}` of adapter `{}` needs the unknown stage `{need}`",
                    stage.name, adapter.section
                ));
                finding.help =
                    did_you_mean(need, stages.iter().map(|(_, other)| other.name.as_str()));
                findings.push(finding);
            }
        }
    }
}

/// Sorts the entries and writes their needs. The error is a circle.
fn written_order(
    mut order: Order,
    stages: &[(&AdapterStages, &Stage)],
    entries: &mut [StageEntry],
) -> Result<Vec<StageEntry>, Finding> {
    let sorted = order
        .sorted(|index| (stages[index].1.kind, index))
        .map_err(|circle| {
            let name = |index: usize| format!("`{}`", stages[index].1.name);
            let steps: Vec<String> = circle
                .iter()
                .map(|(from, to, reason)| {
                    format!("{} waits for {} ({reason})", name(*from), name(*to))
                })
                .collect();
            let path: Vec<String> = circle
                .iter()
                .map(|(from, ..)| *from)
                .chain(circle.first().map(|(from, ..)| *from))
                .map(name)
                .collect();
            Finding::error(format!(
                "stages wait for each other in a circle, {}: {}",
                path.join(" → "),
                steps.join(", ")
            ))
        })?;
    order.reduce();
    Ok(sorted
        .iter()
        .map(|index| {
            let before: BTreeSet<usize> = order.needs(*index).collect();
            let needs = sorted
                .iter()
                .filter(|other| before.contains(other))
                .map(|other| stages[*other].1.name.clone())
                .collect();
            StageEntry {
                needs,
                ..std::mem::take(&mut entries[*index])
            }
        })
        .collect())
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
