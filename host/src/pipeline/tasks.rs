//! The tasks of a pipeline: every stage once, or once for each of its items; and which task waits for which. Pure.
//!
//! A task waits, for every stage before its own, for that stage's task with the same item key; where there is none, for all tasks of that
//! stage. So each machine goes its own way through stages that run for machines, and a stage without items joins all ways.

use std::collections::BTreeMap;

use ztc_protocol::stage::Item;

use crate::error::{Failure, did_you_mean};
use crate::pipeline::file::{Kind, Pipeline, StageEntry};
use crate::pipeline::order::{Order, Reason};

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// `install_talos[cp01]`, or the stage's name where it has no items.
    pub name: String,
    /// The stage's position in the pipeline.
    pub stage: usize,
    /// The item's position in the stage.
    pub item: Option<usize>,
    /// The tasks that it waits for, one by one.
    pub needs: Vec<usize>,
    /// The stages that it waits for as a whole.
    pub needs_all_of: Vec<usize>,
}

/// All tasks, in the order of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// The tasks.
    pub list: Vec<Task>,
    /// The tasks of each stage.
    pub of_stage: Vec<Vec<usize>>,
}

impl Task {
    /// The entry of its stage.
    pub fn entry<'a>(&self, pipeline: &'a Pipeline) -> &'a StageEntry {
        &pipeline.stages[self.stage]
    }

    /// The item it runs for.
    pub fn item<'a>(&self, pipeline: &'a Pipeline) -> Option<&'a Item> {
        self.entry(pipeline)
            .for_each
            .as_ref()?
            .items
            .get(self.item?)
    }

    /// What identifies its item; empty without one.
    pub fn item_key<'a>(&self, pipeline: &'a Pipeline) -> &'a str {
        self.item(pipeline).map_or("", |item| item.key.as_str())
    }

    /// The name as a file name.
    pub fn file_name(&self) -> String {
        self.name.replace('[', ".").replace(']', "")
    }
}

impl Tasks {
    /// Makes the tasks of a pipeline. A stage without any item has one task, so that there is something to show.
    pub fn of(pipeline: &Pipeline) -> Result<Self, Failure> {
        pipeline.stages.iter().try_for_each(kind_matches)?;
        let before = order(pipeline)?.before();
        let mut tasks = Self {
            list: Vec::new(),
            of_stage: vec![Vec::new(); pipeline.stages.len()],
        };
        for (stage, entry) in pipeline.stages.iter().enumerate() {
            let items = entry
                .for_each
                .as_ref()
                .map_or(&[][..], |for_each| &for_each.items);
            for item in items
                .iter()
                .enumerate()
                .map(Some)
                .chain(items.is_empty().then_some(None))
            {
                let name = item.map_or_else(
                    || entry.name.clone(),
                    |(_, item)| format!("{}[{}]", entry.name, item.name),
                );
                tasks.of_stage[stage].push(tasks.list.len());
                tasks.list.push(Task {
                    name,
                    stage,
                    item: item.map(|(index, _)| index),
                    needs: Vec::new(),
                    needs_all_of: Vec::new(),
                });
            }
        }
        tasks.connect(pipeline, &before);
        Ok(tasks)
    }

    fn connect(&mut self, pipeline: &Pipeline, before: &[std::collections::BTreeSet<usize>]) {
        let by_key: Vec<BTreeMap<&str, usize>> = self
            .of_stage
            .iter()
            .map(|tasks| {
                let keys = tasks
                    .iter()
                    .map(|task| (self.list[*task].item_key(pipeline), *task));
                keys.filter(|(key, _)| !key.is_empty()).collect()
            })
            .collect();
        for task in &mut self.list {
            let key = task.item_key(pipeline);
            for stage in &before[task.stage] {
                match by_key[*stage].get(key) {
                    Some(same) => task.needs.push(*same),
                    None => task.needs_all_of.push(*stage),
                }
            }
        }
    }

    /// Every task before a task, directly.
    pub fn before(&self, task: usize) -> impl Iterator<Item = usize> + '_ {
        let task = &self.list[task];
        task.needs
            .iter()
            .chain(
                task.needs_all_of
                    .iter()
                    .flat_map(|stage| &self.of_stage[*stage]),
            )
            .copied()
    }
}

/// Makes sure that a stage has what its kind needs, and nothing of another kind.
fn kind_matches(entry: &StageEntry) -> Result<(), Failure> {
    let has = (
        !entry.script.is_empty(),
        entry.health.is_some(),
        entry.manual.is_some(),
    );
    let (matches, name) = match entry.kind {
        Kind::Script => (has == (true, false, false), "script"),
        Kind::Health => (has == (false, true, false), "health"),
        Kind::Manual => (has == (false, false, true), "manual"),
    };
    match matches {
        true => Ok(()),
        false => Err(Failure::invalid(format!(
            "stage `{}` is of the kind `{name}` and must have `{name}` and nothing of other kinds",
            entry.name
        ))
        .help("run `ztc render` to make the pipeline again")),
    }
}

/// Reads the order from the entries' `needs`.
pub fn order(pipeline: &Pipeline) -> Result<Order, Failure> {
    let mut order = Order::new(pipeline.stages.len());
    for (index, entry) in pipeline.stages.iter().enumerate() {
        for need in &entry.needs {
            let other = stage(pipeline, need).map_err(|failure| Failure {
                message: format!(
                    "stage `{}` cannot be ordered: {}",
                    entry.name, failure.message
                ),
                ..failure
            })?;
            order.wait(index, other, Reason::Need);
        }
    }
    order.sorted(|stage| stage).map_err(|circle| {
        let names: Vec<String> = circle
            .iter()
            .map(|(from, ..)| format!("`{}`", pipeline.stages[*from].name))
            .collect();
        Failure::invalid(format!(
            "stages of the pipeline wait for each other in a circle: {}",
            names.join(" → ")
        ))
        .help("run `ztc render` to make the pipeline again")
    })?;
    Ok(order)
}

/// Finds a stage by its name.
pub fn stage(pipeline: &Pipeline, name: &str) -> Result<usize, Failure> {
    pipeline
        .stages
        .iter()
        .position(|entry| entry.name == name)
        .ok_or_else(|| {
            let names = || pipeline.stages.iter().map(|entry| entry.name.as_str());
            let known = || {
                format!(
                    "the stages are {}",
                    names()
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            };
            let failure = Failure::invalid(format!("the pipeline has no stage `{name}`"));
            // A whole stage in the place of one of its tasks would do to all machines what was meant for one.
            if let Some((stage, _)) = name.split_once('[') {
                return failure.help(match names().find(|known| *known == stage) {
                    Some(_) => format!(
                        "this takes a whole stage; one task of it is run with `--only '{name}'`"
                    ),
                    None => known(),
                });
            }
            failure.help(did_you_mean(name, names()).unwrap_or_else(known))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{items, pipeline, stage as entry};

    #[test]
    fn machines_go_their_own_way_and_a_stage_without_items_joins_them() {
        let pipeline = pipeline(vec![
            StageEntry {
                for_each: items(&["cp", "w1"]),
                ..entry("rescue", &[])
            },
            StageEntry {
                for_each: items(&["cp", "w1"]),
                ..entry("install", &["rescue"])
            },
            StageEntry {
                for_each: items(&["cp"]),
                ..entry("apply", &["install"])
            },
            entry("bootstrap", &["apply"]),
            StageEntry {
                for_each: items(&["w1"]),
                ..entry("workers", &["bootstrap"])
            },
        ]);
        let tasks = Tasks::of(&pipeline).unwrap();
        let lines: Vec<String> = (0..tasks.list.len())
            .map(|task| {
                let before: Vec<&str> = tasks
                    .before(task)
                    .map(|need| tasks.list[need].name.as_str())
                    .collect();
                format!("{} <- {}", tasks.list[task].name, before.join(" "))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "rescue[cp] <- ",
                "rescue[w1] <- ",
                "install[cp] <- rescue[cp]",
                "install[w1] <- rescue[w1]",
                "apply[cp] <- rescue[cp] install[cp]",
                "bootstrap <- rescue[cp] rescue[w1] install[cp] install[w1] apply[cp]",
                "workers[w1] <- rescue[w1] install[w1] apply[cp] bootstrap",
            ]
        );
    }

    #[test]
    fn a_task_in_the_place_of_a_stage_is_never_answered_with_the_whole_stage() {
        let pipeline = pipeline(vec![entry("rescue", &[]), entry("install", &["rescue"])]);
        let help = |name| stage(&pipeline, name).unwrap_err().help.unwrap();
        assert_eq!(
            help("rescue[cp01]"),
            "this takes a whole stage; one task of it is run with `--only 'rescue[cp01]'`"
        );
        assert_eq!(help("rescu[cp01]"), "the stages are `rescue`, `install`");
    }

    #[test]
    fn a_stage_without_any_item_has_one_task() {
        let pipeline = pipeline(vec![StageEntry {
            for_each: items(&[]),
            ..entry("workers", &[])
        }]);
        assert_eq!(
            Tasks::of(&pipeline)
                .unwrap()
                .list
                .iter()
                .map(|task| task.name.as_str())
                .collect::<Vec<_>>(),
            ["workers"]
        );
    }

    #[test]
    fn a_pipeline_that_was_changed_by_hand_is_refused() {
        let failure = Tasks::of(&pipeline(vec![
            entry("install", &["rescu"]),
            entry("rescue", &[]),
        ]))
        .unwrap_err();
        assert_eq!(
            failure.message,
            "stage `install` cannot be ordered: the pipeline has no stage `rescu`"
        );
        assert_eq!(failure.help.as_deref(), Some("did you mean `rescue`?"));
        let failure =
            Tasks::of(&pipeline(vec![entry("a", &["b"]), entry("b", &["a"])])).unwrap_err();
        assert_eq!(
            failure.message,
            "stages of the pipeline wait for each other in a circle: `a` → `b`"
        );
    }
}
