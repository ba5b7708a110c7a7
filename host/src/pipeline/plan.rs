//! What a run would do: for every task whether it runs, and why. Pure.

use std::collections::BTreeSet;

use crate::error::{Failure, listed};
use crate::pipeline::cache::{Cache, Entry};
use crate::pipeline::file::Pipeline;
use crate::pipeline::fingerprint::Fingerprint;
use crate::pipeline::tasks::{self, Task, Tasks};
use crate::pipeline::why::Why;

/// What the operator asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Run everything.
    pub skip_cache: bool,
    /// Run this stage and everything after it; nothing before it.
    pub from: Option<String>,
    /// Run this stage, or one task of it (`install_talos[cp01]`), and nothing else.
    pub only: Option<String>,
}

/// The plan: a reason for every task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As in [`Tasks::list`].
    pub why: Vec<Why>,
}

impl Plan {
    /// The tasks that run.
    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        self.why
            .iter()
            .enumerate()
            .filter(|(_, why)| why.runs())
            .map(|(task, _)| task)
    }
}

/// Makes the plan. `fingerprints` are those of the tasks.
pub fn plan(
    pipeline: &Pipeline,
    tasks: &Tasks,
    fingerprints: &[&Fingerprint],
    cache: &Cache,
    options: &Options,
) -> Result<Plan, Failure> {
    let mut planner = Planner {
        pipeline,
        tasks,
        fingerprints,
        cache,
        why: vec![Why::NeverRan; tasks.list.len()],
    };
    let asked = Asked::new(pipeline, tasks, options)?;
    let order = tasks::order(pipeline)?;
    let sorted = order.sorted(|stage| stage).unwrap_or_default();
    for task in sorted.into_iter().flat_map(|stage| &tasks.of_stage[stage]) {
        planner.why[*task] = planner
            .nothing_to_do(*task)
            .or_else(|| asked.decide(*task, planner.tasks.list[*task].stage))
            .unwrap_or_else(|| {
                if options.skip_cache {
                    Why::CacheSkipped
                } else {
                    planner.by_cache(*task)
                }
            });
    }
    Ok(Plan { why: planner.why })
}

/// What `--from` and `--only` mean for stages.
struct Asked<'a> {
    options: &'a Options,
    /// The tasks of `--only`.
    only: Option<Vec<usize>>,
    from: Option<usize>,
    before: Vec<BTreeSet<usize>>,
}

impl<'a> Asked<'a> {
    fn new(pipeline: &Pipeline, tasks: &Tasks, options: &'a Options) -> Result<Self, Failure> {
        let from = options.from.as_deref();
        let only = options.only.as_deref();
        Ok(Self {
            options,
            only: only.map(|name| named(pipeline, tasks, name)).transpose()?,
            from: from.map(|name| tasks::stage(pipeline, name)).transpose()?,
            before: tasks::order(pipeline)?.before(),
        })
    }

    fn decide(&self, task: usize, stage: usize) -> Option<Why> {
        if let (Some(only), Some(name)) = (&self.only, &self.options.only) {
            return Some(if only.contains(&task) {
                Why::Only
            } else {
                Why::NotAskedFor { only: name.clone() }
            });
        }
        let (from, name) = (self.from?, self.options.from.as_ref()?);
        if stage == from || self.before[stage].contains(&from) {
            return Some(Why::From {
                stage: name.clone(),
            });
        }
        self.before[from].contains(&stage).then(|| Why::BeforeFrom {
            stage: name.clone(),
        })
    }
}

/// Returns the task with this name (its item by name or by key), or all tasks of the stage with this name.
fn named(pipeline: &Pipeline, tasks: &Tasks, name: &str) -> Result<Vec<usize>, Failure> {
    let by_key =
        |task: &Task| format!("{}[{}]", task.entry(pipeline).name, task.item_key(pipeline));
    let is_named = |task: &Task| task.name == name || task.item.is_some() && by_key(task) == name;
    let task = tasks.list.iter().position(is_named);
    match (task, name.split_once('[')) {
        (Some(task), _) => Ok(vec![task]),
        (None, None) => Ok(tasks.of_stage[tasks::stage(pipeline, name)?].clone()),
        (None, Some((stage, _))) => {
            let known = &tasks.of_stage[tasks::stage(pipeline, stage)?];
            let names = known.iter().map(|task| tasks.list[*task].name.as_str());
            Err(
                Failure::invalid(format!("the pipeline has no task `{name}`"))
                    .help(format!("there is {}", listed(names))),
            )
        }
    }
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    tasks: &'a Tasks,
    fingerprints: &'a [&'a Fingerprint],
    cache: &'a Cache,
    why: Vec<Why>,
}

impl Planner<'_> {
    fn nothing_to_do(&self, task: usize) -> Option<Why> {
        let task = &self.tasks.list[task];
        let entry = task.entry(self.pipeline);
        if let Some(variable) = &entry.skip_if_empty
            && self
                .pipeline
                .env
                .get(variable)
                .is_none_or(|value| value.trim().is_empty())
        {
            return Some(Why::Empty {
                variable: variable.clone(),
            });
        }
        (entry.for_each.is_some() && task.item.is_none()).then_some(Why::NoItems)
    }

    fn by_cache(&self, task: usize) -> Why {
        if self.tasks.list[task]
            .entry(self.pipeline)
            .cache_key
            .is_none()
        {
            return Why::AlwaysRuns;
        }
        match self.entry(task) {
            None => Why::NeverRan,
            Some(Entry::Unfinished { run, how }) => Why::Unfinished {
                run: run.clone(),
                how: *how,
            },
            Some(Entry::Succeeded { run, success }) => {
                let difference = self.fingerprints[task].difference(&success.fingerprint);
                self.again(task, run, difference, success.stamp)
            }
        }
    }

    /// Decides over a task that succeeded before. One that destroys data runs again only behind another one that does: what was
    /// installed is not wiped because a script, a version or an address in its context became another.
    fn again(&self, task: usize, run: &str, difference: Option<Why>, stamp: u64) -> Why {
        let run = run.to_owned();
        if !self.destroys(task) {
            return difference
                .or_else(|| self.need(task, stamp, |_| true))
                .unwrap_or(Why::Cached { run });
        }
        if let Some(why) = self.need(task, stamp, |need| self.destroys(need)) {
            return why;
        }
        match difference.or_else(|| self.need(task, stamp, |_| true)) {
            Some(change) => Why::Kept {
                run,
                change: Box::new(change),
            },
            None => Why::Cached { run },
        }
    }

    fn destroys(&self, task: usize) -> bool {
        self.tasks.list[task].entry(self.pipeline).destructive
    }

    /// Finds a task before this one that runs, or that succeeded after this one did. What always runs does not count: it would make
    /// everything behind it run always. The nearest one is the last in the order of the pipeline.
    fn need(&self, task: usize, stamp: u64, counts: impl Fn(usize) -> bool) -> Option<Why> {
        let counts = |need: &usize| {
            let entry = self.tasks.list[*need].entry(self.pipeline);
            entry.cache_key.is_some() && counts(*need)
        };
        let name = |need: usize| self.tasks.list[need].name.clone();
        let runs = self
            .tasks
            .before(task)
            .filter(&counts)
            .filter(|need| self.why[*need].runs())
            .max();
        let later = |need: &usize| matches!(self.entry(*need), Some(Entry::Succeeded { success, .. }) if success.stamp > stamp);
        runs.map(|need| Why::NeedRunsAgain { task: name(need) })
            .or_else(|| {
                self.tasks
                    .before(task)
                    .filter(&counts)
                    .filter(later)
                    .max()
                    .map(|need| Why::NeedRanAgain { task: name(need) })
            })
    }

    fn entry(&self, task: usize) -> Option<&Entry> {
        let task = &self.tasks.list[task];
        self.cache.entry(
            task.entry(self.pipeline).cache_key.as_deref()?,
            task.item_key(self.pipeline),
        )
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
