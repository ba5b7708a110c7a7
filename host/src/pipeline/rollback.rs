//! What undoes the stages behind another one: a pipeline of their rollback scripts in the reverse order, and the plan of it. Pure.

use std::collections::BTreeMap;

use crate::error::Failure;
use crate::pipeline::cache::{Cache, Entry};
use crate::pipeline::file::{Pipeline, StageEntry};
use crate::pipeline::plan::Plan;
use crate::pipeline::tasks::{self, Tasks};
use crate::pipeline::why::{Unfinished, Why};

/// A rollback.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollback {
    /// The stages that are undone, the last first. They have the names of the stages that they undo.
    pub pipeline: Pipeline,
    /// The stages behind the one that stays, as far as nothing undoes them.
    pub without: Vec<String>,
}

/// Makes the pipeline that undoes everything behind a stage: behind it in the order of the pipeline, whether or not it waits for it.
pub fn rollback(pipeline: &Pipeline, to: &str) -> Result<Rollback, Failure> {
    let stays = tasks::stage(pipeline, to)?;
    let before = tasks::order(pipeline)?.before();
    let behind: Vec<usize> = (stays + 1..pipeline.stages.len()).rev().collect();
    let undone: Vec<(usize, StageEntry)> = behind
        .iter()
        .filter_map(|stage| Some((*stage, pipeline.stages[*stage].undo()?)))
        .collect();
    let names: BTreeMap<usize, String> = undone
        .iter()
        .map(|(stage, entry)| (*stage, entry.name.clone()))
        .collect();
    let stages: Vec<StageEntry> = undone
        .into_iter()
        .map(|(stage, entry)| {
            // What waited for it is undone first.
            let needs = names
                .iter()
                .rev()
                .filter(|(other, _)| before[**other].contains(&stage))
                .map(|(_, name)| name.clone())
                .collect();
            StageEntry { needs, ..entry }
        })
        .collect();
    Ok(Rollback {
        without: behind
            .iter()
            .filter(|stage| !names.contains_key(stage))
            .map(|stage| pipeline.stages[*stage].name.clone())
            .collect(),
        pipeline: Pipeline {
            total_steps: stages.len(),
            stages,
            ..pipeline.clone()
        },
    })
}

/// Makes the plan: what ran is undone, in whatever way it ended; what was undone stays so.
pub fn plan(pipeline: &Pipeline, tasks: &Tasks, cache: &Cache, to: &str) -> Plan {
    let why = tasks.list.iter().map(|task| {
        let entry = task.entry(pipeline);
        if entry.for_each.is_some() && task.item.is_none() {
            return Why::NoItems;
        }
        let key = entry.cache_key.as_deref().unwrap_or_default();
        match cache.entry(key, task.item_key(pipeline)) {
            None
            | Some(Entry::Unfinished {
                how: Unfinished::Undone | Unfinished::Forgotten,
                ..
            }) => Why::NothingToUndo,
            Some(Entry::Succeeded { .. } | Entry::Unfinished { .. }) => {
                Why::RollsBack { to: to.to_owned() }
            }
        }
    });
    Plan { why: why.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::file::Undo;
    use crate::pipeline::testing::{items, pipeline, stage};

    #[test]
    fn what_came_last_is_undone_first_and_each_machine_goes_its_own_way() {
        let undoable = |name: &str, needs: &[&str]| StageEntry {
            rollback: Some(Undo {
                script: format!("demo://un-{name}.sh"),
                timeout: 5,
                ..Undo::default()
            }),
            ..stage(name, needs)
        };
        let each = |entry: StageEntry| StageEntry {
            for_each: items(&["a", "b"]),
            ..entry
        };
        let pipeline = pipeline(vec![
            undoable("base", &[]),
            each(undoable("install", &["base"])),
            each(stage("wait", &["install"])),
            each(undoable("apply", &["wait"])),
            undoable("join", &["apply"]),
        ]);
        let rollback = rollback(&pipeline, "base").unwrap();
        let stages: Vec<String> = rollback
            .pipeline
            .stages
            .iter()
            .map(|entry| format!("{} by {} after {:?}", entry.name, entry.script, entry.needs))
            .collect();
        assert_eq!(
            stages,
            [
                "join by demo://un-join.sh after []",
                "apply by demo://un-apply.sh after [\"join\"]",
                "install by demo://un-install.sh after [\"join\", \"apply\"]",
            ]
        );
        assert_eq!(rollback.without, ["wait"]);
        let tasks = Tasks::of(&rollback.pipeline).unwrap();
        let last = tasks.list.last().unwrap();
        let before: Vec<&str> = tasks
            .before(tasks.list.len() - 1)
            .map(|task| tasks.list[task].name.as_str())
            .collect();
        assert_eq!(
            (last.name.as_str(), before),
            ("install[b]", vec!["apply[b]", "join"])
        );
        assert_eq!(
            super::rollback(&pipeline, "bas").unwrap_err().help.unwrap(),
            "did you mean `base`?"
        );
    }
}
