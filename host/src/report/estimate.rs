//! How long a run still takes, judging by earlier ones: the longest way through what is left. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::pipeline::event::RunStarted;
use crate::pipeline::state::{Phase, RunState};
use crate::report::history::History;

/// What is known of a run before it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// How long each task takes; nothing where none of its stage ever succeeded.
    expected: Vec<Option<f64>>,
    /// The tasks before each task.
    before: Vec<Vec<usize>>,
    jobs: usize,
}

impl Estimate {
    /// Takes what earlier runs took.
    pub fn new(head: &RunStarted, history: &History) -> Self {
        let expected = head.tasks.iter().map(|task| {
            let usual = history
                .task(&task.task)
                .or_else(|| history.any_task_of(&task.stage))?;
            Some(usual.median)
        });
        Self {
            expected: expected.collect(),
            before: before(head),
            jobs: head.jobs.max(1),
        }
    }

    /// How long a task takes, in seconds.
    pub fn of(&self, task: usize) -> Option<f64> {
        self.expected.get(task).copied().flatten()
    }

    /// Seconds to the end; `elapsed` says how long a task has been running. Nothing where something is left of which nothing is known.
    pub fn left(&self, state: &RunState, elapsed: impl Fn(usize) -> f64) -> Option<f64> {
        let mut ends: Vec<f64> = Vec::with_capacity(state.phases.len());
        let mut work = 0.0;
        for (task, phase) in state.phases.iter().enumerate() {
            let takes = match phase {
                Phase::Pending => self.of(task)?,
                Phase::Running { .. } | Phase::Waiting { .. } => {
                    (self.of(task)? - elapsed(task)).max(0.0)
                }
                Phase::Skipped { .. }
                | Phase::Succeeded { .. }
                | Phase::Failed { .. }
                | Phase::Stopped { .. } => 0.0,
            };
            let free = self.before[task]
                .iter()
                .filter_map(|before| ends.get(*before))
                .fold(0.0, |latest: f64, end| latest.max(*end));
            work += takes;
            ends.push(free + takes);
        }
        let longest = ends.into_iter().fold(0.0, f64::max);
        Some(longest.max(work / self.jobs as f64))
    }
}

/// As the run does: a task waits for that of its own item in each stage before its own, however far before, else for the whole stage.
fn before(head: &RunStarted) -> Vec<Vec<usize>> {
    let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, task) in head.tasks.iter().enumerate() {
        tasks.entry(&task.stage).or_default().push(index);
    }
    let stages = stages_before(head);
    head.tasks
        .iter()
        .map(|task| {
            let before = stages.get(task.stage.as_str()).into_iter().flatten();
            before
                .filter_map(|stage| tasks.get(stage))
                .flat_map(|all| {
                    let same = all.iter().find(|other| {
                        !task.item.is_empty() && head.tasks[**other].item == task.item
                    });
                    same.map_or_else(|| all.clone(), |same| vec![*same])
                })
                .collect()
        })
        .collect()
}

/// All stages before each stage. What a stage needs stands before it.
fn stages_before(head: &RunStarted) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut before: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for stage in &head.stages {
        let further = stage.needs.iter().flat_map(|need| {
            let known = before.get(need.as_str()).cloned().unwrap_or_default();
            known.into_iter().chain([need.as_str()])
        });
        let all = further.collect();
        before.insert(&stage.stage, all);
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::{Event, Record, TaskHead, VERSION};
    use crate::pipeline::heads::StageHead;
    use crate::report::model::{RunReport, StageReport, Status, TaskReport};

    fn history(times: &[(&str, &str, f64)]) -> History {
        let stages = times.iter().map(|(stage, task, seconds)| StageReport {
            stage: (*stage).to_owned(),
            tasks: vec![TaskReport {
                task: (*task).to_owned(),
                status: Status::Succeeded,
                seconds: Some(*seconds),
                ..TaskReport::default()
            }],
            ..StageReport::default()
        });
        let mut history = History::default();
        history.add(&RunReport {
            stages: stages.collect(),
            ..RunReport::default()
        });
        history
    }

    fn state(jobs: usize) -> RunState {
        let stage = |name: &str, needs: &[&str]| StageHead {
            stage: name.into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..StageHead::default()
        };
        let task = |stage: &str, item: &str| TaskHead {
            task: format!("{stage}[{item}]"),
            stage: stage.into(),
            item: item.into(),
            ..TaskHead::default()
        };
        let head = RunStarted {
            jobs,
            stages: vec![stage("a", &[]), stage("b", &["a"]), stage("c", &["b"])],
            tasks: vec![
                task("a", "x"),
                task("a", "y"),
                task("b", "x"),
                task("b", "y"),
                TaskHead {
                    task: "c".into(),
                    stage: "c".into(),
                    ..TaskHead::default()
                },
            ],
            ..RunStarted::default()
        };
        let mut state = RunState::default();
        state
            .apply(&Record {
                v: VERSION,
                run: "R".into(),
                seq: 0,
                at: "2026-01-01T00:00:00Z".into(),
                event: Event::RunStarted(head),
            })
            .unwrap();
        state
    }

    const TIMES: [(&str, &str, f64); 4] = [
        ("a", "a[x]", 10.0),
        ("a", "a[y]", 1.0),
        ("b", "b[x]", 2.0),
        ("c", "c", 5.0),
    ];

    #[test]
    fn the_longest_way_counts_and_each_item_goes_its_own() {
        let mut state = state(16);
        let estimate = Estimate::new(&state.head, &history(&TIMES));
        assert_eq!(estimate.left(&state, |_| 0.0), Some(17.0));
        state.phases[0] = Phase::Running {
            since: String::new(),
            attempt: 1,
        };
        assert_eq!(estimate.left(&state, |_| 4.0), Some(13.0));
        assert_eq!(estimate.left(&state, |_| 99.0), Some(8.0));
    }

    #[test]
    fn what_has_no_items_waits_for_all_items_of_every_stage_before() {
        let mut head = state(16).head;
        head.tasks.remove(3);
        assert_eq!(before(&head), [vec![], vec![], vec![0], vec![0, 1, 2]]);
    }

    #[test]
    fn with_few_at_a_time_all_work_counts() {
        let state = state(1);
        let estimate = Estimate::new(&state.head, &history(&TIMES));
        assert_eq!(estimate.left(&state, |_| 0.0), Some(20.0));
    }

    #[test]
    fn what_never_ran_has_no_estimate() {
        let state = state(16);
        let estimate = Estimate::new(&state.head, &history(&TIMES[..3]));
        assert_eq!(estimate.left(&state, |_| 0.0), None);
    }
}
